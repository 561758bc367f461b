"""Permits: no attempt starts before its share is held in the ledger, and none where something is broken."""

from collections.abc import Iterable

from engine_mcp.core.admission import exceeds
from engine_mcp.core.decide import Settled, settle
from engine_mcp.core.effect import Start
from engine_mcp.core.event import AttemptFailed, AttemptInterrupted, AttemptLost, AttemptSucceeded, Event
from engine_mcp.core.execution import Execution, Failure, Step
from engine_mcp.core.outlook import Outlook
from engine_mcp.core.passage import trial_of
from engine_mcp.core.plan import StepKind
from engine_mcp.engine.accounts import LOOK_EVERY_S, Account, must_ask
from engine_mcp.engine.shared import Shared
from engine_mcp.errors import StorageError
from engine_mcp.ports import Clock

MOST_REFUSALS = 100
_ENDS = (AttemptSucceeded, AttemptFailed, AttemptInterrupted, AttemptLost)


class Permits:
    """What one execution has to know and to ask for before its attempts start.

    `account` is that of the execution in the ledger, None where there is no ledger. `began` says when the
    newest attempt at each step had a place; None: it waits for one.
    """

    def __init__(self, execution: Execution, shared: Shared, clock: Clock) -> None:
        self.account: Account | None = shared.accounts.of(execution)
        self.began: dict[str, float | None] = {}
        self._told_at = 0.0
        self._shared, self._clock, self._execution_id = shared, clock, execution.id
        self._agents = any(step.spec.kind is StepKind.AGENT for step in execution.steps.values())

    @property
    def outlook(self) -> Outlook:
        """What is known of the world outside this execution."""
        shared = self._shared
        return Outlook(
            room=shared.accounts.room,
            caps=shared.caps,
            breakers=shared.circuits.known,
            trials=shared.circuits.trials,
            sharers=shared.executions.borrowed_tokens,
            began=self.began,
        )

    async def look(self) -> bool:
        """See how the world stands; whether the execution has to ask for what it shares with others.

        Whoever has to ask needs what happened on record before it asks: it may have set something free.
        """
        room = await self._shared.accounts.look()
        if self._agents:
            await self._shared.circuits.look()
        return self._agents or any(standing.limits.limited for standing in room.standings)

    async def released(self, events: Iterable[Event], execution: Execution) -> None:
        """Give back what attempts held that have ended, where somebody may wait for it.

        What attempts use that may go beyond a limit is told on the way, as only then it shows that they do.
        """
        accounts = self._shared.accounts
        if self.account is None or not accounts.room.standings:
            return
        if any(isinstance(event, _ENDS) for event in events) or self._must_tell(execution):
            self._told_at = self._clock.now()
            await self.account.settle(execution)
            await accounts.look(fresh=True)

    def _must_tell(self, execution: Execution) -> bool:
        fresh = 0 <= self._clock.now() - self._told_at < LOOK_EVERY_S
        return not fresh and exceeds(execution.running, self._shared.accounts.room)

    async def settled(self, execution: Execution) -> Settled:
        """What is decided; attempts are among it only where they may start."""
        for _ in range(MOST_REFUSALS):
            now = self._clock.now()
            settled = settle(execution, now, self.outlook)
            starts = [effect for effect in settled.effects if isinstance(effect, Start)]
            if not starts or await self._granted(starts, settled.execution, now):
                return settled
        raise StorageError("The ledger refuses what it says there is room for.")

    async def _granted(self, starts: list[Start], after: Execution, now: float) -> bool:
        """Whether attempts may start as decided; if not, what they may not start for shows in the outlook."""
        steps = [after.steps[start.event.step] for start in starts]
        for step in steps:
            route = step.choice.route if step.choice is not None else None
            if route is not None and await self._shared.circuits.claim(route, self._trial(step.spec.id)):
                return False
        if self.account is None or not must_ask(starts, after, self._shared.accounts.room):
            return True
        short = await self.account.reserve(starts, now)
        if short is not None:
            self._shared.accounts.see(short)
        return short is None

    async def failed(self, step: Step, failure: Failure) -> None:
        """Note what an attempt at a step says is broken."""
        if step.choice is not None and step.choice.route is not None:
            await self._shared.circuits.failed(step.choice.route, failure, self._trial(step.spec.id))

    async def succeeded(self, step: Step, began: float) -> None:
        """Note that the route of a step carried an attempt to its end that began at `began`."""
        if step.choice is not None and step.choice.route is not None:
            await self._shared.circuits.succeeded(step.choice.route, began)

    async def stopped(self, step: str) -> None:
        """Note that an attempt at a step was stopped: if it was a trial, another one may be."""
        await self._shared.circuits.give_up(self._trial(step))

    async def balance(self, execution: Execution) -> None:
        """Enter all that was spent, and give back what is held."""
        for step in execution.steps:
            await self.stopped(step)
        if self.account is not None:
            await self.account.settle(self.account.execution)  # what is shown may not be on record

    def _trial(self, step: str) -> str:
        return trial_of(self._execution_id, step)
