"""Approving calls: a call of a tool that needs somebody's approval stops its attempt until it has it."""

from dataclasses import dataclass, replace

import anyio

from engine_mcp.core.approval import asked
from engine_mcp.core.event import ApprovalRequested
from engine_mcp.engine.attempt import Running
from engine_mcp.engine.meter import Meter

LONGEST = 2000


@dataclass(frozen=True, slots=True)
class Asked:
    """A call: the tool's name, what tells the call from others, and its arguments as JSON."""

    name: str
    digest: str
    arguments: str


async def approval(attempt: Running, meter: Meter, call: Asked) -> None:
    """Return at once where a call may be made; else ask, and wait for the end of the attempt.

    The step's calls under way end first: they are paid for. The next attempt makes the call again, once it is
    approved.
    """
    if call.name not in attempt.parts.ask or call.digest in attempt.step.granted:
        return
    while meter.calls(attempt.started.step):
        await meter.changed.wait()
    now, started = attempt.parts.clock.now(), attempt.started
    asking = replace(
        asked(attempt.step, now), call=call.name, digest=call.digest, arguments=call.arguments[:LONGEST]
    )
    attempt.desk.post(ApprovalRequested(at=now, step=started.step, asking=asking))
    await anyio.sleep_forever()
