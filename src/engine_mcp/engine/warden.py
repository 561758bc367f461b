"""The warden of an agent's attempt: stops one that passes its share, or repeats itself without end."""

import anyio

from engine_mcp.core.agent import AgentReport
from engine_mcp.core.budget import Resource, Usage
from engine_mcp.core.charge import Charge
from engine_mcp.core.execution import Failure
from engine_mcp.engine.attempt import failure
from engine_mcp.engine.charging import Charging

REPEATS = 12
"""How often the same call may be made in a row, with the same arguments."""
_SHARED: tuple[Resource, ...] = (Resource.COST, Resource.TOKENS)


class Warden:
    """Watches what an attempt reports; `verdict` says why it was stopped, if it was.

    `bounds` are the resources whose share the runtime keeps to by itself. For the others: a runtime tells
    of a turn once it has ended. So it is stopped one turn early, as soon as it begins another though one
    like the dearest so far would pass the share.
    """

    def __init__(
        self, share: Usage, charging: Charging, bounds: frozenset[Resource], model: str = ""
    ) -> None:
        self.scope = anyio.CancelScope()
        self.verdict: Failure | None = None
        self._charging, self._share, self._model = charging, share, model
        self._shares = {kind: share.amount(kind) for kind in _SHARED if kind not in bounds}
        self._dearest: dict[Resource, int] = dict.fromkeys(_SHARED, 0)
        self._used_up, self._asked = False, 0
        self._last, self._times = "", 0

    def heard(self, news: AgentReport) -> Charge | None:
        """Take news; the charge for what was used, None where nothing was."""
        self._asked += news.usage.requests
        if self._used_up and (news.text or news.called or news.usage.requests):
            self._stop(failure("spending_limit"))
        if news.called and self._asked >= self._share.requests > 0:
            self._stop(failure("spending_limit"))  # with the answer to the call it would ask once more
        if news.called:
            self.called(news.called)
        if news.usage == Usage():
            return None
        before = self._spent()
        charge = self._charging.charge(news.usage, news.model or self._model)
        self._weigh(before, self._spent())
        return charge

    def take(self, requests: int) -> bool:
        """Take requests that a call is to make out of the share; False, and nothing is taken, beyond it."""
        if requests and 0 < self._share.requests < self._asked + requests:
            return False
        self._asked += requests
        return True

    def end(self) -> None:
        """Stop the attempt because its share is used up."""
        self._stop(failure("spending_limit"))

    @property
    def cost_micros(self) -> int:
        """What the attempt has cost so far, as far as that is known."""
        return self._charging.cost_micros

    def affordable(self, asking: int, model: str | None = None) -> int | None:
        """The most tokens that the next answer may have within the share; None without a bound.

        `model` is the one that is asked, if it is not that of the attempt.
        """
        if self._asked >= self._share.requests > 0:
            return 0
        return self._charging.affordable(self._share, model or self._model, asking)

    def called(self, call: str) -> None:
        """Note a call of the model by what tells it from others."""
        self._times = self._times + 1 if call == self._last else 1
        self._last = call
        if self._times >= REPEATS:
            self._stop(failure("no_progress", f"The same call was made {self._times} times in a row."))

    def _spent(self) -> dict[Resource, int]:
        tokens = self._charging.spent.amount(Resource.TOKENS)
        return {Resource.COST: self._charging.cost_micros, Resource.TOKENS: tokens}

    def _weigh(self, before: dict[Resource, int], after: dict[Resource, int]) -> None:
        for kind, share in self._shares.items():
            self._dearest[kind] = max(self._dearest[kind], after[kind] - before[kind])
            self._used_up = self._used_up or bool(share and after[kind] + self._dearest[kind] > share)

    def _stop(self, why: Failure) -> None:
        self.verdict = self.verdict or why
        self.scope.cancel()
