"""The limits that keep a paused execution from going on: whose they are, and what would be enough."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from engine_mcp.cli.words import number
from engine_mcp.core.admission import pauses, spent, stops, used_by
from engine_mcp.core.budget import Limits, Resource
from engine_mcp.core.execution import Execution
from engine_mcp.core.outlook import Outlook
from engine_mcp.core.period import Standing

FIELDS = {
    Resource.TOKENS: "max_tokens",
    Resource.COST: "max_cost_usd",
    Resource.SECONDS: "max_seconds",
    Resource.REQUESTS: "max_requests",
}
CENTS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Met:
    """A limit on a resource that an execution met; `step` names the step that it belongs to.

    Not `reached`: something is left, but too little for what comes next.
    """

    standing: Standing
    resource: Resource
    step: str = ""
    reached: bool = True

    @property
    def limit(self) -> float:
        """The limit in the unit of the resource."""
        return self.standing.limits.of(self.resource) or 0

    @property
    def used(self) -> float:
        """The part of the limit that is spent; 1 where all of it is."""
        limit = self.standing.limits.amount(self.resource)
        return self.standing.spent.amount(self.resource) / limit if limit else 1.0

    @property
    def setting(self) -> str:
        """The operator's setting that holds the limit; empty where it is no cap."""
        name = self.standing.period.value if self.standing.period else "execution"
        return f"caps.{name}_{self.resource}" if self.standing.cap else ""

    @property
    def told(self) -> str:
        """The limit in a sentence."""
        what, period = worth(self.resource, self.limit), self.standing.period
        kind = "operator's cap" if self.standing.cap else "limit"
        whose = f" of the step {self.step!r}" if self.step else ""
        if period is not None:
            whose = f" on this {period}, which all executions share,"
        if self.reached:
            return f"The {kind} of {what}{whose} is reached."
        return f"Too little is left of the {kind} of {what}{whose.rstrip(',')}."

    @property
    def enough(self) -> float:
        """A limit to go on with, for the caller to better: twice what is used."""
        wanted = max(1.0, 2 * max(self.limit, self.standing.spent.of(self.resource)))
        return math.ceil(wanted * CENTS) / CENTS if self.resource is Resource.COST else math.ceil(wanted)

    def raised(self, limit: float) -> Limits:
        """The limits that put another in the place of this one."""
        whole = self.resource in {Resource.TOKENS, Resource.REQUESTS}
        value: float = int(limit) if whole else limit
        return Limits(**{FIELDS[self.resource]: value})  # pyright: ignore[reportArgumentType] - whole where it must be


def met(execution: Execution, now: float, outlook: Outlook) -> tuple[Met, ...]:
    """The limits for which an execution is paused; the one that is used most where none is reached."""
    found = list(_all(execution, now, outlook))
    reached = tuple(one for one in found if one.reached)
    return reached or tuple(sorted(found, key=lambda one: -one.used)[:1])


def worth(resource: Resource, amount: float) -> str:
    """An amount of a resource with its unit."""
    told = figure(resource, amount)
    return f"${told}" if resource is Resource.COST else f"{told} {resource}"


def figure(resource: Resource, amount: float) -> str:
    """An amount of a resource as a number: seconds to the thousandth, dollars to the last micro-dollar."""
    return number(round(amount, 3) if resource is Resource.SECONDS else amount)


def _all(execution: Execution, now: float, outlook: Outlook) -> Iterator[Met]:
    for standing, step in _stopping(execution, now, outlook):
        for kind in Resource:
            limit = standing.limits.amount(kind)
            if limit is not None:
                full = standing.spent.amount(kind) >= limit
                yield Met(standing=standing, resource=kind, step=step, reached=full)


def _stopping(execution: Execution, now: float, outlook: Outlook) -> Iterator[tuple[Standing, str]]:
    """The limits that stop the execution or one of its steps, with the id of that step."""
    paid = spent(execution, now)
    if pauses(execution.budget):
        yield Standing(limits=execution.budget, spent=paid), ""
    for name, step in execution.steps.items():
        if not step.settled and pauses(execution.budget.merged(step.spec.budget)):
            yield Standing(limits=step.spec.budget, spent=used_by(step)), name
    yield Standing(limits=outlook.caps, spent=paid, cap=True), ""
    for standing in outlook.room.standings:
        if stops(standing, execution.budget):
            yield standing, ""
