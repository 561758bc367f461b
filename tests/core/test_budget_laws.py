"""Money is never spent twice: what is spent and reserved stays within every limit that pauses."""

from dataclasses import replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from engine_mcp.core import event as ev
from engine_mcp.core.admission import left_of, reserved
from engine_mcp.core.budget import MICROS, Limits, OnExceed, Resource, Usage
from engine_mcp.core.choice import Choice, Level, Tier
from engine_mcp.core.decide import settle
from engine_mcp.core.doubt import in_doubt
from engine_mcp.core.evolve import fold
from engine_mcp.core.execution import Execution, ExecutionStatus, Failure, Output, Step, StepStatus, StopMode
from engine_mcp.core.outlook import Outlook
from engine_mcp.core.passage import is_last
from engine_mcp.core.period import Period, Room, Standing
from engine_mcp.core.plan import Plan, StepSpec, StrategyName

KINDS = (Resource.COST, Resource.TOKENS, Resource.REQUESTS)
CODES = ("overloaded", "runtime_failed", "request_rejected", "spending_limit")
PAUSES = OnExceed.PAUSE
parts = st.integers(0, 4)
cents = st.integers(1, 400)


def limits(cost: int, tokens: int | None, requests: int | None = None) -> Limits:
    return Limits(max_cost_usd=cost / 100, max_tokens=tokens, max_requests=requests, on_exceed=PAUSES)


class Money(RuleBasedStateMachine):
    """One execution of agent steps that keep to their shares, beside others that share a limit with it."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 100.0
        self.told = Usage()
        self.others_spent = self.others_held = 0
        self.day = Limits()

    @initialize(
        count=st.integers(1, 6),
        places=st.integers(1, 4),
        budget=st.builds(limits, cents, st.none() | st.integers(1, 5000), st.none() | st.integers(0, 30)),
        own=st.lists(st.none() | cents, min_size=6, max_size=6),
        day=st.none() | cents,
    )
    def begin(self, count: int, places: int, budget: Limits, own: list[int | None], day: int | None) -> None:
        steps = tuple(
            StepSpec(
                id=f"s{number}",
                task="t",
                optional=True,
                max_attempts=4,
                budget=Limits() if (cent := own[number]) is None else Limits(max_cost_usd=cent / 100),
            )
            for number in range(count)
        )
        choice = Choice(runtime="r", role="developer", level=Level.SIMPLE, tier=Tier.FAST)
        plan = Plan(path="p", steps=steps, strategy=StrategyName.PARALLEL, budget=budget, parallelism=places)
        created = ev.ExecutionCreated(
            at=self.now,
            execution_id="x",
            plan=plan,
            budget=budget,
            choices={spec.id: choice for spec in steps},
        )
        self.day = Limits() if day is None else limits(day, None)
        self.execution = fold(None, [created])
        self.record(ev.ExecutionStarted(at=self.now, epoch=1, owner=""))

    # --- the world

    @property
    def outlook(self) -> Outlook:
        if not self.day.limited:
            return Outlook()
        spent = Usage(cost_micros=self.others_spent + self.execution.usage.cost_micros)
        held = Usage(cost_micros=self.others_held + reserved(self.execution.running).cost_micros)
        return Outlook(
            room=Room(standings=(Standing(period=Period.DAY, limits=self.day, spent=spent, held=held),))
        )

    def record(self, *events: ev.Event) -> None:
        self.execution = fold(self.execution, events)
        settled = settle(self.execution, self.now, self.outlook)
        self.execution = settled.execution

    def step(self, number: int) -> Step:
        running = self.execution.running
        return running[number % len(running)]

    def share(self, step: Step, part: int) -> Usage:
        """A part of what the attempt has left, in quarters."""
        left = left_of(step)
        tokens = left.amount(Resource.TOKENS) * part // 4
        cost, requests = left.cost_micros * part // 4, left.requests * part // 4
        return Usage(tokens_out=tokens, cost_micros=cost, requests=requests, cost_basis="computed")

    runs = precondition(lambda self: bool(self.execution.running))
    rests = precondition(
        lambda self: self.execution.status in {ExecutionStatus.PAUSED, ExecutionStatus.INTERRUPTED}
    )

    # --- what happens

    @runs
    @rule(number=st.integers(0, 9), part=parts)
    def something_is_used(self, number: int, part: int) -> None:
        step = self.step(number)
        usage = self.share(step, part)
        self.told += usage
        self.record(
            ev.UsageReported(at=self.now, step=step.spec.id, number=step.attempts[-1].number, usage=usage)
        )

    @runs
    @rule(number=st.integers(0, 9), part=parts)
    def an_attempt_succeeds(self, number: int, part: int) -> None:
        step = self.step(number)
        usage = self.share(step, part)
        self.told += usage
        self.record(
            ev.AttemptSucceeded(
                at=self.now,
                step=step.spec.id,
                number=step.attempts[-1].number,
                output=Output(),
                usage=usage,
            )
        )

    @runs
    @rule(number=st.integers(0, 9), part=parts, code=st.sampled_from(CODES))
    def an_attempt_fails(self, number: int, part: int, code: str) -> None:
        step = self.step(number)
        usage, why = self.share(step, part), Failure(code, "It failed.")
        self.told += usage
        self.record(
            ev.AttemptFailed(
                at=self.now,
                step=step.spec.id,
                number=step.attempts[-1].number,
                failure=why,
                final=is_last(self.execution, step, why, self.outlook, self.now),
                usage=usage,
            )
        )

    @rule(seconds=st.integers(1, 90))
    def time_passes(self, seconds: int) -> None:
        self.now += seconds
        self.record()

    @runs
    @rule(part=parts)
    def it_is_interrupted(self, part: int) -> None:
        self.record(ev.StopRequested(at=self.now, mode=StopMode.NOW, reason="x"))
        for step in self.execution.running:
            usage = self.share(step, part)
            self.told += usage
            number = step.attempts[-1].number
            self.record(ev.AttemptInterrupted(at=self.now, step=step.spec.id, number=number, usage=usage))

    @runs
    @rule()
    def its_process_dies(self) -> None:
        lost: list[ev.Event] = []
        for step in self.execution.running:
            doubt = in_doubt(step)
            self.told += doubt
            lost.append(
                ev.AttemptLost(at=self.now, step=step.spec.id, number=step.attempts[-1].number, usage=doubt)
            )
        self.record(*lost, ev.ExecutionInterrupted(at=self.now, reason="owner died"))

    @rests
    @rule(more=st.integers(0, 100))
    def it_is_resumed(self, more: int) -> None:
        had = self.execution.budget.max_cost_usd or 0.0
        budget = Limits(max_cost_usd=had + more / 100)
        self.record(ev.ExecutionResumed(at=self.now, budget=budget))
        self.record(ev.ExecutionStarted(at=self.now, epoch=1, owner=""))

    @rule(part=parts)
    def others_reserve(self, part: int) -> None:
        room = self.outlook.room.standings
        left = room[0].left(Resource.COST) if room else None
        self.others_held += max(0, left or 0) * part // 4
        self.record()

    @rule(part=parts)
    def others_settle(self, part: int) -> None:
        used = self.others_held * part // 4
        self.others_spent, self.others_held = self.others_spent + used, 0
        self.record()

    # --- what always holds

    @invariant()
    def nothing_passes_a_limit(self) -> None:
        if not hasattr(self, "execution"):
            return
        used, held = self.execution.usage, reserved(self.execution.running)
        for kind in KINDS:
            limit = self.execution.budget.amount(kind)
            assert limit is None or used.amount(kind) + held.amount(kind) <= limit
        for step in self.execution.steps.values():
            own = step.spec.budget.amount(Resource.COST)
            running = step.used + left_of(step) if step.status is StepStatus.RUNNING else Usage()
            used = sum((attempt.usage for attempt in step.attempts), start=running)
            assert own is None or used.cost_micros <= own
        day = self.day.amount(Resource.COST)
        if day is not None:
            assert self.others_spent + self.others_held + self._own() <= day

    def _own(self) -> int:
        return self.execution.usage.cost_micros + reserved(self.execution.running).cost_micros

    @invariant()
    def no_charge_is_lost(self) -> None:
        if hasattr(self, "execution"):
            assert replace(self.execution.usage, seconds=0.0) == self.told

    @invariant()
    def nobody_waits_for_money_that_is_there(self) -> None:
        """An execution that runs and has nothing under way waits for a retry or for others, not for ever."""
        if hasattr(self, "execution") and self.execution.status is ExecutionStatus.RUNNING:
            effects = settle(self.execution, self.now, self.outlook).effects
            assert self.execution.running or effects


Money.TestCase.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
TestMoney = pytest.mark.req("003:L49", "003:L44")(Money.TestCase)


def test_a_limit_in_dollars_is_exact_to_the_micro_dollar() -> None:
    assert Limits(max_cost_usd=0.1 + 0.2).amount(Resource.COST) == 300_000
    assert Limits(max_cost_usd=0.29).amount(Resource.COST) == 290_000
    assert Limits(max_seconds=0.7).amount(Resource.SECONDS) == 7 * MICROS // 10
    assert Usage(cost_micros=1).amount(Resource.COST) == 1


def test_an_execution_without_steps_that_run_has_nothing_reserved() -> None:
    spec = StepSpec(id="a", task="t")
    plan = Plan(path="p", steps=(spec,), strategy=StrategyName.SINGLE)
    execution = Execution(id="x", plan=plan, created_at=0, budget=Limits(), steps={"a": Step(spec=spec)})
    assert reserved(execution.running) == Usage()
