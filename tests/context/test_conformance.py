"""An outside judge, the compaction conformance kit, finds nothing forgotten and nothing outdated kept.

The kit plants canaries of its own (safety rules, constraints, facts, the state of the work, preferences) in a
session, has it compacted, hands what came of it back to be compacted again, and looks for what is left.
"""

from collections.abc import Callable, Sequence

import pytest
from compaction_kit import (  # pyright: ignore[reportMissingTypeStubs] - it is typed, but does not say so
    Canary,
    CompactedContext,
    SeededSession,
    Turn,
    assert_no_flags,
    build_generated_session,
    build_random_session,
    build_seeded_session,
    build_semantic_heldout_session,  # pyright: ignore[reportUnknownVariableType] - its third part is untyped
    build_semantic_session,  # pyright: ignore[reportUnknownVariableType] - its third part is untyped
    check_compactor,
    seeded_canaries,
)

from engine_mcp.core.brief import SummaryBrief
from engine_mcp.core.context.content import Content
from engine_mcp.core.context.extract import extracted
from engine_mcp.core.context.pins import pins_of, standing
from engine_mcp.core.context.reading import read
from engine_mcp.core.context.render import rendered, source_of
from engine_mcp.core.context.transcript import told
from engine_mcp.core.context.verify import acceptable, checked
from engine_mcp.core.window import Words
from tests.context.summarizers import SUMMARIZERS, Summarizer

ROUNDS = 5
SHARE = 0.6
"""What is left of a session at most, in characters."""
Session = tuple[SeededSession, list[Canary]]


def count(text: str) -> int:
    return -(-len(text) // 4)


class Ours:
    """Compacts as the engine does: pins from the record, a summary of what is new, checked and rendered.

    What the judge hands back is the last summary: the record stays as it was, and the next summary is built
    on that one.
    """

    name = "engine-mcp"

    def __init__(self, summarizer: Summarizer) -> None:
        self._summarizer = summarizer
        self._record: list[Words] = []
        self._before = self._text = ""

    def compact(
        self, turns: Sequence[Turn], round_num: int = 1, budget_chars: int | None = None
    ) -> CompactedContext:
        del budget_chars  # what may be left is a share of the conversation, the budget of the tests
        if round_num == 1:
            self._record, self._before, self._text = [], "", ""
        first = len(self._record)
        self._record += [_message(turn) for turn in turns if turn.text != self._text]
        content = self._content(told(self._record, first, len(self._record)))
        self._before, self._text = source_of(content), rendered(content)
        return CompactedContext(text=self._text, compactor_name=self.name, round_num=round_num)

    def _content(self, source: str) -> Content:
        now = standing(pins_of(self._record))
        pins = tuple(pin.text for pin in now.pins)
        brief = SummaryBrief(task="", project="/p", source=source, previous=self._before, pins=pins)
        tokens = count(told(self._record, 0, len(self._record)))
        try:
            found = checked(read(self._summarizer(brief)), now.pins, now.superseded, source, self._before)
            why = found.distrust or acceptable(tokens, count(rendered(found.content)), found.content)
            if not why:
                return found.content
        except ValueError as error:
            why = str(error)
        return extracted(self._record, now.pins, tokens // 2, count, why)


class Plain:
    """Takes the summarizer at its word, without pins: what the judge must find at fault."""

    name = "plain"

    def __init__(self, summarizer: Summarizer) -> None:
        self._summarizer = summarizer

    def compact(
        self, turns: Sequence[Turn], round_num: int = 1, budget_chars: int | None = None
    ) -> CompactedContext:
        del budget_chars
        shown = [_message(turn) for turn in turns]
        brief = SummaryBrief(task="", project="/p", source=told(shown, 0, len(shown)))
        return CompactedContext(
            text=str(self._summarizer(brief)), compactor_name=self.name, round_num=round_num
        )


def _message(turn: Turn) -> Words:
    return {"role": "assistant" if turn.role == "assistant" else "user", "content": turn.text}


def garbage(brief: SummaryBrief) -> str:
    del brief
    return '{"goal": "lorem ipsum dolor", "done": ["sit amet", 3, null], "decisions": "consectetur"'


def seeded() -> Session:
    return build_seeded_session(), seeded_canaries()


EVERY: dict[str, Summarizer] = {**SUMMARIZERS, "garbage": garbage}
SESSIONS: dict[str, Callable[[], Session]] = {
    "seeded": seeded,
    **{f"random-{seed}": lambda seed=seed: build_random_session(seed) for seed in range(2)},
}


@pytest.mark.req("000:2.1.4", "000:2.3.2", "001:L37")
@pytest.mark.parametrize(
    ("session", "summarizer"),
    [
        (session, summarizer)
        for session in SESSIONS
        for summarizer in EVERY
        if session == "seeded" or summarizer in {"good", "garbage"}
    ],
)
def test_all_that_was_planted_survives_five_rounds_and_nothing_outdated_does(
    session: str, summarizer: str
) -> None:
    planted, canaries = SESSIONS[session]()
    report = check_compactor(
        Ours(EVERY[summarizer]), session=planted, canaries=canaries, rounds=ROUNDS, budget_fraction=SHARE
    )
    assert_no_flags(report)
    assert {finding.canary_type: finding.curve for finding in report.findings} == {
        finding.canary_type: [1.0] * ROUNDS for finding in report.findings
    }
    assert [one.canary_id for one in report.diagnoses if one.lost or one.stale_tokens] == []


@pytest.mark.parametrize("seed", range(3))
def test_all_survives_in_sessions_whose_words_vary(seed: int) -> None:
    planted, canaries = build_generated_session(seed)
    report = check_compactor(Ours(garbage), session=planted, canaries=canaries, rounds=ROUNDS)
    assert [one.canary_id for one in report.diagnoses if one.lost] == []


Alike = Callable[[int], tuple[SeededSession, list[Canary], dict[str, list[tuple[str, str]]]]]
ALIKE: dict[str, Alike] = {"semantic": build_semantic_session, "held out": build_semantic_heldout_session}


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("build", ALIKE)
def test_things_that_only_look_alike_all_survive(build: str, seed: int) -> None:
    planted, canaries, about = ALIKE[build](seed)
    report = check_compactor(Ours(garbage), session=planted, canaries=canaries, rounds=ROUNDS)
    lost = {one.canary_id for one in report.diagnoses if one.lost}
    assert about["distinct_pairs"]
    assert lost.isdisjoint(name for pair in about["distinct_pairs"] for name in pair)


def test_the_judge_finds_a_summary_without_pins_at_fault() -> None:
    report = check_compactor(Plain(garbage), rounds=ROUNDS)
    assert set(report.flagged_types) == {one.canary_type for one in report.findings}
    with pytest.raises(AssertionError, match="compaction conformance failed"):
        assert_no_flags(report)
