"""The strategy `multi`: a chain of roles, each beginning where the one before ended."""

from dataclasses import replace
from itertools import pairwise

from engine_mcp.core.plan import Draft, StepSpec, TaskType
from engine_mcp.errors import InvalidPlan

_ROLES = ("architect", "developer")
_REVIEWED = frozenset({TaskType.ARCHITECTURE, TaskType.REFACTOR})


def chain(draft: Draft) -> tuple[StepSpec, ...]:
    """The given steps in their order, or one step a role; each depends on the one before."""
    specs = draft.steps or _of_roles(draft)
    linked = [specs[0]]
    for before, spec in pairwise(specs):
        linked.append(_after(before.id, spec))
    return tuple(linked)


def _after(before: str, spec: StepSpec) -> StepSpec:
    return spec if before in spec.depends_on else replace(spec, depends_on=(*spec.depends_on, before))


def _of_roles(draft: Draft) -> tuple[StepSpec, ...]:
    if draft.code is not None or draft.tool is not None:
        raise InvalidPlan("The strategy multi needs a task or steps.", field="strategy")
    roles = (*_ROLES, "reviewer") if draft.task_type in _REVIEWED else _ROLES
    return tuple(
        StepSpec(id=role, task=draft.task, agent=role, permissions=draft.permissions, limits=draft.limits)
        for role in roles
    )
