"""Cached health: a runtime is asked now and then, by one caller at a time, and never for long."""

from collections.abc import Awaitable, Callable

import anyio

from engine_mcp.core.tool import Health


class Probe:
    """Asks with `ask` and keeps the answer for `keep_s` seconds; a question may take `limit_s`."""

    def __init__(self, ask: Callable[[], Awaitable[Health]], keep_s: float = 60, limit_s: float = 10) -> None:
        self._ask = ask
        self._keep_s = keep_s
        self._limit_s = limit_s
        self._asking = anyio.Lock()
        self._known: tuple[float, Health] | None = None

    async def __call__(self, *, fresh: bool = False) -> Health:
        """The newest answer, or a new one; whoever comes meanwhile waits for the same.

        `fresh` takes no answer to a question that was asked before the call.
        """
        came = anyio.current_time()
        async with self._asking:
            now = anyio.current_time()
            if (
                self._known is None
                or now - self._known[0] >= self._keep_s
                or (fresh and self._known[0] < came)
            ):
                self._known = (now, await self._answer())
            return self._known[1]

    async def _answer(self) -> Health:
        with anyio.move_on_after(self._limit_s):
            try:
                return await self._ask()
            except OSError as error:
                remedy = "Look whether the program can be started by hand."
                return Health(usable=False, detail=f"It cannot be asked: {error}.", remedy=remedy)
        return Health(
            usable=False,
            detail=f"It did not answer within {self._limit_s:g} s.",
            remedy="Look what keeps it; start it by hand.",
        )
