"""Fallbacks: the steps that go another way than the first choice, and why."""

from collections.abc import Iterator

from engine_mcp.core.execution import Execution, Step
from engine_mcp.core.route import Route
from engine_mcp.server.fitting import cut
from engine_mcp.server.results import ShownFallback, ShownRoute
from engine_mcp.server.times import utc


def fallbacks(execution: Execution, text: int) -> list[ShownFallback]:
    """Every runtime that was passed over and every switch, with reasons of at most `text` bytes.

    Those before the start come first for each step.
    """
    return [
        found for step in execution.steps.values() for found in (*_passed(step, text), *_switches(step, text))
    ]


def _passed(step: Step, text: int) -> Iterator[ShownFallback]:
    """The runtimes that come first and were not chosen."""
    choice = step.choice
    if choice is None:
        return
    first = step.switches[0].origin if step.switches else None
    to = ShownRoute(
        runtime=first.runtime if first else choice.runtime, model=first.model if first else choice.model
    )
    for runtime, why in choice.passed.items():
        yield ShownFallback(
            step=step.spec.id, origin=ShownRoute(runtime=runtime), to=to, reason=cut(why, text)
        )


def _switches(step: Step, text: int) -> Iterator[ShownFallback]:
    for switch in step.switches:
        yield ShownFallback(
            step=step.spec.id,
            origin=shown_route(switch.origin),
            to=shown_route(switch.to),
            reason=cut(switch.why, text),
            domain=switch.domain,
            code=switch.code,
            at=utc(switch.at),
        )


def shown_route(route: Route) -> ShownRoute:
    """Runtime and model of a route."""
    return ShownRoute(runtime=route.runtime, model=route.model)
