"""The nursery, and what must be true of a folder however often its processes were killed."""

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import anyio
import pytest

from engine_mcp.core.event import AttemptStarted, AttemptSucceeded, Event
from engine_mcp.core.evolve import fold
from engine_mcp.core.execution import Execution, ExecutionStatus
from engine_mcp.core.listing import Query
from engine_mcp.engine.clock import SystemClock
from engine_mcp.store.files import FileStore
from engine_mcp.testing import capture_events

ROOT = Path(__file__).parents[2]
MARKS_AT_ONCE = 2
"""How many marks may be under way when a process is killed; those may be made again."""


@dataclass
class Nursery:
    """Processes of the engine, one after another."""

    process: subprocess.Popen[str]

    def run(self, folder: Path, **order: object) -> int:
        """The exit code of a process that was given this order; negative for a signal."""
        if self.process.stdin is None or self.process.stdout is None:
            raise AssertionError
        print(json.dumps({"folder": str(folder), **order}), file=self.process.stdin, flush=True)
        return int(self.process.stdout.readline())


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    command = [sys.executable, "-m", "tests.crash.nursery"]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield Nursery(process)
        if process.stdin is not None:
            process.stdin.close()
        assert process.wait(timeout=10) == 0


@dataclass(frozen=True)
class Left:
    """What stands in a folder in the end."""

    execution: Execution
    events: list[Event]
    marks: Counter[str]
    acks: list[tuple[str, int, str]]


def left(folder: Path) -> Left:
    """Read everything that the processes left."""
    return anyio.run(_left, folder)


async def _left(folder: Path) -> Left:
    store = FileStore(folder / "state", clock=SystemClock(), owner="", version="1")
    with closing(store):
        (row,) = (await store.list(Query())).rows
        events = await capture_events(store, row.id)
        execution = await store.read(row.id)
    acks = [json.loads(line) for line in (folder / "acks").read_text().splitlines()]
    marks = Counter((folder / "marks").read_text().split())
    return Left(execution, events, marks, [(name, number, kind) for name, number, kind in acks])


def prove(folder: Path, kills: int) -> Left:
    """Check the promises after so many kills and a resume to the end; gives what was found."""
    found = left(folder)
    assert found.execution.status is ExecutionStatus.COMPLETED
    assert fold(None, found.events) == found.execution
    for name, number, kind in found.acks:
        assert name == found.execution.id
        assert found.events[number - 1].kind == kind
    assert _started_after_their_success(found.events) == []
    repeated = sum(found.marks.values()) - len(found.marks)
    assert repeated <= MARKS_AT_ONCE * kills
    executions = folder / "state" / "executions"
    assert list(executions.rglob("*.corrupt")) == []
    snapshot = next(executions.glob("*/snapshot.json"))
    assert json.loads(snapshot.read_text())["execution"]["revision"] <= found.execution.revision
    return found


def _started_after_their_success(events: list[Event]) -> list[str]:
    done: set[str] = set()
    again: list[str] = []
    for event in events:
        if isinstance(event, AttemptSucceeded):
            done.add(event.step)
        elif isinstance(event, AttemptStarted) and event.step in done:
            again.append(event.step)
    return again
