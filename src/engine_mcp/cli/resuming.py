"""The commands that go on with an execution, exactly as they can be typed here."""

import shlex
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path

from engine_mcp.cli.limits import FIELDS, Met, met
from engine_mcp.cli.session import Rest
from engine_mcp.cli.words import number
from engine_mcp.core.execution import Execution, ExecutionStatus, StepStatus
from engine_mcp.server.advice import denied
from engine_mcp.settings import Settings

NAMED_AT_MOST = 20
AGAIN = frozenset({ExecutionStatus.INTERRUPTED, ExecutionStatus.FAILED, ExecutionStatus.PAUSED})


def program() -> list[str]:
    """How this program was called, so that it can be called again."""
    called = Path(sys.argv[0])
    if called.name == "__main__.py":
        return [sys.executable, "-m", "engine_mcp"]
    found = shutil.which("engine-mcp")
    return ["engine-mcp"] if found and Path(found) == called.absolute() else [sys.argv[0]]


def command(verb: str, execution_id: str, settings: Settings, *more: str) -> str:
    """A command about an execution, quoted for the shell."""
    return _typed([verb, execution_id], settings, *more)


def resume_command(rest: Rest, settings: Settings) -> str | None:
    """What to type to go on, with what the execution waits for; None if there is nothing to go on with."""
    execution = rest.execution
    if execution.status not in AGAIN:
        return None
    if execution.status is ExecutionStatus.PAUSED and execution.reason == "budget":
        return " && ".join(_with_more(rest, settings))
    return command("resume", execution.id, settings, *(_approvals(execution) or _anew(execution)))


def _typed(words: list[str], settings: Settings, *more: str) -> str:
    place = [] if settings.project == Path.cwd() else ["--path", str(settings.project)]
    return shlex.join([*program(), *words, *place, *more])


def _approvals(execution: Execution) -> list[str]:
    steps = execution.steps.items()
    waiting = [name for name, step in steps if step.status is StepStatus.AWAITING_APPROVAL]
    return [word for name in waiting[:NAMED_AT_MOST] for word in ("--approve", name)]


def _anew(execution: Execution) -> list[str]:
    """To ask again for a step that was denied, where nothing else failed."""
    failed = [name for name, step in execution.steps.items() if step.status is StepStatus.FAILED]
    refused = denied(execution)
    return ["--from-step", refused[0]] if refused and {*failed} <= {*refused} else []


def _with_more(rest: Rest, settings: Settings) -> Iterable[str]:
    """The commands that raise what is reached, as far as it can be raised here, and the one that goes on."""
    execution = rest.execution
    raisable = [one for one in met(execution, rest.now, rest.outlook) if not one.standing.cap]
    for period in dict.fromkeys(one.standing.period for one in raisable if one.standing.period):
        shared = [one for one in raisable if one.standing.period is period]
        yield _typed(["budget"], settings, f"--{period}", *_limits(shared))
    own = [one for one in raisable if one.standing.period is None and not one.step]
    # One step at a time: a command has one set of limits.
    step = next((one.step for one in raisable if one.step), "")
    if not step:
        yield command("resume", execution.id, settings, *_limits(own))
        return
    if own:
        yield command("budget", execution.id, settings, *_limits(own))
    of_step = [one for one in raisable if one.step == step]
    yield command("resume", execution.id, settings, "--step", step, *_limits(of_step))


def _limits(reached: Iterable[Met]) -> list[str]:
    return [word for one in reached for word in (_flag(one), number(one.enough))]


def _flag(one: Met) -> str:
    return f"--{FIELDS[one.resource].replace('_', '-')}"
