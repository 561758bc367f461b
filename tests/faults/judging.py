"""What has to hold once everything has come to rest: read from the records, the ledger and the provider."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import psutil

from engine_mcp.core.admission import pauses, reserved
from engine_mcp.core.budget import Resource, Usage
from engine_mcp.core.event import Event, ExecutionPaused, UsageReported
from engine_mcp.core.evolve import evolve
from engine_mcp.core.execution import AttemptStatus, Execution, ExecutionStatus, Step, StepStatus
from engine_mcp.core.spending import cost_of
from engine_mcp.runners.orphans import MARK
from tests.faults.flaky import answer
from tests.faults.orders import PROGRAM
from tests.faults.provider import Given
from tests.wire.script import Told

BROKEN_OFF = frozenset({AttemptStatus.LOST, AttemptStatus.INTERRUPTED})
FOR_GOOD = {"refused", "request_rejected"}
BOUNDED = (Resource.TOKENS, Resource.COST, Resource.REQUESTS)


@dataclass(frozen=True, slots=True)
class History:
    """An execution at its end and all that happened to it."""

    execution: Execution
    events: Sequence[Event]

    def stages(self) -> Iterator[tuple[Event, Execution]]:
        """Each event with the execution that it led to."""
        execution: Execution | None = None
        for event in self.events:
            execution = evolve(execution, event)
            yield event, execution


@dataclass(frozen=True, slots=True)
class Provided:
    """What the provider gave, and what it told of the use of each answer, by the answer's own model."""

    given: Mapping[str, Given]
    told: Mapping[str, Told]

    @classmethod
    def of(cls, given: Sequence[Given], told: Mapping[int, Told]) -> "Provided":
        return cls({one.model: one for one in given}, {one.model: one for one in told.values()})

    def whole(self, step: str) -> list[Given]:
        """The answers to a step that were told to their end."""
        return [
            one
            for model, one in self.given.items()
            if one.step == step and model in self.told and self.told[model].whole
        ]

    def spoilt(self, step: str) -> bool:
        """Whether a step was given what no other attempt can mend."""
        return any(one.step == step and one.for_good for one in self.given.values())


@dataclass(slots=True)
class Charged:
    """What the records say was used: all of it, and of each answer by its own model, guesses left out."""

    total: Usage = field(default_factory=Usage)
    answers: dict[str, Usage] = field(default_factory=dict[str, Usage])

    @classmethod
    def by(cls, histories: Sequence[History]) -> "Charged":
        charged = cls()
        for event in (event for history in histories for event in history.events):
            charged.total += cost_of(event)
            if isinstance(event, UsageReported) and event.charge is not None:
                before = charged.answers.get(event.charge.model, Usage())
                charged.answers[event.charge.model] = before + event.usage
        return charged


def name_of(history: History, step: Step) -> str:
    return f"{history.execution.plan.idempotency_key}/{step.spec.id}"


def wrong_ends(history: History, provided: Provided) -> Iterator[str]:
    """Executions and steps that are not as they should be at the end."""
    execution = history.execution
    steps = execution.steps.values()
    blamed = {
        step.spec.id: step.failure.code if step.failure else "?"
        for step in steps
        if step.status is StepStatus.FAILED
    }
    expected = ExecutionStatus.FAILED if blamed else ExecutionStatus.COMPLETED
    if execution.status is not expected:
        yield f"it is {execution.status}, with {blamed} failed"
    for step in steps:
        yield from (f"{step.spec.id}: {told}" for told in _wrong_end(step, name_of(history, step), provided))
    for event in history.events:
        if isinstance(event, ExecutionPaused) and event.reason != "budget":
            yield f"it paused for {event.reason}"


def _wrong_end(step: Step, name: str, provided: Provided) -> Iterator[str]:
    if any(tried.status is AttemptStatus.RUNNING for tried in step.attempts):
        yield "an attempt is left running"
    succeeded = [tried.status for tried in step.attempts].count(AttemptStatus.SUCCEEDED)
    match step.status:
        case StepStatus.COMPLETED:
            if succeeded != 1 or step.attempts[-1].status is not AttemptStatus.SUCCEEDED:
                yield f"it succeeded {succeeded} times"
            given = [answer(name)] if step.spec.runtime == PROGRAM else _answers(name, provided)
            if step.output is None or step.output.value not in given:
                yield f"its output is {step.output}, but it was given {given}"
        case StepStatus.FAILED:
            code = step.failure.code if step.failure else ""
            if code not in FOR_GOOD or not provided.spoilt(name):
                yield f"it failed with {code} without a reason: {step.failure}"
        case StepStatus.SKIPPED:
            pass
        case _:
            yield f"it is {step.status}"


def _answers(name: str, provided: Provided) -> list[str]:
    return [one.text for one in provided.whole(name) if one.stop == "end_turn"]


def paid_twice(history: History, provided: Provided) -> Iterator[str]:
    """Turns that were answered to their end more often than processes and pauses broke them off."""
    for step in history.execution.steps.values():
        broken_off = sum(tried.status in BROKEN_OFF for tried in step.attempts)
        again = 0
        for turn, count in Counter(one.turn for one in provided.whole(name_of(history, step))).items():
            again += count - 1
            if again > broken_off:
                text = f"turn {turn} was answered {count} times, {broken_off} attempts were broken off"
                yield f"{step.spec.id}: {text}"


def beyond_limits(history: History) -> Iterator[str]:
    """Moments at which spent and reserved together passed a limit that pauses."""
    for number, (event, execution) in enumerate(history.stages(), 1):
        if not pauses(execution.budget):
            continue
        for resource in BOUNDED:
            limit = execution.budget.amount(resource)
            spent, held = execution.usage.amount(resource), reserved(execution.running).amount(resource)
            if limit is not None and spent + held > limit:
                yield f"event {number} ({event.kind}): {spent} + {held} {resource} of {limit}"


def wrong_charges(
    answers: Mapping[str, Usage], provided: Provided, broken_off: Mapping[str | None, int]
) -> Iterator[str]:
    """Answers that were charged otherwise than their provider told, without a reason.

    What was told to the end is charged to the token; of what was cut the input, and at least the output
    that was told. Of a step whose attempts were broken off (trials: of all of them) as many answers may
    not have been heard, or not to their end.
    """
    unheard = defaultdict[str | None, list[str]](list)
    for model, told in provided.told.items():
        charged = answers.get(model, Usage())
        if not _is_right(told, charged):
            unheard[provided.given[model].step].append(f"{model}: {told} was charged as {charged}")
    for step, found in unheard.items():
        if len(found) > broken_off.get(step, 0):
            yield f"{step}: {'; '.join(found)}"
    yield from _beyond_what_was_told(answers, provided)


def _beyond_what_was_told(answers: Mapping[str, Usage], provided: Provided) -> Iterator[str]:
    for model, charged in answers.items():
        if not charged.amount(Resource.TOKENS):  # requests without an answer name the model that was asked
            continue
        if model not in provided.told:
            yield f"{model} was charged as {charged}, and nothing was told"
        elif _is_more(charged, provided.told[model]):
            yield f"{model} was charged as {charged}, and {provided.told[model]} was told"


def _is_right(told: Told, charged: Usage) -> bool:
    inputs = (told.tokens_in, told.cache_read, told.cache_write)
    if (charged.tokens_in, charged.cache_read, charged.cache_write) != inputs:
        return False
    return charged.tokens_out == told.tokens_out if told.whole else charged.tokens_out >= told.tokens_out


def _is_more(charged: Usage, told: Told) -> bool:
    return (
        charged.tokens_in > told.tokens_in
        or charged.cache_read > told.cache_read
        or charged.cache_write > told.cache_write
        or (told.whole and charged.tokens_out > told.tokens_out)
    )


def broken_off(histories: Sequence[History]) -> dict[str | None, int]:
    """How many attempts at each step ended before their runner did; under None those of all."""
    found = dict[str | None, int]()
    for history in histories:
        for step in history.execution.steps.values():
            found[name_of(history, step)] = sum(tried.status in BROKEN_OFF for tried in step.attempts)
    return {**found, None: sum(found.values())}


def outliving(histories: Sequence[History]) -> list[int]:
    """The processes of attempts that are still alive."""
    ours = {history.execution.id for history in histories}
    return [process.pid for process in psutil.process_iter() if _mark(process).partition("/")[0] in ours]


def _mark(process: psutil.Process) -> str:
    try:
        return process.environ().get(MARK, "")
    except (psutil.Error, OSError):
        return ""


def paused_for_budget(histories: Sequence[History]) -> int:
    """How many executions ran out of their budget and went on with more."""
    return sum(
        any(isinstance(event, ExecutionPaused) for event in history.events)
        and history.execution.status is ExecutionStatus.COMPLETED
        for history in histories
    )
