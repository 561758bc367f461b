"""The program that measures what a decision costs, against folding the same event; see `bench.programs`."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from bench import workload
from bench.children import Numbers
from engine_mcp.core.breaker import Breaker, BreakerState
from engine_mcp.core.budget import Limits, Usage
from engine_mcp.core.charge import Charge
from engine_mcp.core.choice import Choice, Level, Tier
from engine_mcp.core.decide import settle
from engine_mcp.core.effect import Start
from engine_mcp.core.event import (
    AttemptStarted,
    AttemptSucceeded,
    Event,
    ExecutionCreated,
    ExecutionStarted,
    UsageReported,
)
from engine_mcp.core.evolve import evolve, fold
from engine_mcp.core.execution import Execution, Output
from engine_mcp.core.outlook import CLEAR, Outlook
from engine_mcp.core.period import Period, Room, Standing
from engine_mcp.core.plan import Plan, StepSpec, StrategyName
from engine_mcp.core.route import Domain, Route

NOW = 1_800_000_000.0
PARALLEL = 4
MODEL = "model"
HERE = Route(runtime="here", family="f", endpoint="one", pool="paid", model=MODEL)
THERE = Route(runtime="there", family="f", endpoint="two", pool="other", model=MODEL)
CHOICE = Choice(
    runtime=HERE.runtime,
    role="developer",
    level=Level.SIMPLE,
    tier=Tier.FAST,
    model=MODEL,
    route=HERE,
    others=(THERE,),
)
PART = Usage(tokens_in=300, tokens_out=100, requests=1, cost_micros=900, cost_basis="computed")
NOTHING = Limits()
OWN = Limits(max_tokens=100_000, max_cost_usd=1.0, max_seconds=600, max_requests=50)
WHOLE = Limits(max_tokens=10**9, max_cost_usd=10**5, max_seconds=10**6, max_requests=10**6)
MORE = Limits(max_tokens=10**11, max_cost_usd=10**7, max_seconds=10**8, max_requests=10**8)
SPENT = Usage(tokens_in=10**6, cost_micros=10**6, seconds=1000.0, requests=1000)
EVERYTHING = Outlook(
    room=Room(
        standings=tuple(
            Standing(period=period, limits=MORE, spent=SPENT, held=SPENT, cap=cap, resets_at=NOW + 3600)
            for period in Period
            for cap in (False, True)
        )
    ),
    caps=MORE,
    breakers={
        breaker.part: breaker
        for breaker in (
            Breaker(part=HERE.part(Domain.MODEL), failures=2, since=NOW),
            Breaker(
                part=THERE.part(Domain.POOL),
                state=BreakerState.OPEN,
                failures=1,
                changed_at=NOW,
                retry_at=NOW + 3600,
            ),
        )
    },
)
VARIANTS = {"free": CLEAR, "limited": CLEAR, "shared": EVERYTHING}
ROWS = 4


@dataclass(frozen=True, slots=True)
class Moment:
    """An event that comes, with the execution before and after it."""

    before: Execution
    event: Event
    after: Execution


async def decisions(work: dict[str, Any]) -> Numbers:
    """Microseconds of processor time per event, for a plan half of whose steps are done.

    Of `steps` steps, in `ROWS` rows and side by side, under each of `VARIANTS`: what it costs to decide, and
    to fold the same event. `window` events are measured, over and over for `seconds`.
    """
    found: Numbers = {}
    for variant, outlook in VARIANTS.items():
        for shape, rows in (("rows", ROWS), ("beside", work["steps"])):
            begun = half_done(work["steps"], rows, limited=variant != "free")
            moments = played(begun, outlook, work["window"])
            costs = _costs_us(moments, outlook, work["seconds"] / 2)
            found |= {f"{variant}_{shape}_{what}_us": cost for what, cost in costs.items()}
    return found


def _costs_us(moments: list[Moment], outlook: Outlook, seconds: float) -> Numbers:
    def decide(moment: Moment) -> object:
        return settle(moment.after, NOW, outlook)

    def take_in(moment: Moment) -> object:
        return evolve(moment.before, moment.event)

    return {"decide": _cost_us(decide, moments, seconds), "fold": _cost_us(take_in, moments, seconds)}


def half_done(steps: int, rows: int, *, limited: bool) -> Execution:
    """An execution that runs and whose first half of steps completed."""
    ids = workload.names(steps)
    own = OWN if limited else NOTHING
    specs = tuple(
        StepSpec(id=name, task="nothing", depends_on=(ids[at - rows],) if at >= rows else (), budget=own)
        for at, name in enumerate(ids)
    )
    plan = Plan(path="/", steps=specs, strategy=StrategyName.PARALLEL, parallelism=PARALLEL)
    created = ExecutionCreated(
        at=NOW,
        execution_id="measured",
        plan=plan,
        budget=WHOLE if limited else NOTHING,
        choices=dict.fromkeys(ids, CHOICE),
    )
    begun = (created, ExecutionStarted(at=NOW, epoch=1, owner=""))
    done = (event for name in ids[: steps // 2] for event in (_started(name), *_attempt(name, 1)))
    return fold(None, (*begun, *done))


def played(execution: Execution, outlook: Outlook, window: int) -> list[Moment]:
    """The next events of an execution, up to so many, with everything decided that follows from them."""
    settled = settle(execution, NOW, outlook)
    found: list[Moment] = []
    starts = [effect.event for effect in settled.effects if isinstance(effect, Start)]
    while starts and len(found) < window:
        started = starts.pop(0)
        for event in _attempt(started.step, started.number):
            after = evolve(settled.execution, event)
            found.append(Moment(settled.execution, event, after))
            settled = settle(after, NOW, outlook)
            starts += [effect.event for effect in settled.effects if isinstance(effect, Start)]
    return found


def _started(name: str) -> Event:
    return AttemptStarted(at=NOW, step=name, number=1, runtime=HERE.runtime, model=MODEL)


def _attempt(name: str, number: int) -> Iterator[Event]:
    charge = Charge(model=MODEL, usage=PART, computed_micros=PART.cost_micros, price="fixed 1")
    for _ in range(2):
        yield UsageReported(at=NOW, step=name, number=number, usage=PART, charge=charge)
    yield AttemptSucceeded(at=NOW, step=name, number=number, output=Output(value=workload.RESULT))


def _cost_us(work: Callable[[Moment], object], moments: list[Moment], seconds: float) -> float:
    count, began, used = 0, time.process_time(), 0.0
    while used < seconds:
        for moment in moments:
            work(moment)
        count += len(moments)
        used = time.process_time() - began
    return used / count * 1e6
