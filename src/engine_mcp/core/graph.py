"""The dependency graph of an execution: what may start, what cannot any more, what follows from what."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from graphlib import TopologicalSorter

from pydantic import JsonValue

from engine_mcp.core.execution import SETTLED, Execution, Output, Step, StepStatus
from engine_mcp.core.plan import StepSpec


@dataclass(frozen=True, slots=True)
class Board:
    """The steps of an execution by status, sorted once for every rule that looks at them."""

    execution: Execution
    by_status: Mapping[StepStatus, list[Step]]

    def of(self, *statuses: StepStatus) -> list[Step]:
        """The steps with one of the statuses, in the order of the plan within each."""
        return [step for status in statuses for step in self.by_status.get(status, ())]

    @property
    def settled(self) -> bool:
        """Whether nothing more will happen to any step."""
        return all(status in SETTLED for status in self.by_status)


def board(execution: Execution) -> Board:
    """The board of an execution as it stands."""
    by_status: dict[StepStatus, list[Step]] = {}
    for step in execution.steps.values():
        by_status.setdefault(step.status, []).append(step)
    return Board(execution, by_status)


def ready(now: Board) -> tuple[Step, ...]:
    """The pending steps whose dependencies are all satisfied, in the order of the plan."""
    steps = now.execution.steps
    found: list[Step] = []
    for step in now.of(StepStatus.PENDING):
        for dep in step.spec.depends_on:
            if not steps[dep].satisfied:
                break
        else:
            found.append(step)
    return tuple(found)


def blocked(now: Board) -> tuple[tuple[Step, tuple[str, ...]], ...]:
    """The pending steps that can never start, each with the dependencies that ended without success.

    Steps that only these block follow at the next look.
    """
    spoiled = {step.spec.id for step in now.of(StepStatus.FAILED, StepStatus.SKIPPED) if not step.satisfied}
    if not spoiled:
        return ()
    found = ((step, _among(spoiled, step)) for step in now.of(StepStatus.PENDING))
    return tuple((step, causes) for step, causes in found if causes)


def _among(spoiled: set[str], step: Step) -> tuple[str, ...]:
    return tuple(dep for dep in step.spec.depends_on if dep in spoiled)


def descendants(specs: Iterable[StepSpec], start: str) -> frozenset[str]:
    """The step `start` and every step that depends on it, directly or through others."""
    children: dict[str, list[str]] = {}
    for spec in specs:
        for dep in spec.depends_on:
            children.setdefault(dep, []).append(spec.id)
    found, frontier = {start}, [start]
    while frontier:
        fresh = [child for child in children.get(frontier.pop(), []) if child not in found]
        found.update(fresh)
        frontier.extend(fresh)
    return frozenset(found)


def affected(execution: Execution, failed: str) -> tuple[str, ...]:
    """The steps that cannot run because this one failed, in the order of the plan."""
    doomed = {failed} if not execution.steps[failed].spec.optional else set[str]()
    for name in _in_order(execution):
        needs = execution.steps[name].spec.depends_on
        if any(dep in doomed and (dep == failed or not execution.steps[dep].spec.optional) for dep in needs):
            doomed.add(name)
    return tuple(name for name in execution.steps if name in doomed - {failed})


def _in_order(execution: Execution) -> tuple[str, ...]:
    """The steps, each after those that it depends on."""
    needs = {name: step.spec.depends_on for name, step in execution.steps.items()}
    return tuple(TopologicalSorter(needs).static_order())


def outputs_of(step: Step, steps: Mapping[str, Step]) -> tuple[Step, ...]:
    """The completed dependencies of a step, whose outputs it is given."""
    named = (steps[dep] for dep in step.spec.depends_on)
    return tuple(dep for dep in named if dep.status is StepStatus.COMPLETED)


def output_of(execution: Execution) -> Output | None:
    """The output of the whole: that of the only step nobody depends on, else those of all such by id.

    None while there is none: what a step wrote before it failed or was stopped is no result.
    """
    needed = {dep for step in execution.steps.values() for dep in step.spec.depends_on}
    last = [step for name, step in execution.steps.items() if name not in needed]
    if len(last) == 1:
        return _result(last[0])
    found = {step.spec.id: _shown(output) for step in last if (output := _result(step)) is not None}
    return Output(value=found) if found else None


def _result(step: Step) -> Output | None:
    return step.output if step.status is StepStatus.COMPLETED else None


def _shown(output: Output) -> JsonValue:
    if output.artifact is None:
        return output.value
    return {"artifact": output.artifact.digest, "size": output.artifact.size}
