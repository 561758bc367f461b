"""Executions in a list: what is asked for, and what is shown of each."""

from dataclasses import dataclass

from engine_mcp.core.execution import ExecutionStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """Which executions to list, newest first: by status, by text in task or id, page by page.

    `after` is the id of the last one of the page before.
    """

    status: ExecutionStatus | None = None
    text: str = ""
    limit: int = 20
    after: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """One execution in a list; times are Unix seconds, `steps` all and `done` the completed ones."""

    id: str
    status: ExecutionStatus
    title: str
    created_at: float
    updated_at: float
    steps: int
    done: int
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A page of a list; `total` counts every match."""

    rows: tuple[Listed, ...]
    total: int
