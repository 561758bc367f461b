"""Steps with other limits, in the place of those that are not completed."""

from collections.abc import Mapping
from dataclasses import replace

from engine_mcp.core.budget import Limits
from engine_mcp.core.execution import Execution, StepStatus
from engine_mcp.core.plan import StepSpec
from engine_mcp.errors import InvalidArgument


def with_limits(execution: Execution, limits: Mapping[str, Limits]) -> tuple[StepSpec, ...]:
    """Every step that is not completed, with new limits for those named; they all begin anew.

    Raises InvalidArgument that names a step which is not there or is completed.
    """
    left = {
        name: step.spec for name, step in execution.steps.items() if step.status is not StepStatus.COMPLETED
    }
    for name in limits:
        if name not in left:
            known = ", ".join(left) or "none"
            text = f"The step {name!r} is not one that is still to be completed; those are: {known}."
            raise InvalidArgument(text, field="--step")
    changed = {
        name: replace(left[name], budget=left[name].budget.merged(more)) for name, more in limits.items()
    }
    return tuple({**left, **changed}.values())
