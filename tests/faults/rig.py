"""An engine with real runners, a real ledger and real breakers, whose pauses take no time."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from datetime import UTC
from pathlib import Path

import anyio

from engine_mcp.core.breaker import Breaker, BreakerState
from engine_mcp.core.budget import Usage
from engine_mcp.core.event import Event
from engine_mcp.core.execution import Attempt, AttemptStatus, Execution, ExecutionStatus
from engine_mcp.core.period import Period
from engine_mcp.core.plan import Draft, StepSpec, StrategyName
from engine_mcp.core.request import Resume
from engine_mcp.core.route import Allowed
from engine_mcp.engine.engine import Engine
from engine_mcp.engine.parts import EngineOptions, Parts
from engine_mcp.ledger.book import SqliteLedger
from engine_mcp.ledger.breakers import SqliteBreakers
from engine_mcp.ports import Runner
from engine_mcp.prices.book import GenaiPrices
from engine_mcp.prompts.catalog import models
from engine_mcp.prompts.library import FileLibrary
from engine_mcp.runners.orphans import MarkSweeper
from engine_mcp.store.memory import MemoryStore
from engine_mcp.testing import FakeClock, NoSandbox, capture_events
from engine_mcp.tools.stock import BUILT_IN

WITHIN_S = 60.0
ACTIVE = {ExecutionStatus.PENDING, ExecutionStatus.RUNNING}


def ended(tried: Attempt) -> str:
    if tried.failure is not None:
        return tried.failure.code
    return "done" if tried.status is AttemptStatus.SUCCEEDED else str(tried.status)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """An execution of one step at its rest, with what is known besides; times are seconds since its start."""

    execution: Execution
    events: Sequence[Event]
    breakers: Mapping[str, Breaker]
    spent: Usage
    began: float
    lasted: float

    @property
    def status(self) -> str:
        """How it rests, with the reason of a pause."""
        found = self.execution
        return f"paused: {found.reason}" if found.status is ExecutionStatus.PAUSED else str(found.status)

    @property
    def until(self) -> float | None:
        """When what it waits for comes by itself."""
        return None if self.execution.until is None else self.execution.until - self.began

    @property
    def codes(self) -> list[str]:
        """How its attempts ended, in their order: a code, or `done`."""
        (step,) = self.execution.steps.values()
        return [
            "done"
            if tried.status is AttemptStatus.SUCCEEDED
            else tried.failure.code
            if tried.failure
            else "?"
            for tried in step.attempts
        ]

    @property
    def broken(self) -> dict[str, str]:
        """What the breakers say, by the first word of their part: failures, or how long it is open yet."""
        return {part.partition(" ")[0]: self._shown(found) for part, found in self.breakers.items()}

    def _shown(self, found: Breaker) -> str:
        if found.state is BreakerState.CLOSED:
            return f"{found.failures} of 5"
        if found.retry_at is None:
            return "until reset"
        return f"{round(found.retry_at - self.began - self.lasted, -1):.0f} s"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rig:
    """What engines are made of; all have the same record, ledger and breakers, in `folder` and in memory."""

    folder: Path
    store: MemoryStore
    clock: FakeClock
    ledger: SqliteLedger
    breakers: SqliteBreakers

    @asynccontextmanager
    async def engine(self, *runners: Runner) -> AsyncGenerator[Engine]:
        """An engine with these runners, the first before the others."""
        parts = Parts(
            store=self.store,
            clock=self.clock,
            sandbox=NoSandbox(),
            library=FileLibrary(user=None, home=None),
            sweeper=MarkSweeper(),
            tools={tool.spec.name: tool for tool in BUILT_IN},
            runners={runner.name: runner for runner in runners},
            models=lambda: models({}),
            order=tuple(runner.name for runner in runners),
            prices=GenaiPrices(None),
            ledger=self.ledger,
            breakers=self.breakers,
        )
        async with Engine(parts, EngineOptions(grace_s=2.0)) as engine:
            yield engine

    async def carried_out(
        self, engine: Engine, step: StepSpec, *allowed: Allowed, auto_resume: bool = False
    ) -> Outcome:
        """Have the engine carry out a step, until it rests."""
        began = self.clock.now()
        draft = Draft(
            path=str(self.folder),
            steps=(step,),
            strategy=StrategyName.PARALLEL,
            fallback=allowed,
            auto_resume=auto_resume,
        )
        return await self._outcome(engine, await engine.execute(draft), began)

    async def gone_on(self, engine: Engine, outcome: Outcome) -> Outcome:
        """Have it go on, until it rests again."""
        began = self.clock.now()
        return await self._outcome(engine, await engine.resume(outcome.execution.id, Resume()), began)

    async def _outcome(self, engine: Engine, execution: Execution, began: float) -> Outcome:
        with anyio.fail_after(WITHIN_S):
            execution = await engine.wait(execution.id, WITHIN_S)
        assert execution.status not in ACTIVE
        now = self.clock.now()
        return Outcome(
            execution=execution,
            events=await capture_events(self.store, execution.id),
            breakers=await engine.treasury.breakers(),
            spent=await engine.treasury.spent(Period.DAY),
            began=began,
            lasted=now - began,
        )


@asynccontextmanager
async def rigged(folder: Path) -> AsyncGenerator[Rig]:
    """A rig in a folder."""
    path, clock = folder / "ledger.sqlite", FakeClock(leap=True)
    ledger = SqliteLedger(path, UTC, {}, clock=clock.now)
    breakers = SqliteBreakers(path)
    with closing(ledger), closing(breakers):
        yield Rig(folder=folder, store=MemoryStore(), clock=clock, ledger=ledger, breakers=breakers)
