"""What a paused execution waits for, until when, and what to do about it."""

from collections.abc import Iterator
from dataclasses import dataclass

from pydantic import JsonValue

from engine_mcp.catalogue import CATALOGUE
from engine_mcp.cli.limits import met
from engine_mcp.cli.session import Rest
from engine_mcp.cli.words import asked_for, failure, typed, until
from engine_mcp.core.breaker import blocks
from engine_mcp.core.execution import Execution, ExecutionStatus, Failure, Step, StepStatus
from engine_mcp.core.route import Domain
from engine_mcp.server.times import utc
from engine_mcp.settings import PREFIX, Settings

CODES = {
    "budget": "budget_exceeded",
    "quota": "quota_exhausted",
    "billing": "credit_exhausted",
    "auth": "unauthorized",
    "unpriced": "unpriced",
    "storage": "storage",
}
"""The reasons of pauses that have a code of the catalogue."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Waits:
    """What is waited for, in sentences; what helps; and when it comes by itself, in Unix seconds."""

    code: str | None
    told: tuple[str, ...]
    hint: str = ""
    until: float | None = None

    def shown(self, command: str | None) -> dict[str, JsonValue]:
        """The same as JSON, with the command to type."""
        found: dict[str, JsonValue] = {"message": " ".join(self.told), "hint": self.hint}
        if self.code is not None:
            found["code"] = self.code
        if self.until is not None:
            found["until"] = utc(self.until)
        return found if command is None else {**found, "command": command}


def waits(rest: Rest, settings: Settings) -> Waits | None:
    """What an execution waits for; None where it is not paused."""
    execution = rest.execution
    if execution.status is not ExecutionStatus.PAUSED:
        return None
    reason = execution.reason or ""
    code = CODES.get(reason)
    told = list(_told(rest, reason))
    if execution.until is not None and reason != "approval":
        wakes = execution.plan.auto_resume and execution.stopping is None
        alone = "goes on by itself" if wakes else "can go on"
        told.append(f"It {alone} {until(execution.until, rest.now).removeprefix('until ')}.")
    hint = _hint(rest, settings, reason) or (typed(CATALOGUE[code].remedy) if code is not None else "")
    return Waits(code=code, told=tuple(told), hint=hint, until=execution.until)


def _told(rest: Rest, reason: str) -> Iterator[str]:
    execution = rest.execution
    match reason:
        case "budget":
            limits = met(execution, rest.now, rest.outlook)
            # Without any it was somebody's wish, made over a limit that only warns.
            yield from (one.told for one in limits) if limits else execution.warnings[-1:]
        case "approval":
            for name, step in execution.steps.items():
                if step.status is StepStatus.AWAITING_APPROVAL:
                    yield f"{name} needs approval{asked_for(step.asking, rest.now)}"
        case "quota" | "billing" | "auth":
            yield from dict.fromkeys(f"{name}: {failure(why)}" for name, why in _evidence(rest))
        case "unpriced":
            yield from _unpriced(execution)
        case _:
            pass


def _unpriced(execution: Execution) -> Iterator[str]:
    for name, step in execution.steps.items():
        if not step.settled and step.choice is not None and not step.choice.priced:
            model = step.choice.model or "the default model"
            yield f"{name}: nobody knows what {model} costs on {step.choice.runtime}."


def _evidence(rest: Rest) -> Iterator[tuple[str, Failure]]:
    """What each step that is kept away was told, or what others were told before it."""
    for name, step in rest.execution.steps.items():
        last = step.attempt
        if step.settled or step.choice is None:
            continue
        if last is not None and last.failure is not None:
            yield name, last.failure
        else:
            yield from ((name, why) for why in _broken(step, rest))


def _broken(step: Step, rest: Rest) -> Iterator[Failure]:
    route = step.choice.route if step.choice is not None else None
    for domain in Domain if route is not None else ():
        breaker = rest.outlook.breakers.get(route.part(domain)) if route is not None else None
        if breaker is not None and blocks(breaker, rest.now):
            yield Failure(breaker.code, breaker.evidence)


def _hint(rest: Rest, settings: Settings, reason: str) -> str:
    """What to do, where it is more than the catalogue knows."""
    if reason == "budget":
        caps = [one.setting for one in met(rest.execution, rest.now, rest.outlook) if one.setting]
        names = ", ".join(f"{cap} ({PREFIX}{cap.replace('.', '_').upper()})" for cap in caps)
        return f"A cap cannot be raised from here; the operator sets {names}." if caps else ""
    if reason == "unpriced":
        file = settings.spending.prices or (settings.user and settings.user / "prices.yaml")
        return f"{typed(CATALOGUE['unpriced'].remedy)} The price file is {file}." if file else ""
    return ""
