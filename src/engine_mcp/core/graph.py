"""The dependency graph of an execution: what may start, what cannot any more, what follows from what."""

from collections.abc import Iterable, Mapping

from pydantic import JsonValue

from engine_mcp.core.execution import Execution, Output, Step, StepStatus
from engine_mcp.core.plan import StepSpec


def ready(execution: Execution) -> tuple[Step, ...]:
    """The pending steps whose dependencies are all satisfied, in the order of the plan."""
    steps = execution.steps
    return tuple(
        step
        for step in steps.values()
        if step.status is StepStatus.PENDING and all(steps[dep].satisfied for dep in step.spec.depends_on)
    )


def blocked(execution: Execution) -> tuple[tuple[Step, tuple[str, ...]], ...]:
    """The pending steps that can never start, each with the dependencies that ended without success."""
    steps = execution.steps
    doomed: set[str] = set()
    found: list[tuple[Step, tuple[str, ...]]] = []
    for step in steps.values():
        if step.status is not StepStatus.PENDING:
            continue
        causes = tuple(dep for dep in step.spec.depends_on if dep in doomed or _spoils(steps[dep]))
        if causes:
            found.append((step, causes))
            if not step.spec.optional:
                doomed.add(step.spec.id)
    return tuple(found)


def _spoils(step: Step) -> bool:
    return step.settled and not step.satisfied


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


def outputs_of(step: Step, steps: Mapping[str, Step]) -> tuple[Step, ...]:
    """The completed dependencies of a step, whose outputs it is given."""
    named = (steps[dep] for dep in step.spec.depends_on)
    return tuple(dep for dep in named if dep.status is StepStatus.COMPLETED)


def output_of(execution: Execution) -> Output | None:
    """The output of the whole: that of the only step nobody depends on, else those of all such by id.

    None while there is none.
    """
    needed = {dep for step in execution.steps.values() for dep in step.spec.depends_on}
    last = [step for name, step in execution.steps.items() if name not in needed]
    if len(last) == 1:
        return last[0].output
    found = {step.spec.id: _shown(step.output) for step in last if step.output is not None}
    return Output(value=found) if found else None


def _shown(output: Output) -> JsonValue:
    if output.artifact is None:
        return output.value
    return {"artifact": output.artifact.digest, "size": output.artifact.size}
