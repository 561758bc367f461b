"""Any history of writes, failures, deaths and damage: what counts is kept, what is damaged is told."""

import shutil
import tempfile
from collections.abc import Callable
from errno import EIO, ENOSPC
from pathlib import Path

from anyio.from_thread import start_blocking_portal
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from engine_mcp.core.event import Event, ProgressReported
from engine_mcp.core.evolve import fold
from engine_mcp.core.execution import Progress
from engine_mcp.errors import StorageError
from engine_mcp.store import snapshot
from engine_mcp.store.codec import encode_event
from engine_mcp.store.journal import SEGMENT_BYTES, segment_name
from engine_mcp.store.lines import sealed
from engine_mcp.store.log import SNAPSHOT_BYTES
from engine_mcp.store.record import load
from tests.store.conftest import MEMORY
from tests.store.disks import Fault, FaultyDisk
from tests.store.plans import AT, Hand, created, file_store

SIZES = st.sampled_from([0, 10, 10, 10, SNAPSHOT_BYTES, SEGMENT_BYTES])
FAULTS = st.sampled_from(
    [
        ("write", ENOSPC, "journal-*"),
        ("sync", EIO, "journal-*"),
        ("open", ENOSPC, "journal-*"),
        ("sync_folder", EIO, "*"),
        ("rename", EIO, "snapshot.json"),
        ("truncate", EIO, "journal-*"),
    ]
)


def told(number: int, size: int) -> ProgressReported:
    return ProgressReported(at=AT, step="s0", progress=Progress(done=float(number), message="x" * size))


class Histories(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp(dir=MEMORY if MEMORY.is_dir() else None))
        self.portal_manager = start_blocking_portal()
        self.portal = self.portal_manager.__enter__()
        self.disk = FaultyDisk()
        self.store = file_store(self.root, disk=self.disk)
        self.other = file_store(self.root, owner="there")
        first = created()
        self.hand = Hand(*self.portal.call(self.store.create, first))
        self.counted: list[Event] = [first]
        self.last_batch = 1
        self.certain = True
        self.uncertain: list[ProgressReported] = []

    def teardown(self) -> None:
        self.portal.call(self.hand.log.close)
        self.portal_manager.__exit__(None, None, None)
        self.store.close()
        self.other.close()
        shutil.rmtree(self.root)

    @property
    def folder(self) -> Path:
        return Path(self.store.place(self.hand.execution.id)).parent

    @rule(sizes=st.lists(SIZES, min_size=1, max_size=3))
    def record(self, sizes: list[int]) -> None:
        batch = [told(len(self.counted) + number, size) for number, size in enumerate(sizes)]
        try:
            self.portal.call(self.hand.note, *batch)
        except StorageError:
            assert any(fault.times == 0 for fault in self.disk.faults)
            self.certain = False
            self.uncertain = batch
        else:
            self.certain = True
            self.counted += batch
            self.last_batch = len(batch)

    @rule(fault=FAULTS, half=st.booleans())
    def let_something_fail(self, fault: tuple[str, int, str], *, half: bool) -> None:
        operation, error, name = fault
        self.disk.faults = [Fault(operation, error, name, half=half and operation == "write")]

    @rule()
    def save(self) -> None:
        try:
            self.portal.call(self.hand.save)
        except StorageError:
            assert any(fault.times == 0 for fault in self.disk.faults)

    @rule()
    def hand_over(self) -> None:
        self.disk.faults = []
        self.portal.call(self.hand.log.close)
        self.taken_up()

    @rule(part=st.floats(0, 1), size=SIZES)
    def die_while_writing(self, part: float, size: int) -> None:
        """Leave the beginning of one more batch behind, as the newest segment's end."""
        self.disk.faults = []
        self.portal.call(self.hand.log.close)
        number = len(self.counted) + 1
        newest = self.newest()
        epoch = segment_name(newest.name)
        assert epoch is not None
        line = sealed(number, number, epoch.epoch, b'event":' + encode_event(told(number, size)))
        with newest.open("ab") as file:
            file.write(line[: int(part * (len(line) - 1))])
        self.taken_up()

    def taken_up(self) -> None:
        execution, log = self.portal.call(self.store.open, self.hand.execution.id)
        if self.certain:
            assert execution == self.hand.execution
        # What was written and not acknowledged may count after a death; then it counts for good.
        extra = execution.revision - len(self.counted)
        assert 0 <= extra <= len(self.uncertain)
        self.counted += self.uncertain[:extra]
        self.hand = Hand(execution, log)
        self.certain = True

    @rule(which=st.integers(0, 100), at=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
    def look_at_a_flipped_bit(self, which: int, at: float, bit: int) -> None:
        def flip(content: bytes) -> bytes:
            changed = bytearray(content)
            changed[int(at * len(content))] ^= 1 << bit
            return bytes(changed)

        self.look_at_damage(which, flip, len(self.counted) - self.last_batch)

    @rule(which=st.integers(0, 100), at=st.floats(0, 1, exclude_max=True))
    def look_at_a_truncation(self, which: int, at: float) -> None:
        kept = snapshot.read((self.folder / snapshot.NAME).read_bytes())
        least = kept.seq if kept and kept.epoch == self.hand.log.epoch else 0
        self.look_at_damage(which, lambda content: content[: int(at * len(content))], least)

    def look_at_damage(self, which: int, damage: Callable[[bytes], bytes], least: int) -> None:
        with tempfile.TemporaryDirectory(dir=self.root) as scratch:
            copy = Path(shutil.copytree(self.folder, Path(scratch, "copy")))
            files = sorted(path for path in copy.iterdir() if path.suffix in {".json", ".jsonl"})
            chosen = files[which % len(files)]
            chosen.write_bytes(damage(chosen.read_bytes()))
            found = load(copy)
        if found.damage is None:
            assert found.state is not None
            assert found.state.revision >= least or chosen.name == snapshot.NAME
        if found.state is not None:
            assert found.state == fold(None, self.counted[: found.state.revision])

    def newest(self) -> Path:
        return max(self.folder.glob("journal-*.jsonl"))

    @invariant()
    def what_counts_is_there(self) -> None:
        assert self.hand.execution == fold(None, self.counted)
        assert self.portal.call(self.store.read, self.hand.execution.id) == self.hand.execution
        if self.certain:
            assert self.portal.call(self.other.read, self.hand.execution.id) == self.hand.execution
            events = self.portal.call(self.other.events, self.hand.execution.id, 0, 1000)
            assert events == tuple(enumerate(self.counted, 1))


TestHistories = Histories.TestCase
TestHistories.settings = settings(
    max_examples=40,
    stateful_step_count=25,
    suppress_health_check=(HealthCheck.too_slow,),
    deadline=None,
)
