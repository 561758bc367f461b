"""The strategy `parallel`: the dependency graph of the steps, each starting when its last dependency ends."""

from engine_mcp.core.plan import Draft, StepSpec
from engine_mcp.errors import InvalidPlan


def graph(draft: Draft) -> tuple[StepSpec, ...]:
    """The steps as given; what may run together follows from `depends_on` alone."""
    if not draft.steps:
        raise InvalidPlan("The strategy parallel needs steps.", field="steps")
    return draft.steps
