"""Circuits: the breakers as this engine sees them, shared with the user's other engines."""

from collections.abc import Callable, Iterable, Mapping

import anyio

from engine_mcp.core.breaker import Breaker, BreakerState, blocks, counted, given_up, healed, reset, tried
from engine_mcp.core.execution import Failure
from engine_mcp.core.route import Domain, Route
from engine_mcp.core.treatment import treatment
from engine_mcp.ports import Breakers, Clock

Make = Callable[[Breaker | None], Breaker | None]

LOOK_EVERY_S = 1.0
_TIMES = 20
"""How often a change is tried again that somebody else's came before."""


class Circuits:
    """Keeps what is known to be broken, and tells the drivers when that changes.

    Without `breakers` it is known to this engine alone, and only while it lives.
    """

    def __init__(self, breakers: Breakers | None, clock: Clock) -> None:
        self._breakers, self._clock = breakers, clock
        self._known: Mapping[str, Breaker] = {}
        self._looked = 0.0
        self._looking = anyio.Lock()
        self.trials: dict[str, str] = {}
        self.changed = anyio.Event()

    @property
    def known(self) -> Mapping[str, Breaker]:
        """The breakers that are not closed or have counted failures, by part."""
        return self._known

    async def look(self) -> None:
        """See what other engines found out, unless that was done a moment ago."""
        if self._breakers is None:
            return
        async with self._looking:
            now = self._clock.now()
            if not 0 <= now - self._looked < LOOK_EVERY_S:
                self._see(await self._breakers.read())
                self._looked = now

    async def failed(self, route: Route, failure: Failure, trial: str) -> None:
        """Count a failure on the part of the route that broke; `trial` says whose attempt it was."""
        rule = treatment(failure.code)
        part, now = route.part(rule.domain), self._clock.now()
        await self.give_up(trial, but=part)
        if part:
            await self._change(part, lambda held: counted(held, part, failure, rule, now))

    async def give_up(self, trial: str, but: str = "") -> None:
        """End a trial that says nothing of its parts, except of the part `but`: others may try them."""
        now = self._clock.now()
        for part in [part for part, whose in self.trials.items() if whose == trial]:
            del self.trials[part]
            if part != but:
                await self._change(part, lambda held: None if held is None else given_up(held, now))

    async def succeeded(self, route: Route, began: float) -> None:
        """Note that an attempt on the route, started at `began`, ended well: every part of it is whole."""
        now = self._clock.now()
        for part in [part for part in parts_of(route) if part in self._known]:
            await self._change(part, lambda held: None if held is None else healed(held, now, began=began))
            if part not in self._known:
                self.trials.pop(part, None)

    async def claim(self, route: Route, trial: str) -> bool:
        """Take the trials of the route's open breakers whose time is over; whether any was taken now.

        A trial that somebody else took first is seen in `known`.
        """
        now, taken = self._clock.now(), False
        for part in parts_of(route):
            held = self._known.get(part)
            if held is None or held.state is BreakerState.CLOSED or self.trials.get(part) == trial:
                continue
            if blocks(held, now):
                continue
            if await self._change(part, lambda held: None if held is None else tried(held, now), once=True):
                self.trials[part] = trial
            taken = True
        return taken

    async def reset(self, routes: Iterable[Route]) -> None:
        """Let attempts through again, because somebody asks for them."""
        now = self._clock.now()
        for part in {part for route in routes for part in parts_of(route)} & self._known.keys():
            self.trials.pop(part, None)
            await self._change(part, lambda held: None if held is None else reset(held, now))

    async def _change(self, part: str, make: Make, *, once: bool = False) -> bool:
        """Put what `make` makes of a breaker in its place; with `once` only if nobody else came before."""
        for _ in range(1 if once else _TIMES):
            held = self._known.get(part)
            after = make(held)
            if after is None or after == held:
                return False
            if self._breakers is None or await self._breakers.write(held, after):
                whole = after.state is BreakerState.CLOSED and not after.failures
                rest = {name: breaker for name, breaker in self._known.items() if name != part}
                self._see(rest if whole else {**rest, part: after})
                return True
            self._see(await self._breakers.read())
        return False

    def _see(self, known: Mapping[str, Breaker]) -> None:
        if known != self._known:
            self._known = known
            self.changed.set()
            self.changed = anyio.Event()


def parts_of(route: Route) -> tuple[str, ...]:
    """Every part of a route that can break."""
    return tuple(part for domain in Domain if (part := route.part(domain)))
