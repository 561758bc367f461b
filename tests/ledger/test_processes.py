"""Several real processes under one limit, some of which are killed."""

import signal
import subprocess
import sys
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import anyio
import pytest

from engine_mcp.core.budget import Limits, OnExceed
from engine_mcp.core.period import Period
from engine_mcp.ledger.book import SqliteLedger
from engine_mcp.ledger.owners import MachineProcesses
from tests.house.sources import ROOT
from tests.ledger.ledgers import AT, change, file_ledger, hold, left, posting
from tests.ledger.spender import MOST

pytestmark = [pytest.mark.anyio, pytest.mark.crash, pytest.mark.usefixtures("no_leaks")]
LIMIT = 2_000
CHILDREN = 6
KILLED = 3
LINES_BEFORE_DEATH = 40
WAITS, FOR_EVER = "40", str(1 << 62)
"""How often one asks in vain before it ends; those that are to be killed never end by themselves."""


@pytest.fixture
def records(tmp_path: Path) -> list[Path]:
    return [tmp_path / f"record-{number}" for number in range(CHILDREN)]


@pytest.fixture
def children(tmp_path: Path, records: list[Path]) -> Iterator[list[subprocess.Popen[bytes]]]:
    path = tmp_path / "home" / "ledger.sqlite"
    command = [sys.executable, "-m", "tests.ledger.spender", str(path)]
    found = [
        subprocess.Popen(
            [*command, str(record), str(seed), FOR_EVER if seed < KILLED else WAITS],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        for seed, record in enumerate(records)
    ]
    yield found
    for child in found:
        with child:
            child.kill()


def begin(children: Sequence[subprocess.Popen[bytes]]) -> None:
    """Let them go, once all of them are there."""
    for child in children:
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
    for child in children:
        assert child.stdin is not None
        child.stdin.close()


def used(record: Path) -> list[int]:
    return [int(line) for line in record.read_text().splitlines()] if record.exists() else []


async def recovered(ledger: SqliteLedger, record: Path) -> None:
    """Post what a dead process wrote down and the ledger does not know; nothing is held after that."""
    posted, told = await ledger.posted(record.name), used(record)
    assert posted <= len(told)
    assert await ledger.post(posting(record.name, posted, len(told), spent=sum(told[posted:])))


async def watched(
    ledger: SqliteLedger, children: Sequence[subprocess.Popen[bytes]], records: Sequence[Path]
) -> int:
    """Kill some children amid their work and wait for the others; how often the limit was looked at."""
    doomed, looks = dict(zip(children[:KILLED], records, strict=False)), 0
    while doomed or any(child.poll() is None for child in children):
        limit, spent, held = await left(ledger, Period.DAY, AT)
        assert spent + held <= limit
        looks += 1
        for child, record in list(doomed.items()):
            alone = all(other.poll() is not None for other in children[KILLED:])
            if len(used(record)) >= LINES_BEFORE_DEATH or alone:
                child.send_signal(signal.SIGKILL)
                child.wait()
                del doomed[child]
                await recovered(ledger, record)
        await anyio.sleep(0.002)
    return looks


@pytest.mark.req("003:L49", "003:L62")
async def test_processes_that_spend_at_once_never_pass_the_limit_and_lose_nothing(
    tmp_path: Path, records: list[Path], children: list[subprocess.Popen[bytes]]
) -> None:
    with closing(file_ledger(tmp_path)) as ledger:
        await ledger.limit(Period.DAY, Limits(max_tokens=LIMIT, on_exceed=OnExceed.PAUSE), change())
        begin(children)
        with anyio.fail_after(40):
            looks = await watched(ledger, children, records)
        assert looks > CHILDREN
        assert [child.returncode for child in children] == [-signal.SIGKILL] * KILLED + [0] * KILLED
        spent = sum(sum(used(record)) for record in records)
        assert await left(ledger, Period.DAY, AT) == (LIMIT, spent, 0)
        assert await ledger.reserve(posting("last"), [hold(LIMIT - spent + 1)], AT) is not None
        assert LIMIT - CHILDREN * MOST <= spent <= LIMIT  # what is given back last finds nobody to take it


HOLDS = """
import sys
from pathlib import Path
import anyio
from tests.ledger.ledgers import AT, file_ledger, hold, posting
ledger = file_ledger(Path(sys.argv[1]))
assert anyio.run(ledger.reserve, posting("one"), [hold(60)], AT) is None
print("held", flush=True)
sys.stdin.read()
"""


@contextmanager
def holding(folder: Path) -> Generator[subprocess.Popen[bytes]]:
    """A process that holds 60 tokens."""
    command = [sys.executable, "-c", HOLDS, str(folder)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"held\n"
        yield child


async def test_what_a_killed_process_holds_is_held_until_somebody_recovers_it(tmp_path: Path) -> None:
    caps, tomorrow = {Period.DAY: Limits(max_tokens=100)}, AT + 86_400
    with closing(file_ledger(tmp_path, caps=caps)) as ledger, holding(tmp_path) as child:
        assert await left(ledger, Period.DAY, AT) == (100, 0, 60)
        assert await left(ledger, Period.DAY, tomorrow) == (100, 0, 60)
        child.kill()
        child.wait()
        assert await left(ledger, Period.DAY, AT) == (100, 0, 60)
        assert await left(ledger, Period.DAY, tomorrow) == (100, 0, 0)
        assert await ledger.reserve(posting("two"), [hold(41)], AT) is not None
        assert await ledger.post(posting("one", 0, 1, spent=10))
        assert await ledger.reserve(posting("two"), [hold(90)], AT) is None


def test_a_process_is_known_by_its_number_and_start() -> None:
    processes = MachineProcesses()
    number, started = processes.own()
    assert processes.lives((number, started))
    assert not processes.lives((number, started - 60))
    with subprocess.Popen(["true"]) as child:
        child.wait()
        assert not processes.lives((child.pid, started))
