"""Executions to keep: their events in legal order, and a hand that records them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import JsonValue
from uuid_utils import uuid7

from engine_mcp.core.budget import Limits
from engine_mcp.core.event import (
    AttemptStarted,
    AttemptSucceeded,
    Event,
    ExecutionCancelled,
    ExecutionCompleted,
    ExecutionCreated,
    ExecutionInterrupted,
    ExecutionResumed,
    ExecutionStarted,
)
from engine_mcp.core.evolve import fold
from engine_mcp.core.execution import Execution, Output
from engine_mcp.core.plan import Plan, StepSpec, StrategyName
from engine_mcp.ports import ExecutionLog
from engine_mcp.store.disk import Disk
from engine_mcp.store.files import FileStore
from engine_mcp.testing import FakeClock

AT = 1_800_000_000.0


def file_store(root: Path, *, disk: Disk | None = None, owner: str = "here", at: float = AT) -> FileStore:
    return FileStore(root / ".engine-mcp", clock=FakeClock(at), owner=owner, version="0.0.0", disk=disk)


def created(
    execution_id: str | None = None,
    *,
    steps: int = 2,
    key: str | None = None,
    task: str = "Count the stars",
    at: float = AT,
) -> ExecutionCreated:
    specs = tuple(StepSpec(id=f"s{number}", code="return 1") for number in range(steps))
    plan = Plan(path="/project", task=task, steps=specs, strategy=StrategyName.PARALLEL, idempotency_key=key)
    return ExecutionCreated(at=at, execution_id=execution_id or str(uuid7()), plan=plan, budget=Limits())


def started(epoch: int = 1, at: float = AT) -> ExecutionStarted:
    return ExecutionStarted(at=at, epoch=epoch, owner="here")


def attempt(step: str = "s0", number: int = 1) -> AttemptStarted:
    return AttemptStarted(at=AT, step=step, number=number)


def succeeded(step: str = "s0", value: JsonValue = "bright", number: int = 1) -> AttemptSucceeded:
    return AttemptSucceeded(at=AT, step=step, number=number, output=Output(value=value))


def completed(at: float = AT) -> ExecutionCompleted:
    return ExecutionCompleted(at=at)


def interrupted() -> ExecutionInterrupted:
    return ExecutionInterrupted(at=AT, reason="asked for")


def resumed() -> ExecutionResumed:
    return ExecutionResumed(at=AT)


def cancelled() -> ExecutionCancelled:
    return ExecutionCancelled(at=AT, reason="asked for")


@dataclass
class Hand:
    """Records events of one execution and keeps what they lead to."""

    execution: Execution
    log: ExecutionLog

    async def note(self, *events: Event) -> Execution:
        after = fold(self.execution, events)
        await self.log.append(events, after)
        self.execution = after
        return after

    async def save(self) -> None:
        await self.log.save(self.execution)


def story(steps: int = 2, value: JsonValue = "bright") -> list[Sequence[Event]]:
    """The batches of an execution whose steps run one after another, from its start to its end."""
    ends = [succeeded(f"s{number}", value) for number in range(steps)]
    begins = [attempt(f"s{number}") for number in range(1, steps)]
    return [(started(), attempt("s0")), *zip(ends[:-1], begins, strict=True), (ends[-1], completed())]
