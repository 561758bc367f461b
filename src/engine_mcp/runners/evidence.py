"""Evidence of work: a program is not taken for stalled while it writes, or while its processes compute."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

import anyio

from engine_mcp.runners.child import Child
from engine_mcp.runners.lines import Line, Stalled

LOOKS = 4
"""How often in the time of a stall it is looked whether the processes compute."""
BUSY = 0.1
"""The share of a processor that counts as work; runtimes that only wait for an answer take up to 0.03."""


async def lines_of(child: Child, stall_s: float, often_s: float) -> AsyncGenerator[Line | None]:
    """The lines of its stdout to the end, and None after every `often_s` seconds of silence.

    Raises Stalled where there were neither lines nor computing processes for `stall_s` seconds. Can be
    asked again after a wait that was cancelled: no line is lost.
    """
    look_s = stall_s / LOOKS
    worked = looked = anyio.current_time()
    used_s = child.use.cpu_s
    while True:
        try:
            async with aclosing(child.lines(min(often_s, look_s))) as lines:
                async for line in lines:
                    worked = anyio.current_time()
                    yield line
        except Stalled:
            now = anyio.current_time()
        else:
            return
        if now - looked >= look_s:
            before, used_s = used_s, child.use.cpu_s
            worked = now if used_s - before >= BUSY * (now - looked) else worked
            looked = now
            if now - worked >= stall_s:
                raise Stalled(f"It wrote nothing for {stall_s:g} s, and its processes were idle.")
        yield None
