"""Pricing before anything is spent: whether the cost of a step will be known, and whether it has to be."""

from collections.abc import Iterable, Mapping

from engine_mcp.core.admission import pauses, stops
from engine_mcp.core.budget import Limits, Usage
from engine_mcp.core.choice import Choice
from engine_mcp.core.plan import StepSpec
from engine_mcp.engine.parts import Parts
from engine_mcp.engine.shared import Shared
from engine_mcp.errors import Unpriced
from engine_mcp.ports import Runner

_SAMPLE = Usage(tokens_in=1000, tokens_out=1000)


async def is_priced(model: str | None, runner: Runner, parts: Parts) -> bool:
    """Whether it will be known what attempts on this model cost."""
    if runner.tells_cost:
        return True
    if model is None or parts.prices is None:
        return False
    await parts.prices.open()
    return parts.prices.quote(model, _SAMPLE, parts.clock.now()).micros is not None


async def check_prices(
    specs: Iterable[StepSpec], chosen: Mapping[str, Choice], budget: Limits, shared: Shared
) -> None:
    """Refuse steps whose cost nobody will know where a limit in dollars stops them; raises Unpriced."""
    unknown = [spec for spec in specs if spec.id in chosen and not chosen[spec.id].priced]
    if not unknown:
        return
    room = await shared.accounts.look(fresh=True)
    stopping = [standing.limits for standing in room.standings if stops(standing, budget)]
    for spec in unknown:
        own = budget.merged(spec.budget)
        limits = [*stopping, shared.caps, *([own] if pauses(own) else [])]
        if any(limit.max_cost_usd is not None for limit in limits):
            choice = chosen[spec.id]
            model = choice.model or "the default model"
            text = f"The step {spec.id!r} would run {model} on {choice.runtime}, which has no price here."
            raise Unpriced(text, field="model")
