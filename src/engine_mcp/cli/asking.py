"""Questions to a person at the terminal, about what a paused execution waits for."""

from dataclasses import dataclass

import click

from engine_mcp.app import App
from engine_mcp.cli.limits import Met, met, worth
from engine_mcp.cli.session import Begin, Rest
from engine_mcp.cli.spending import BY
from engine_mcp.cli.voice import note
from engine_mcp.cli.waiting import waits
from engine_mcp.cli.words import asked_for, plain, until
from engine_mcp.core.budget import Limits
from engine_mcp.core.execution import Execution, ExecutionStatus, Step, StepStatus
from engine_mcp.core.request import Resume
from engine_mcp.settings import Settings

WAIT = "wait"


@dataclass(frozen=True, slots=True)
class Next:
    """How to go on; with `stay` once the time has come for which the execution waits."""

    begin: Begin
    stay: bool = False


def asked(rest: Rest, settings: Settings) -> Next | None:
    """How a person at the terminal wants to go on with an execution that waits; None to leave it paused."""
    if rest.execution.status is not ExecutionStatus.PAUSED:
        return None
    match rest.execution.reason:
        case "budget":
            return _more(rest, settings)
        case "approval":
            return _approvals(rest)
        case _:
            return _no_question(rest, settings)


def _no_question(rest: Rest, settings: Settings) -> Next | None:
    """What cannot be granted here can still be waited for, where it comes by itself."""
    found = waits(rest, settings)
    if found is None or found.until is None or found.until <= rest.now:
        return None
    question = f"It can go on {until(found.until, rest.now).removeprefix('until ')}. Wait here for it?"
    return Next(_shown(rest), stay=True) if click.confirm(question, default=False, err=True) else None


def _approvals(rest: Rest) -> Next | None:
    steps = rest.execution.steps.items()
    waiting = [(name, step) for name, step in steps if step.status is StepStatus.AWAITING_APPROVAL]
    answers = {name: _answer(name, step, rest.now) for name, step in waiting}
    approve = tuple(name for name, answer in answers.items() if answer == "y")
    deny = tuple(name for name, answer in answers.items() if answer == "n")
    if not approve and not deny:
        return None
    return Next(_resuming(rest, Resume(approve=approve, deny=deny)))


def _answer(name: str, step: Step, now: float) -> str:
    kinds = click.Choice(["y", "n", "later"])
    if wanted := asked_for(step.asking, now):
        note(f"The step {name} wants{wanted}" if step.asking and step.asking.call else f"{name}{wanted}")
    answer: str = click.prompt(f"Approve the step {name}?", type=kinds, default="later", err=True)
    return answer


def _more(rest: Rest, settings: Settings) -> Next | None:
    """New limits in the place of those that are reached, where they can be had here."""
    limits = met(rest.execution, rest.now, rest.outlook)
    if not limits or any(one.standing.cap for one in limits):
        found = waits(rest, settings)
        note("\n".join((*found.told, found.hint)) if found is not None else "")
        return _no_question(rest, settings)
    raised: list[tuple[Met, Limits]] = []
    for one in limits:
        answer = _new_limit(one, rest)
        if answer == WAIT:
            return Next(_shown(rest), stay=True)
        if not isinstance(answer, float) or answer <= one.limit:
            return None
        raised.append((one, one.raised(answer)))
    return Next(_raising(rest, raised))


def _new_limit(one: Met, rest: Rest) -> float | str:
    at = rest.execution.until if one.standing.period is not None else None
    spent = worth(one.resource, one.standing.spent.of(one.resource))
    used = f" {spent} are spent." if one.standing.period is not None else ""
    ways = f", {WAIT!r} ({until(at, rest.now)})" if at is not None else ""
    question = f"{one.told}{used} A new limit{ways}, or nothing to leave it paused"
    return click.prompt(plain(question), value_proc=_number_or_wait, default="", show_default=False, err=True)


def _number_or_wait(text: str) -> float | str:
    text = text.strip().removeprefix("$")
    if text in {"", WAIT}:
        return text
    try:
        return float(text)
    except ValueError:
        raise click.UsageError(f"{text!r} is no number.") from None


def _shown(rest: Rest) -> Begin:
    async def begin(app: App) -> Execution:
        return await app.engine.show(rest.execution.id)

    return begin


def _resuming(rest: Rest, request: Resume) -> Begin:
    async def begin(app: App) -> Execution:
        return await app.engine.resume(rest.execution.id, request)

    return begin


def _raising(rest: Rest, raised: list[tuple[Met, Limits]]) -> Begin:
    async def begin(app: App) -> Execution:
        engine, execution = app.engine, rest.execution
        own = Limits()
        by_step: dict[str, Limits] = {}
        for one, limits in raised:
            if one.standing.period is not None:
                await engine.treasury.limit(one.standing.period, limits, BY)
            elif one.step:
                by_step[one.step] = by_step.get(one.step, Limits()).merged(limits)
            else:
                own = own.merged(limits)
        return await engine.resume(execution.id, Resume(budget=own, step_budgets=by_step))

    return begin
