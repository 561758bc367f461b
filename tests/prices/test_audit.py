"""The audit: a journal gives the totals again, and the book the prices."""

from dataclasses import replace
from pathlib import Path

import anyio
import pytest

from engine_mcp.core import event as ev
from engine_mcp.core.audit import differences, replayed
from engine_mcp.core.budget import Usage
from engine_mcp.core.charge import Charge
from engine_mcp.core.evolve import fold
from engine_mcp.core.execution import RecordedCall
from engine_mcp.prices.audit import repriced
from engine_mcp.prices.book import GenaiPrices
from tests.core.story import AT, begun, created, driven, failed, spec, succeeded
from tests.prices.listing import NOW

OPUS, HAIKU = "claude-opus-5-5", "claude-haiku-5-5"


def charge(book: GenaiPrices, model: str, usage: Usage, at: float = NOW) -> Charge:
    quote = book.quote(model, usage, at)
    return Charge(model=model, usage=usage, computed_micros=quote.micros, price=quote.price)


def reported(charge: Charge, number: int = 1) -> ev.UsageReported:
    cost = Usage(cost_micros=charge.computed_micros or 0, cost_basis="computed")
    return ev.UsageReported(at=NOW, step="a", number=number, usage=charge.usage + cost, charge=charge)


@pytest.fixture
def journal(book: GenaiPrices) -> list[ev.Event]:
    """Two attempts on two models, with a tool call and use that only their ends tell."""
    call = RecordedCall(ordinal=1, name="t", digest="d", at_ms=0)
    return [
        created(spec("a", task="t")),
        driven(),
        begun("a"),
        reported(charge(book, OPUS, Usage(tokens_in=10, tokens_out=2, requests=1))),
        ev.CallRecorded(at=AT, step="a", number=1, call=call, requests=1),
        reported(charge(book, HAIKU, Usage(cache_read=3, cache_write=2, cache_write_1h=1, requests=1))),
        failed("a", final=False, usage=Usage(tokens_out=5)),
        begun("a", 2),
        reported(charge(book, OPUS, Usage(tokens_in=20, requests=1)), 2),
        succeeded("a", 2, usage=Usage(requests=1)),
    ]


def test_a_journal_gives_every_use_and_every_charge_again(journal: list[ev.Event]) -> None:
    total, charges = replayed(journal)
    assert total == Usage(
        tokens_in=30,
        tokens_out=7,
        cache_read=3,
        cache_write=2,
        cache_write_1h=1,
        requests=5,
        cost_micros=80 + 1 + 80,
        cost_basis="computed",
    )
    assert [(item.model, item.usage.tokens_in, item.computed_micros) for item in charges] == [
        (OPUS, 30, 160),
        (HAIKU, 0, 1),
    ]


def test_nothing_happened_and_nothing_was_used() -> None:
    assert replayed([]) == (Usage(), ())


def test_an_execution_has_the_totals_of_its_journal(journal: list[ev.Event]) -> None:
    assert differences(fold(None, journal), journal) == ()


def test_what_a_lost_attempt_is_taken_to_have_used_counts(book: GenaiPrices) -> None:
    estimate = Usage(tokens_out=9, cost_micros=4, cost_basis="estimated")
    told = reported(charge(book, OPUS, Usage(tokens_in=10)))
    lost = ev.AttemptLost(at=NOW, step="a", number=1, usage=estimate)
    journal = [created(spec("a", task="t")), driven(), begun("a"), told, lost]
    assert replayed(journal)[0].cost_micros == 44
    assert differences(fold(None, journal), journal) == ()


def test_each_total_that_is_not_that_of_the_journal_is_told(journal: list[ev.Event]) -> None:
    execution = fold(None, journal)
    wrong = replace(execution, usage=execution.usage + Usage(tokens_out=1, requests=2, cost_micros=3))
    assert differences(wrong, journal) == (
        "The execution e counts 8 tokens of output, its journal 7.",
        "The execution e counts 7 requests, its journal 5.",
        "The execution e counts 164 micro-dollars, its journal 161.",
    )


def test_a_charge_gets_the_same_price_again(book: GenaiPrices, journal: list[ev.Event]) -> None:
    charges = [(event.charge, event.at) for event in journal if isinstance(event, ev.UsageReported)]
    for told, at in charges:
        assert told is not None
        quote = repriced(told, book, at)
        assert quote is not None
        assert quote.micros == told.computed_micros


def test_a_charge_that_was_computed_wrongly_gets_another_price(book: GenaiPrices) -> None:
    wrong = replace(charge(book, OPUS, Usage(tokens_in=10)), computed_micros=41)
    quote = repriced(wrong, book, NOW)
    assert quote is not None
    assert quote.micros == 40


def test_a_charge_by_another_list_is_not_compared(book: GenaiPrices, tmp_path: Path) -> None:
    told = charge(book, OPUS, Usage(tokens_in=10))
    assert repriced(replace(told, price="genai-prices 0.1.0"), book, NOW) is None
    file = tmp_path / "prices.yaml"
    file.write_text(f"models: {{{OPUS}: {{input: 1, output: 1}}}}")
    own = GenaiPrices(file)
    anyio.run(own.open)
    assert repriced(told, own, NOW) is None


def test_a_charge_that_was_never_computed_is_not_compared(book: GenaiPrices) -> None:
    assert repriced(Charge(model="unknown", usage=Usage(tokens_in=1)), book, NOW) is None
    assert repriced(Charge(model=OPUS, reported_micros=3), book, NOW) is None
