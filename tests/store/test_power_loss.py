"""The power may go at any time, and nothing that was told is lost; what would lose it is noticed."""

import os
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import anyio
import pytest

from engine_mcp.core.evolve import fold
from engine_mcp.errors import EngineError
from engine_mcp.store import snapshot
from engine_mcp.store.disk import Disk, put
from tests.store.power import Operation, Recorder, State, states
from tests.store.saga import FIRST, Told, play, prove, truth


def recorded(root: Path, failing: frozenset[int] = frozenset()) -> list[Operation]:
    disk = Recorder(root, failing)
    anyio.run(partial(play, root, disk, disk.tell))
    return disk.operations


def wrong(root: Path, found: Iterator[State], enough: int = 10) -> list[str]:
    """The states, by what they come from, in which something told is lost or damaged, up to `enough`."""

    async def look() -> list[str]:
        told: list[str] = []
        for state in found:
            state.put(root)
            try:
                await prove(root, Told.of(state.told))
            except (AssertionError, EngineError) as error:
                told.append(f"{state.behind}: {error!r}")
            emptied(root)
            if len(told) == enough:
                break
        return told

    root.mkdir()
    return anyio.run(look)


def emptied(root: Path) -> None:
    shutil.rmtree(root)
    root.mkdir()


@pytest.mark.req("SPEC:7.power-loss")
@pytest.mark.timeout(120)
@pytest.mark.parametrize("failing", [frozenset[int](), frozenset({2, 5})], ids=["well", "with failing syncs"])
def test_a_loss_of_power_loses_nothing_that_was_told(scratch: Path, failing: frozenset[int]) -> None:
    (scratch / "run").mkdir()
    operations = recorded(scratch / "run", failing)
    assert wrong(scratch / "found", states(operations)) == []


class NeverSynced(Recorder):
    def sync(self, descriptor: int) -> None:
        Disk.sync(self, descriptor)


class FoldersNeverSynced(Recorder):
    def sync_folder(self, path: Path) -> None:
        Disk.sync_folder(self, path)


class InPlace(Recorder):
    """Writes a snapshot over the last one instead of beside it."""

    def open(self, path: Path, flags: int) -> int:
        if "snapshot" in path.name:
            path = path.with_name("snapshot.json")
            flags = os.O_WRONLY | os.O_CREAT
            descriptor = super().open(path, flags)
            self.truncate(descriptor, 0)
            return descriptor
        return super().open(path, flags)

    def rename(self, source: Path, target: Path) -> None:
        if target.name != "snapshot.json":
            super().rename(source, target)


class SyncedAgain(Recorder):
    """Asks once more after a failed sync, and believes the answer."""

    def sync(self, descriptor: int) -> None:
        try:
            super().sync(descriptor)
        except OSError:
            super().sync(descriptor)


class Eager(Recorder):
    """Tells of a batch before its sync."""

    def write(self, descriptor: int, content: bytes | memoryview) -> int:
        taken = super().write(descriptor, content)
        if b'"execution_started"' in bytes(content) and b'"engine":' not in bytes(content):
            self.tell(f"{self.paths[descriptor].parent.name} 3")
        return taken


class Ahead(Recorder):
    """Puts a snapshot of the end there before the journal gets that far."""

    def open(self, path: Path, flags: int) -> int:
        descriptor = super().open(path, flags)
        if path.name == "journal-0001-0001.jsonl" and path.parent.name == FIRST:
            content = snapshot.render(fold(None, truth(FIRST)[:5]), 1, "0.0.0")
            put(self, path.with_name(snapshot.NAME), content)
            self.sync_folder(path.parent)
        return descriptor


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    ("mutant", "failing"),
    [
        (NeverSynced, ()),
        (FoldersNeverSynced, ()),
        (InPlace, ()),
        (SyncedAgain, (2,)),
        (Eager, ()),
        (Ahead, ()),
    ],
)
def test_a_store_that_cuts_a_corner_is_found_out(
    scratch: Path, mutant: type[Recorder], failing: tuple[int, ...]
) -> None:
    (scratch / "run").mkdir()
    disk = mutant(scratch / "run", frozenset(failing))
    anyio.run(partial(play, scratch / "run", disk, disk.tell))
    assert wrong(scratch / "found", states(disk.operations), enough=3)
