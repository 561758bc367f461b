"""Executions told as the events that led to them, at times that nobody has to think of."""

from typing import TypedDict, Unpack

from engine_mcp.core import event as ev
from engine_mcp.core.budget import Limits, Usage
from engine_mcp.core.evolve import fold
from engine_mcp.core.execution import Execution, Failure, Output
from engine_mcp.core.plan import Plan, StepSpec, StrategyName

AT = 1000.0


class More(TypedDict, total=False):
    """What a step of a story may have besides its id and what it depends on."""

    optional: bool
    requires_approval: bool
    max_attempts: int
    budget: Limits
    runtime: str
    model: str
    tool: str
    task: str


def spec(name: str, *needs: str, **more: Unpack[More]) -> StepSpec:
    """A step; a code step unless it says otherwise."""
    code = None if more.get("tool") or more.get("task") else "c"
    return StepSpec(id=name, code=code, depends_on=needs, **more)


def created(*specs: StepSpec, budget: Limits | None = None, parallelism: int = 4) -> ev.ExecutionCreated:
    limits = budget or Limits()
    plan = Plan(path="p", steps=specs, strategy=StrategyName.PARALLEL, budget=limits, parallelism=parallelism)
    return ev.ExecutionCreated(at=AT, execution_id="e", plan=plan, budget=limits)


def driven(epoch: int = 1) -> ev.ExecutionStarted:
    return ev.ExecutionStarted(at=AT, epoch=epoch, owner="o")


def begun(step: str, number: int = 1, at: float = AT) -> ev.AttemptStarted:
    return ev.AttemptStarted(at=at, step=step, number=number, seed=7, clock_ms=8)


def succeeded(
    step: str, number: int = 1, at: float = AT + 1, usage: Usage | None = None
) -> ev.AttemptSucceeded:
    output = Output(value=f"{step} is done")
    return ev.AttemptSucceeded(at=at, step=step, number=number, output=output, usage=usage or Usage())


def failed(
    step: str, code: str = "js_error", number: int = 1, *, final: bool = True, usage: Usage | None = None
) -> ev.AttemptFailed:
    return ev.AttemptFailed(
        at=AT + 1,
        step=step,
        number=number,
        failure=Failure(code, "it failed"),
        final=final,
        usage=usage or Usage(),
    )


def running(*specs: StepSpec, after: tuple[ev.Event, ...] = (), budget: Limits | None = None) -> Execution:
    """A running execution of these steps, after these events."""
    return fold(None, [created(*specs, budget=budget), driven(), *after])
