"""Shrinking on demand: whose conversations can be summarized when asked, and whose summaries undone."""

from engine_mcp.core.execution import Execution, Step
from engine_mcp.errors import InvalidArgument, NothingToSummarize

RUNTIME = "api"
"""The runtime whose conversations the engine holds; others summarize by themselves."""
Named = tuple[str, ...] | None
"""Step ids; none for every step that it can be done for, None where it is not asked for."""


def holds(step: Step) -> bool:
    """Whether the engine holds a conversation of the step that will go on."""
    last = step.attempt
    return bool(step.messages) and not step.settled and last is not None and last.runtime == RUNTIME


def summarized(execution: Execution, named: Named, runtime: str | None = None) -> tuple[str, ...]:
    """The steps whose conversations are to be reduced; `runtime` is where they are to go on, if elsewhere.

    Raises NothingToSummarize, or InvalidArgument for a step that does not exist.
    """
    if named is None:
        return ()
    _check_known(execution, named, "summarize")
    stays = runtime in {None, RUNTIME}
    holding = [name for name, step in execution.steps.items() if stays and holds(step)]
    if idle := [name for name in named if name not in holding]:
        text = f"There is no conversation to make smaller in: {', '.join(idle)}."
        raise NothingToSummarize(text, field="summarize")
    if not holding:
        raise NothingToSummarize(field="summarize")
    return named or tuple(holding)


def restored(execution: Execution, named: Named) -> tuple[str, ...]:
    """The steps whose summaries are undone, or whose stubs; raises InvalidArgument for an unknown step."""
    if named is None:
        return ()
    _check_known(execution, named, "restore")
    reduced = [name for name, step in execution.steps.items() if step.messages and _is_reduced(step)]
    return tuple(name for name in reduced if not named or name in named)


def _is_reduced(step: Step) -> bool:
    return bool(step.summaries or step.shape.last or step.shape.masked)


def unrestored(execution: Execution, named: Named) -> str:
    """A warning of what has no summary to undo; empty where all is well."""
    if named is None:
        return ""
    found = restored(execution, named)
    left = [name for name in named if name not in found]
    if left:
        return f"There is no summary to undo in: {', '.join(left)}."
    return "" if found else "There is no summary to undo."


def originals(step: Step) -> int:
    """About how many tokens the conversation of a step had without the summaries that stand in it."""
    last = step.summaries[-1].tokens_after if step.summaries else 0
    return last + sum(summary.tokens_before - summary.tokens_after for summary in step.summaries)


def _check_known(execution: Execution, named: tuple[str, ...], field: str) -> None:
    for name in named:
        if name not in execution.steps:
            known = ", ".join(execution.steps)
            raise InvalidArgument(f"There is no step {name!r}; the steps are: {known}.", field=field)
