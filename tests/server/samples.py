"""Executions for tests, folded from events as the engine would record them."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from pydantic import JsonValue

from engine_mcp.core import event as ev
from engine_mcp.core.budget import Limits, OnExceed
from engine_mcp.core.evolve import fold
from engine_mcp.core.execution import Artifact, Execution, Failure, Output, Progress, StopMode
from engine_mcp.core.plan import Plan, StepSpec, StrategyName
from engine_mcp.core.script import ScriptLimits
from engine_mcp.server.arguments import Edge

NOW = 1_800_000_000.0
ID = "01a1fd6f-0097-7243-9d40-de5403c9ff2f"
SNAPSHOT = f"/project/.engine-mcp/executions/{ID}/snapshot.json"
CEILINGS = ScriptLimits(memory_mb=256, cpu_s=40, wall_s=90, stack_kb=1024, max_calls=500, max_output_kb=8192)


def edge_of(*roots: Path, on_exceed: OnExceed = OnExceed.WARN) -> Edge:
    return Edge(roots=roots, ceilings=CEILINGS, on_exceed=on_exceed)


def code(name: str, *needs: str, **more: object) -> StepSpec:
    return replace(StepSpec(id=name, code="return 1", depends_on=needs), **more)


def created(*steps: StepSpec, budget: Limits | None = None, task: str | None = "count") -> Execution:
    """A pending execution of these steps; of one named `main` if there are none."""
    limits = budget or Limits()
    plan = Plan(
        path="/project",
        steps=steps or (code("main"),),
        strategy=StrategyName.PARALLEL,
        task=task,
        budget=limits,
    )
    return fold(None, [ev.ExecutionCreated(at=NOW, execution_id=ID, plan=plan, budget=limits)])


def after(execution: Execution, *events: ev.Event) -> Execution:
    return fold(execution, events)


def started(*steps: StepSpec, budget: Limits | None = None) -> Execution:
    return after(created(*steps, budget=budget), ev.ExecutionStarted(at=NOW, epoch=1, owner=""))


def begun(execution: Execution, *names: str) -> Execution:
    """With an attempt of each of these steps under way."""
    return after(
        execution,
        *(
            ev.AttemptStarted(at=NOW, step=name, number=len(execution.steps[name].attempts) + 1)
            for name in names
        ),
    )


def done(execution: Execution, outputs: dict[str, JsonValue]) -> Execution:
    """With these steps completed."""
    return after(begun(execution, *outputs), *_succeeded(outputs))


def _succeeded(outputs: dict[str, JsonValue]) -> Iterable[ev.Event]:
    for name, value in outputs.items():
        yield ev.AttemptSucceeded(at=NOW + 1, step=name, number=1, output=Output(value=value))


def broken(execution: Execution, name: str, failure: Failure) -> Execution:
    """With this step failed."""
    number = len(execution.steps[name].attempts) + 1
    return after(
        begun(execution, name), ev.AttemptFailed(at=NOW + 1, step=name, number=number, failure=failure)
    )


def reporting(execution: Execution, name: str, done_: float, total: float | None, text: str) -> Execution:
    progress = Progress(done=done_, total=total, message=text)
    return after(execution, ev.ProgressReported(at=NOW, step=name, progress=progress))


def stopped(execution: Execution, reason: str = "asked") -> Execution:
    """Interrupted, with its running attempts."""
    halted = [
        ev.AttemptInterrupted(at=NOW + 1, step=step.spec.id, number=len(step.attempts))
        for step in execution.running
    ]
    return after(
        execution,
        ev.StopRequested(at=NOW + 1, mode=StopMode.NOW, reason=reason),
        *halted,
        ev.ExecutionInterrupted(at=NOW + 1, reason=reason),
    )


def artifact(digest: str = "ab" * 32, name: str | None = None) -> Artifact:
    return Artifact(digest=digest, size=100_000, name=name, excerpt="[1, 2, 3")
