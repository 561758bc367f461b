"""Routing: the ways that a step can go besides the one that was chosen for it."""

from dataclasses import dataclass, replace

from engine_mcp.core.choice import Tier
from engine_mcp.core.execution import Execution
from engine_mcp.core.plan import Plan, StepSpec
from engine_mcp.core.route import Allowed, Route
from engine_mcp.engine.parts import Parts
from engine_mcp.engine.pricing import is_priced
from engine_mcp.errors import EngineError
from engine_mcp.ports import Runner

_WEAKER = {Tier.STRONG: Tier.STANDARD, Tier.STANDARD: Tier.FAST}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A step, and what was chosen for it."""

    spec: StepSpec
    tier: Tier
    runtime: str
    model: str | None


async def routed(runner: Runner, model: str | None, tier: Tier, parts: Parts) -> Route:
    """Where attempts of a runner on a model go, which has this tier."""
    priced = await is_priced(model, runner, parts)
    return replace(runner.route(model), tier=tier, asks_for=model, priced=priced)


async def other_routes(wanted: Wanted, plan: Plan, parts: Parts) -> tuple[Route, ...]:
    """The routes that may take the chosen one's place, as far as the plan allows them; the best first."""
    own = await routed(parts.runners[wanted.runtime], wanted.model, wanted.tier, parts)
    found: list[Route] = []
    for name in dict.fromkeys((wanted.runtime, *parts.order, *parts.runners)):
        runner = parts.runners.get(name)
        if runner is None or not await _serves(runner, wanted, own, plan):
            continue
        found += await _on(runner, wanted, plan, parts)
    return tuple(dict.fromkeys(route for route in found if route != own))


async def _serves(runner: Runner, wanted: Wanted, own: Route, plan: Plan) -> bool:
    """Whether a runner could carry out the step, and the plan lets it."""
    if runner.name == wanted.runtime:
        return True
    if wanted.spec.runtime is not None or runner.objection(wanted.spec):
        return False
    if runner.route(None).family != own.family and Allowed.FAMILY not in plan.fallback:
        return False
    return (await runner.health()).usable


async def _on(runner: Runner, wanted: Wanted, plan: Plan, parts: Parts) -> list[Route]:
    """The routes on one runtime: the same model or tier, and the next weaker where the plan allows it."""
    models = parts.models()
    found: list[Route] = []
    if runner.name == wanted.runtime:
        models_here = [wanted.model]
    else:
        try:
            named = wanted.spec.model is not None
            models_here = [
                models.named(wanted.spec.model or "", runner.name)
                if named
                else models.of_tier(wanted.tier, runner.name)
            ]
        except EngineError:
            models_here = []
    found += [await routed(runner, model, wanted.tier, parts) for model in models_here]
    weaker = _WEAKER.get(wanted.tier)
    if weaker is not None and Allowed.TIER in plan.fallback:
        model = models.of_tier(weaker, runner.name)
        if model is not None:
            found.append(await routed(runner, model, weaker, parts))
    return found


def routes_of(execution: Execution) -> tuple[Route, ...]:
    """The routes that the open steps of an execution may take."""
    choices = [step.choice for step in execution.steps.values() if step.choice and not step.settled]
    return tuple(route for choice in choices for route in (choice.route, *choice.others) if route is not None)
