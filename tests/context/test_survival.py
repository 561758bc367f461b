"""What is pinned survives five summaries by anybody; what was never said or does not hold is not in them."""

from functools import cache

import pytest

from engine_mcp.core.context.evidence import Evidence
from engine_mcp.core.context.render import RECALL
from engine_mcp.core.context.transcript import told
from scripts.survival_page import KINDS, page
from tests.context.canaries import CANARIES
from tests.context.summarizers import ATTACKS, INVENTED, SUMMARIZERS, Summarizer, changed, good
from tests.context.survival import PLANTED, ROUNDS, Round, count, pinned, plain, survives

EACH = pytest.mark.parametrize("summarizer", SUMMARIZERS.values(), ids=SUMMARIZERS)


@cache
def rounds_of(summarizer: Summarizer) -> list[Round]:
    return pinned(PLANTED, summarizer)


@pytest.mark.req("000:2.1.4", "000:2.3.2", "001:L37")
@EACH
def test_every_kind_of_fact_survives_every_round(summarizer: Summarizer) -> None:
    rounds = rounds_of(summarizer)
    assert len(rounds) == ROUNDS
    lost = [
        (number, canary.name, value)
        for number, each in enumerate(rounds, 1)
        for canary in CANARIES
        for value in canary.survives
        if value not in each.text
    ]
    assert lost == []


@pytest.mark.req("000:2.3.2")
@EACH
def test_what_was_replaced_is_gone_in_every_round(summarizer: Summarizer) -> None:
    gone = [value for canary in CANARIES for value in canary.gone]
    assert gone
    assert [one for each in rounds_of(summarizer) for one in gone if one in each.text] == []


@EACH
def test_nothing_that_nobody_said_is_in_any_summary(summarizer: Summarizer) -> None:
    for each in rounds_of(summarizer):
        said = Evidence(told(each.messages, 0, len(each.messages)))
        lines = [line for line in each.text.splitlines() if line.startswith(("- ", "  "))]
        assert lines
        assert [line for line in lines if said.unsaid(line)] == []
        assert [one for one in (*INVENTED, *ATTACKS) if one in each.text] == []
        values = [value for canary in CANARIES for value in canary.survives if value != changed(value)]
        assert [value for value in values if changed(value) in each.text.replace(value, "")] == []


@EACH
def test_nothing_takes_back_what_is_pinned_or_speaks_to_its_reader(summarizer: Summarizer) -> None:
    for each in rounds_of(summarizer):
        assert "no longer true" not in each.text
        assert "previous instructions" not in each.text
        assert each.text.count("## Pinned (verbatim)") <= 1
        assert "\n<<" not in each.text
        assert each.text.endswith(RECALL)


@pytest.mark.req("001:L37", "000:2.1.2")
@EACH
def test_each_summary_is_less_than_half_of_what_it_stands_for(summarizer: Summarizer) -> None:
    for each in rounds_of(summarizer):
        whole = count(told(each.messages, 0, len(each.messages)))
        assert count(each.text) <= 0.5 * whole


@pytest.mark.req("000:2.1.2", "000:L276")
def test_a_summary_of_no_use_is_written_by_code_which_says_so_and_any_other_is_not() -> None:
    by_code = {name: [bool(one.fallback) for one in rounds_of(each)] for name, each in SUMMARIZERS.items()}
    assert by_code == {
        "good": [False] * ROUNDS,
        "truncating": [True] * ROUNDS,
        "empty": [True] * ROUNDS,
        "inventing": [False] * ROUNDS,
        "hostile": [True] * ROUNDS,
    }
    for name in ("truncating", "empty", "hostile"):
        assert all("Written by code" in each.text for each in rounds_of(SUMMARIZERS[name]))


def test_without_pins_even_a_good_summarizer_forgets() -> None:
    rounds = plain(PLANTED, good)
    left = [sum(survives(canary, each.text) for canary in CANARIES) for each in rounds]
    assert left[0] > len(CANARIES) / 2
    assert left == sorted(left, reverse=True)
    assert left[-1] < len(CANARIES) / 2


def test_what_was_dropped_can_be_read_again_by_its_id() -> None:
    for each in rounds_of(SUMMARIZERS["inventing"]):
        assert each.lost
        assert all(0 <= int(lost.id.removeprefix("m")) < len(each.messages) for lost in each.lost)


def test_the_page_has_a_row_for_each_kind_of_fact_and_says_that_all_of_them_survive() -> None:
    rows = [line for line in page().splitlines() if line.startswith("| ")]
    found = {row.split(" | ")[0].removeprefix("| "): row for row in rows}
    assert all(kind in found for kind in KINDS)
    assert all(found[kind].count("100 %") >= ROUNDS for kind in KINDS)
