"""An execution in a list: its title, and whether a query finds it."""

from engine_mcp.core.execution import Execution, ExecutionStatus, StepStatus
from engine_mcp.core.listing import Listed, Query

TITLE_CHARS = 100
WORDS_CHARS = 2000
ACTIVE = frozenset({ExecutionStatus.PENDING, ExecutionStatus.RUNNING})
"""The statuses of executions that somebody should be driving."""
FINISHED = frozenset({ExecutionStatus.COMPLETED, ExecutionStatus.FAILED, ExecutionStatus.CANCELLED})
"""The statuses that retention looks at."""


def listed(execution: Execution) -> Listed:
    """What a list shows of an execution."""
    return Listed(
        id=execution.id,
        status=execution.status,
        title=_title(_work(execution)),
        created_at=execution.created_at,
        updated_at=execution.updated_at,
        steps=len(execution.steps),
        done=sum(step.status is StepStatus.COMPLETED for step in execution.steps.values()),
        reason=execution.reason,
    )


def words(execution: Execution) -> str:
    """What the text of a query is looked for in."""
    return folded(f"{execution.id} {_work(execution)[:WORDS_CHARS]}")


def folded(text: str) -> str:
    """Text as it is compared: without case."""
    return text.casefold()


def matches(execution: Execution, query: Query) -> bool:
    """Whether a query asks for this execution, its place in the pages aside."""
    right_status = query.status is None or execution.status is query.status
    return right_status and folded(query.text) in words(execution)


def _work(execution: Execution) -> str:
    if execution.plan.task:
        return execution.plan.task
    works = (step.spec.task or step.spec.tool or step.spec.code for step in execution.steps.values())
    return next(works, None) or ""


def _title(work: str) -> str:
    line = work.strip().partition("\n")[0].rstrip()
    return line if len(line) <= TITLE_CHARS else line[: TITLE_CHARS - 1] + "…"
