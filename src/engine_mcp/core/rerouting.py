"""Rerouting: a step whose attempts go another way from now on."""

from dataclasses import replace

from engine_mcp.core.change import changed
from engine_mcp.core.execution import Step, Switched
from engine_mcp.core.session import in_new_session
from engine_mcp.errors import IllegalTransition


def rerouted(step: Step, switch: Switched) -> Step:
    """The step on the other route, in no session yet; raises IllegalTransition where it has no such route."""
    choice = step.choice
    if choice is None or switch.to not in choice.others:
        msg = f"The step {step.spec.id!r} has no route to {switch.to.runtime}."
        raise IllegalTransition(msg)
    others = (*(route for route in choice.others if route != switch.to), switch.origin)
    to = switch.to
    choice = replace(choice, runtime=to.runtime, model=to.asks_for, route=to, others=others, priced=to.priced)
    return changed(in_new_session(step, None), choice=choice, tries=0, switches=(*step.switches, switch))
