"""A world without I/O in which executions run: time, attempts and their ends are values.

The simulator does what the driver does, in the same order: fold what happened, settle, check, carry out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pydantic import JsonValue

from engine_mcp.core import event as ev
from engine_mcp.core.budget import Limits, Usage
from engine_mcp.core.decide import settle
from engine_mcp.core.effect import Effect, Halt, Start, WakeAt
from engine_mcp.core.evolve import evolve, fold
from engine_mcp.core.execution import (
    Execution,
    ExecutionStatus,
    Failure,
    Output,
    RecordedCall,
    Step,
    StepStatus,
    StopMode,
)
from engine_mcp.core.graph import outputs_of
from engine_mcp.core.plan import Plan, StepKind
from engine_mcp.core.request import Resume
from engine_mcp.core.retry import is_final
from engine_mcp.engine.recovery import lost, resumed
from tests.core.laws import check

START = 1_800_000_000.0
ACTIVE = frozenset({ExecutionStatus.PENDING, ExecutionStatus.RUNNING})
ENDED = frozenset({ExecutionStatus.COMPLETED, ExecutionStatus.FAILED, ExecutionStatus.CANCELLED})
PLENTY = Limits(max_tokens=10**9, max_cost_usd=1e9, max_seconds=1e9, max_requests=10**9)
MOST_OCCURRENCES = 2000


@dataclass(frozen=True)
class Work:
    """What a step does: the codes of its first tries, how long each takes, how it stops, its calls."""

    fails: tuple[str, ...] = ()
    takes: float = 1.0
    stubborn: bool = False
    approved: bool = True
    calls: int = 0


@dataclass(frozen=True)
class World:
    """A plan, and what its steps do."""

    plan: Plan
    works: Mapping[str, Work] = field(default_factory=dict[str, Work])

    def work(self, step: str) -> Work:
        return self.works.get(step, Work())


def output(step: Step, steps: Mapping[str, Step]) -> Output:
    """The output of a step: its id, and those of the dependencies whose outputs it was given."""
    given: list[JsonValue] = [dep.spec.id for dep in outputs_of(step, steps)]
    return Output(value={"of": step.spec.id, "given": given})


class Simulator:
    """Drives one execution; `events` is its record."""

    def __init__(self, world: World, record: Sequence[ev.Event] = ()) -> None:
        self.world, self.events = world, list(record)
        self.carried_out: list[tuple[str, int]] = []
        self._ends: dict[str, float] = {}
        self._halted: dict[str, bool] = {}
        self._wake: float | None = None
        if not record:
            self.events.append(
                ev.ExecutionCreated(at=START, execution_id="e", plan=world.plan, budget=world.plan.budget)
            )
        self.execution = fold(None, self.events)
        self.now = self.execution.updated_at

    # --- what people do

    def start(self) -> None:
        self.record(ev.ExecutionStarted(at=self.now, epoch=self.execution.epoch + 1, owner="o"))

    def stop(self, mode: StopMode) -> None:
        self.record(ev.StopRequested(at=self.now, mode=mode, reason="asked"))

    def die(self) -> None:
        """The process is gone with everything under way; another one finds the record."""
        self._ends, self._halted, self._wake = {}, {}, None
        self.now += 5
        self.record(*lost(self.execution, self.now))

    def resume(self) -> None:
        """Go on, with answers to whatever is asked and budget to whatever lacks it."""
        asked = [
            name for name, step in self.execution.steps.items() if step.status is StepStatus.AWAITING_APPROVAL
        ]
        request = Resume(
            budget=PLENTY if self.execution.reason == "budget" else Limits(),
            approve=tuple(name for name in asked if self.world.work(name).approved),
            deny=tuple(name for name in asked if not self.world.work(name).approved),
        )
        self.record(resumed(self.execution, request, self.now))
        self.start()

    def finish(self, stops: Mapping[int, StopMode] | None = None) -> Execution:
        """Go on to the end, through every rest; a stop comes before the occurrence with its number."""
        for count in range(MOST_OCCURRENCES):
            if self.execution.status in ACTIVE and stops and count in stops:
                self.stop(stops[count])
            elif self.execution.status is ExecutionStatus.PENDING:
                self.start()
            elif self.execution.status is ExecutionStatus.RUNNING:
                self.occur()
            elif self.execution.status in ENDED:
                return self.execution
            else:
                self.resume()
        raise AssertionError(f"no end after {MOST_OCCURRENCES} occurrences")

    def rest(self) -> Execution:
        """Go on until the execution rests."""
        for _ in range(MOST_OCCURRENCES):
            if self.execution.status not in ACTIVE:
                return self.execution
            self.start() if self.execution.status is ExecutionStatus.PENDING else self.occur()
        raise AssertionError(f"no rest after {MOST_OCCURRENCES} occurrences")

    # --- what happens by itself

    def occur(self) -> None:
        """The next thing happens: an attempt is stopped, makes a call or ends, or a waiting time is over."""
        if self._halted:
            self._end_halted(min(self._halted))
        elif calling := [name for name in sorted(self._ends) if self._uncalled(name)]:
            self._call(calling[0])
        else:
            self._next_in_time()

    def _next_in_time(self) -> None:
        next_end = min(((at, name) for name, at in self._ends.items()), default=None)
        if self._wake is not None and (next_end is None or self._wake <= next_end[0]):
            self.now, self._wake = max(self.now, self._wake), None
            self.record()
            return
        assert next_end is not None, f"stuck as {self.execution.status}: nothing runs and nothing is awaited"
        at, name = next_end
        self.now = max(self.now, at)
        self._end(name)

    def _uncalled(self, name: str) -> bool:
        return len(self.execution.steps[name].calls) < self.world.work(name).calls

    def _call(self, name: str) -> None:
        step = self.execution.steps[name]
        ordinal = len(step.calls)
        self.carried_out.append((name, ordinal))
        call = RecordedCall(ordinal=ordinal, name="c", digest="d", at_ms=0, output=Output())
        self.record(ev.CallRecorded(at=self.now, step=name, number=len(step.attempts), call=call))

    def _end_halted(self, name: str) -> None:
        if self.world.work(name).stubborn:
            self._end(name)
            return
        spent = self._halted[name]
        step = self._gone(name)
        usage, number = self._usage(step), len(step.attempts)
        if not spent:
            self.record(ev.AttemptInterrupted(at=self.now, step=name, number=number, usage=usage))
            return
        why = Failure("spending_limit", "it is used up")
        self.record(
            ev.AttemptFailed(at=self.now, step=name, number=number, failure=why, final=False, usage=usage)
        )

    def _end(self, name: str) -> None:
        step, work = self._gone(name), self.world.work(name)
        number, usage = len(step.attempts), self._usage(step)
        if step.tries < len(work.fails):
            failure = Failure(work.fails[step.tries], "it failed")
            final = is_final(step, failure)
            self.record(
                ev.AttemptFailed(
                    at=self.now, step=name, number=number, failure=failure, final=final, usage=usage
                )
            )
        else:
            result = output(step, self.execution.steps)
            self.record(
                ev.AttemptSucceeded(at=self.now, step=name, number=number, output=result, usage=usage)
            )

    def _gone(self, name: str) -> Step:
        del self._ends[name]
        self._halted.pop(name, None)
        return self.execution.steps[name]

    def _usage(self, step: Step) -> Usage:
        match step.spec.kind:
            case StepKind.CODE:
                return Usage(seconds=self.world.work(step.spec.id).takes)
            case StepKind.TOOL:
                return Usage(requests=1)
            case StepKind.AGENT:
                return Usage(requests=1, tokens_in=10, cost_micros=1000, cost_basis="reported")

    # --- what the driver does

    def record(self, *events: ev.Event) -> None:
        """Fold what happened and what follows from it, under the laws, and carry out the effects."""
        for event in events:
            self._count(event)
        settled = settle(self.execution, self.now)
        for event in settled.events:
            self._count(event)
        assert self.execution == settled.execution
        assert settle(self.execution, self.now).events == ()
        started = [event for event in settled.events if isinstance(event, ev.AttemptStarted)]
        assert [effect.event for effect in settled.effects if isinstance(effect, Start)] == started
        self._carry_out(settled.effects)

    def _count(self, event: ev.Event) -> None:
        after = evolve(self.execution, event)
        check(self.execution, event, after)
        self.events.append(event)
        self.execution = after

    def _carry_out(self, effects: Sequence[Effect]) -> None:
        self._wake = None
        for effect in effects:
            match effect:
                case Start(event):
                    assert event.step not in self._ends
                    self._ends[event.step] = self.now + self.world.work(event.step).takes
                case Halt(step, spent):
                    assert step in self._ends
                    self._halted[step] = spent
                case WakeAt(at):
                    assert at > self.now
                    self._wake = at
                case _:
                    raise AssertionError(f"{effect} is not to be carried out")
