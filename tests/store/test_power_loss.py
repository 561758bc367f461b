"""The power may go at any time, and nothing that was told is lost; what would lose it is noticed."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import anyio
import pytest

from engine_mcp.errors import EngineError
from engine_mcp.store import disk as disks
from engine_mcp.store.disk import Disk
from tests.store.power import Operation, Recorder, State, states
from tests.store.saga import Told, play, prove


def recorded(root: Path, failing: frozenset[int] = frozenset()) -> list[Operation]:
    disk = Recorder(root, failing)
    anyio.run(partial(play, root, disk, disk.tell))
    return disk.operations


def wrong(root: Path, found: Iterator[State]) -> list[str]:
    """The states, by what they come from, in which something told is lost or damaged."""

    async def look() -> list[str]:
        told: list[str] = []
        for state in found:
            state.put(root)
            try:
                await prove(root, Told.of(state.told))
            except (AssertionError, EngineError) as error:
                told.append(f"{state.behind}: {error!r}")
            shutil.rmtree(root)
            root.mkdir()
        return told

    root.mkdir()
    return anyio.run(look)


@pytest.mark.req("SPEC:7.power-loss")
@pytest.mark.timeout(120)
@pytest.mark.parametrize("failing", [frozenset[int](), frozenset({2, 5})], ids=["well", "with failing syncs"])
def test_a_loss_of_power_loses_nothing_that_was_told(scratch: Path, failing: frozenset[int]) -> None:
    (scratch / "run").mkdir()
    operations = recorded(scratch / "run", failing)
    assert wrong(scratch / "found", states(operations)) == []
