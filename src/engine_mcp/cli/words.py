"""Events and amounts in a few words."""

import json
import re
import time
from functools import singledispatch

from engine_mcp.core import event as ev
from engine_mcp.core.execution import Asking, Execution, Failure, Output, Progress, Step, Switched
from engine_mcp.core.fallback import Retry, Wait
from engine_mcp.core.outlook import CLEAR, Outlook
from engine_mcp.core.passage import Ways, verdict
from engine_mcp.core.retry import due_at
from engine_mcp.core.treatment import treatment
from engine_mcp.server import reductions

ARGUMENTS = 200
"""Characters shown of what a call that waits for approval is called with."""
SHARE = "spending_limit"
"""The code of an attempt that was stopped at its share, which is no failure."""
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


def number(value: float) -> str:
    """A number without what it does not need: `2`, `0.25`, `1000000`; only nothing at all is `0`."""
    text = f"{value:.6f}".rstrip("0").rstrip(".")
    if text not in {"0", "-0"}:
        return text
    return "<0.000001" if value > 0 else "0"


def moment(at: float) -> str:
    """A time on this machine's clock: `2026-11-22 00:00`."""
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(at))


def until(at: float, now: float) -> str:
    """A time to come, and how far it is: `until 2026-11-22 00:00, in 8 h 2 min`."""
    return f"until {moment(at)}, in {duration(at - now)}" if at > now else "until now"


def asked_for(asking: Asking | None, now: float) -> str:
    """What an approval is for and how long it can be given: ` to call note({…}), until …`."""
    if asking is None:
        return ""
    given = asking.arguments if len(asking.arguments) <= ARGUMENTS else f"{asking.arguments[:ARGUMENTS]}…"
    call = f" to call {asking.call}({given})" if asking.call else ""
    return plain(f"{call}, {until(asking.until, now)}" if asking.until is not None else call)


def switch(change: Switched) -> str:
    """A change of route: `⇢ opencode: why`."""
    return plain(f"⇢ {change.to.runtime}: {change.why}")


def next_try(step: Step, execution: Execution, now: float, outlook: Outlook = CLEAR) -> str:
    """When a step is tried again, `next try in 4.0 s`; empty where that is not what it waits for.

    `outlook` tells what is known to be broken.
    """
    last = step.attempt
    if last is not None and last.failure is not None and treatment(last.failure.code).pause is not None:
        return ""
    due = _due(step, execution, now, outlook)
    return f"next try in {duration(due - now)}" if due > now else ""


def _due(step: Step, execution: Execution, now: float, outlook: Outlook) -> float:
    case = Ways(execution, outlook, now).case(step) if step.tries else None
    if case is None:
        return due_at(step, execution.id)
    match verdict(case):
        case Retry(at=at):
            return at
        case Wait(until=until):
            return until or 0.0
        case _:
            return 0.0


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
    del execution
    return reductions.told(event)


@told.register
def _(event: ev.AttemptStarted, execution: Execution) -> str:
    del execution
    return f"{event.step}: started" + (f", attempt {event.number}" if event.number > 1 else "")


@told.register
def _(event: ev.AttemptSucceeded, execution: Execution) -> str:
    return f"{event.step}: completed in {_took(event, execution)}"


@told.register
def _(event: ev.AttemptFailed, execution: Execution) -> str:
    again = "used up its share and goes on" if event.failure.code == SHARE else "failed and will be repeated"
    what = "failed" if event.final else f"attempt {event.number} {again}"
    keeps = f"; keeps from running: {', '.join(event.affects)}" if event.affects else ""
    why = failure(event.failure)
    return f"{event.step}: {what}, after {_took(event, execution)}: {why}{keeps}{_next(event, execution)}"


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
    return f"{event.step}: waits for approval{asked_for(event.asking, event.at)}"


@told.register
def _(event: ev.ApprovalAnswered, execution: Execution) -> str:
    del execution
    return f"{event.step}: answer to its approval: {event.answer} ({event.by})"


@told.register
def _(event: ev.RouteSwitched, execution: Execution) -> str:
    del execution
    return f"{event.step}: {switch(event.switch)}"


@told.register
def _(event: ev.ArtifactWritten, execution: Execution) -> str:
    del execution
    artifact = event.artifact
    return f"{event.step}: wrote {artifact.name or artifact.digest[:12]} ({amount(artifact.size)})"


@told.register
def _(event: ev.BudgetWarned, execution: Execution) -> str:
    del execution
    whose = (
        f" of this {event.period}" if event.period else f" of the step {event.step!r}" if event.step else ""
    )
    limit, used = number(event.limit), number(event.used)
    return f"budget: the limit of {limit} {event.resource}{whose} was passed: {used}"


Ended = ev.AttemptSucceeded | ev.AttemptFailed | ev.AttemptInterrupted


def _took(event: Ended, execution: Execution) -> str:
    attempts = execution.steps[event.step].attempts
    begun = next((attempt.started_at for attempt in attempts if attempt.number == event.number), event.at)
    return duration(event.at - begun)


def _next(event: ev.AttemptFailed, execution: Execution) -> str:
    step = execution.steps[event.step]
    last = step.attempt
    if event.final or last is None or last.number != event.number:
        return ""
    again = next_try(step, execution, event.at)
    return f"; {again}" if again else ""
