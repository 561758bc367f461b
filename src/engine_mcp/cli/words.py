"""Events and amounts in a few words."""

import json
import re
from functools import singledispatch

from engine_mcp.core import event as ev
from engine_mcp.core.execution import Execution, Failure, Output, Progress

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def plain(text: str) -> str:
    """A text without what a terminal would obey: scripts and files say things that are only to be read."""
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text)


def duration(seconds: float) -> str:
    """A time span as people read it: `0.4 s`, `12 s`, `3 min 20 s`, `2 h 5 min`."""
    if seconds < 10:  # noqa: PLR2004 - below, a tenth matters
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def amount(size: int) -> str:
    """A number of bytes: `812 bytes`, `4.1 KiB`, `2.0 MiB`."""
    if size < 1 << 10:
        return f"{size} bytes"
    return f"{size / (1 << 10):.1f} KiB" if size < 1 << 20 else f"{size / (1 << 20):.1f} MiB"


def progress(told: Progress) -> str:
    """A progress report: `12/40 reading`."""
    done = f"{told.done:g}" if told.total is None else f"{told.done:g}/{told.total:g}"
    return plain(f"{done} {told.message}".rstrip())


def failure(why: Failure) -> str:
    """Why something failed, with its code in front."""
    return plain(f"{why.code}: {why.message}")


def typed(hint: str) -> str:
    """A hint with the commands of the command line in place of the tools of the server."""
    hint = hint.replace("`engine_status` without arguments, or ", "")
    return hint.replace("`engine_execute`", "`engine-mcp run`").replace("`engine_", "`engine-mcp ")


def excerpt(output: Output, most: int) -> str:
    """An output as text of at most `most` characters: a string as it is, anything else as JSON."""
    if output.artifact is not None:
        return f"{amount(output.artifact.size)} in the artifact {output.artifact.digest[:12]}"
    value = output.value
    text = plain(value) if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= most else f"{text[:most]}…"


def stopping(reason: str, *, again: bool) -> str:
    """That it is being interrupted; `again` if somebody asked before."""
    return "Still saving." if again else f"Interrupting ({reason}): everything done so far is kept."


@singledispatch
def told(event: ev.Event, execution: Execution) -> str | None:
    """What a reader along is told of an event; None for what only matters to the record."""
    del event, execution
    return None


@told.register
def _(event: ev.AttemptStarted, execution: Execution) -> str:
    del execution
    return f"{event.step}: started" + (f", attempt {event.number}" if event.number > 1 else "")


@told.register
def _(event: ev.AttemptSucceeded, execution: Execution) -> str:
    return f"{event.step}: completed in {_took(event, execution)}"


@told.register
def _(event: ev.AttemptFailed, execution: Execution) -> str:
    what = "failed" if event.final else f"attempt {event.number} failed and will be repeated"
    return f"{event.step}: {what}, after {_took(event, execution)}: {failure(event.failure)}"


@told.register
def _(event: ev.AttemptInterrupted, execution: Execution) -> str:
    return f"{event.step}: interrupted after {_took(event, execution)}"


@told.register
def _(event: ev.StepSkipped, execution: Execution) -> str:
    del execution
    return f"{event.step}: skipped: {event.failure.message}"


@told.register
def _(event: ev.ApprovalRequested, execution: Execution) -> str:
    del execution
    return f"{event.step}: waits for approval"


@told.register
def _(event: ev.ArtifactWritten, execution: Execution) -> str:
    del execution
    artifact = event.artifact
    return f"{event.step}: wrote {artifact.name or artifact.digest[:12]} ({amount(artifact.size)})"


@told.register
def _(event: ev.BudgetWarned, execution: Execution) -> str:
    del execution
    return f"budget: the limit of {event.limit:g} {event.resource} was passed: {event.used:g}"


Ended = ev.AttemptSucceeded | ev.AttemptFailed | ev.AttemptInterrupted


def _took(event: Ended, execution: Execution) -> str:
    attempts = execution.steps[event.step].attempts
    begun = next((attempt.started_at for attempt in attempts if attempt.number == event.number), event.at)
    return duration(event.at - begun)
