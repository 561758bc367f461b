"""A request that is told piece by piece costs what it costs as a whole, whatever its price depends on."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine_mcp.core.agent import AgentReport, AgentResult, AgentTask
from engine_mcp.core.budget import Usage
from engine_mcp.core.charge import Charge, Quote
from engine_mcp.core.event import UsageReported
from engine_mcp.core.execution import Execution
from engine_mcp.core.whole import WholeRequest
from engine_mcp.engine.charging import Charging
from engine_mcp.ports import AgentHost
from engine_mcp.prices.audit import repriced
from engine_mcp.testing import FakeClock, ListedPrices, capture_events
from tests.engine.rig import Rig, agent

LONG = 1000
"""A request of more tokens costs twice as much, all of it."""


@dataclass
class Tiered(ListedPrices):
    """Prices that depend on how long a request is, and are rounded up to whole cents of a cent."""

    rounded: int = 1

    def quote(self, model: str, usage: Usage, at: float) -> Quote:
        found = super().quote(model, usage, at)
        if found.micros is None:
            return found
        long = usage.tokens_in + usage.cache_read + usage.cache_write > LONG
        return replace(found, micros=-(-found.micros * (2 if long else 1) // self.rounded) * self.rounded)


PRICES = Tiered({"m": (3, 15), "n": (1, 1)})


def piece(tokens_in: int = 0, tokens_out: int = 0, *, first: bool = False) -> Usage:
    return Usage(requests=1 if first else 0, tokens_in=tokens_in, tokens_out=tokens_out)


def charged(pieces: Sequence[tuple[Usage, str]], book: ListedPrices = PRICES) -> list[Charge]:
    charging = Charging(book=book, clock=FakeClock())
    return [charging.charge(usage, model) for usage, model in pieces]


def micros(charges: Sequence[Charge]) -> list[int | None]:
    return [charge.computed_micros for charge in charges]


def test_the_piece_that_makes_a_request_long_pays_for_those_before_it() -> None:
    pieces = [(piece(800, first=True), "m"), (piece(800), "m"), (piece(0, 10), "m")]
    assert micros(charged(pieces)) == [800 * 3, 1600 * 6 - 800 * 3, 10 * 30]


def test_another_request_begins_anew() -> None:
    pieces = [(piece(800, first=True), "m"), (piece(800, first=True), "m")]
    assert micros(charged(pieces)) == [2400, 2400]


def test_another_model_is_another_request() -> None:
    pieces = [(piece(800, first=True), "m"), (piece(800), "n"), (piece(800), "m")]
    assert micros(charged(pieces)) == [2400, 800, 2400]


def test_a_sum_is_rounded_once_for_the_whole_request() -> None:
    book = Tiered({"m": (1, 1)}, rounded=10)
    charges = charged([(piece(1, first=True), "m"), *[(piece(0, 1), "m")] * 9], book)
    assert sum(charge.computed_micros or 0 for charge in charges) == 10


def of_requests(usages: Sequence[Usage]) -> Iterator[Usage]:
    """The uses of the requests that the pieces make together."""
    whole = Usage()
    for usage in usages:
        if usage.requests and whole != Usage():
            yield whole
            whole = Usage()
        whole += usage
    yield whole


PIECES = st.lists(
    st.builds(piece, st.integers(0, 900), st.integers(0, 90), first=st.booleans()), min_size=1, max_size=9
)


@settings(max_examples=60)
@given(PIECES)
def test_however_requests_are_cut_into_pieces_they_cost_the_same(pieces: list[Usage]) -> None:
    charges = charged([(usage, "m") for usage in pieces])
    wholes = [PRICES.quote("m", whole, 0.0).micros or 0 for whole in of_requests(pieces)]
    assert sum(charge.computed_micros or 0 for charge in charges) == sum(wholes)


@settings(max_examples=60)
@given(PIECES)
def test_an_audit_finds_the_price_of_every_piece_again(pieces: list[Usage]) -> None:
    request = WholeRequest()
    for charge in charged([(usage, "m") for usage in pieces]):
        quote = repriced(charge, PRICES, 0.0, request.add(charge.usage, charge.model))
        if charge.price:  # a piece without tokens has none
            assert quote is not None
            assert quote.micros == charge.computed_micros


def test_without_what_came_before_an_audit_would_find_another_price() -> None:
    _, second = charged([(piece(800, first=True), "m"), (piece(800), "m")])
    quote = repriced(second, PRICES, 0.0)
    assert quote is not None
    assert quote.micros != second.computed_micros


async def run(rig: Rig, *pieces: Usage) -> Execution:
    async def telling(task: AgentTask, host: AgentHost) -> AgentResult:
        del task
        for usage in pieces:
            host.report(AgentReport(usage=usage, model="m"))
            await anyio.lowlevel.checkpoint()
        return AgentResult(output="done")

    rig.prices, rig.runner.tells_cost = PRICES, False
    rig.runner.replies = {"a": [telling]}
    return await rig.run(rig.draft(agent("a", model="m")))


@pytest.mark.anyio
async def test_an_attempt_is_charged_for_whole_requests(rig: Rig) -> None:
    execution = await run(rig, piece(800, first=True), piece(800, 10), piece(500, first=True))
    assert execution.usage.cost_micros == 1600 * 6 + 10 * 30 + 500 * 3
    told = [e for e in await capture_events(rig.store, execution.id) if isinstance(e, UsageReported)]
    assert sum(event.usage.cost_micros for event in told) == execution.usage.cost_micros
