"""The strategy `single`: one step does it all."""

from engine_mcp.core.plan import Draft, StepSpec
from engine_mcp.errors import InvalidPlan


def one(draft: Draft) -> tuple[StepSpec, ...]:
    """The only step given, or one made of the task, script or tool."""
    if len(draft.steps) > 1:
        msg = f"The strategy single takes one step; there are {len(draft.steps)}."
        raise InvalidPlan(msg, field="strategy", hint="Use the strategy multi or parallel, or auto.")
    if draft.steps:
        return draft.steps
    alone = draft.code is None and draft.tool is None
    return (
        StepSpec(
            id="main",
            task=draft.task if alone else None,
            code=draft.code,
            tool=draft.tool,
            arguments=draft.arguments,
            permissions=draft.permissions,
            limits=draft.limits,
        ),
    )
