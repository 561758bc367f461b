"""The legal changes of status, one table each; the docs draw their diagram from them."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import TypeVar

from engine_mcp.core.execution import ExecutionStatus as E
from engine_mcp.core.execution import StepStatus as S
from engine_mcp.errors import IllegalTransition

EXECUTION: Mapping[E, frozenset[E]] = MappingProxyType(
    {
        E.PENDING: frozenset({E.RUNNING, E.INTERRUPTED, E.CANCELLED}),
        E.RUNNING: frozenset({E.PAUSED, E.INTERRUPTED, E.COMPLETED, E.FAILED, E.CANCELLED}),
        E.PAUSED: frozenset({E.PENDING, E.CANCELLED}),
        E.INTERRUPTED: frozenset({E.PENDING, E.CANCELLED}),
        E.FAILED: frozenset({E.PENDING}),
        E.COMPLETED: frozenset({E.PENDING}),
        E.CANCELLED: frozenset(),
    }
)
"""pending: waits for a process or a place; every way back to running leads through it."""

STEP: Mapping[S, frozenset[S]] = MappingProxyType(
    {
        S.PENDING: frozenset({S.RUNNING, S.SKIPPED, S.AWAITING_APPROVAL}),
        S.AWAITING_APPROVAL: frozenset({S.PENDING, S.FAILED, S.SKIPPED}),
        S.RUNNING: frozenset({S.COMPLETED, S.FAILED, S.INTERRUPTED, S.PENDING, S.AWAITING_APPROVAL}),
        S.INTERRUPTED: frozenset({S.PENDING}),
        S.COMPLETED: frozenset({S.PENDING}),
        S.FAILED: frozenset({S.PENDING}),
        S.SKIPPED: frozenset({S.PENDING}),
    }
)
"""running → pending is a retry; the ways back from an ended step are taken by resume only."""

Status = TypeVar("Status", E, S)


def change(table: Mapping[Status, frozenset[Status]], old: Status, new: Status) -> Status:
    """`new`, if the table allows it after `old`; raises IllegalTransition otherwise."""
    if new not in table[old]:
        msg = f"{type(old).__name__} cannot go from {old} to {new}."
        raise IllegalTransition(msg)
    return new
