"""The operating system itself kills the process or fails its calls, as far as it can be made to."""

import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import anyio
import pytest

from tests.crash.story import Seen, prove
from tests.house.sources import ROOT

pytestmark = [pytest.mark.crash, pytest.mark.timeout(120)]


@cache
def obstacle() -> str:
    """Why strace cannot meddle with system calls here; empty if it can."""
    if shutil.which("strace") is None:
        return "strace is not installed"
    probe = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "inject=fdatasync:error=EIO", "true"]
    told = subprocess.run(probe, capture_output=True, text=True, timeout=20, check=False)
    return "" if told.returncode == 0 else f"strace may not trace here: {told.stderr.strip()}"


class Work:
    """The work in a folder, done by one process after another."""

    def __init__(self, root: Path) -> None:
        if obstacle():
            pytest.skip(f"NOT TESTED: {obstacle()}")
        self.root = root / "work"
        self.root.mkdir()
        self.told: list[str] = []
        self.kills = 0

    def process(self, *meddling: str) -> str:
        """Let a process go on; the last thing it said."""
        trace = ["strace", "-f", "-qq", "-o", "/dev/null", *meddling] if meddling else []
        command = [*trace, sys.executable, "-m", "tests.crash.worker", str(self.root)]
        ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
        said = ended.stdout.splitlines()
        if ended.returncode == 0:
            self.told += said[:-1]
            return said[-1]
        assert ended.returncode in {-9, 137}, ended.stderr
        self.told += said
        self.kills += 1
        return "killed"

    def prove(self) -> None:
        """What must hold at the end."""
        anyio.run(prove, self.root, Seen(tuple(self.told), self.kills))


@pytest.fixture
def work(tmp_path: Path) -> Work:
    return Work(tmp_path)


def inject(call: str, what: str, when: int) -> tuple[str, str, str, str]:
    """Let strace meddle with the call of a number; each thread counts for itself."""
    return "-e", f"trace={call}", "-e", f"inject={call}:{what}:when={when}"


@pytest.mark.req("SPEC:7.crash-at-every-write", "SPEC:7.no-acknowledged-event-is-lost")
@pytest.mark.parametrize(
    ("call", "when"),
    [("fdatasync", 2), ("fdatasync", 5), ("fdatasync", 8), ("fsync", 4), ("/^rename", 3)],
)
def test_a_process_that_is_killed_in_a_system_call_loses_nothing(work: Work, call: str, when: int) -> None:
    assert work.process(*inject(call, "signal=SIGKILL", when)) == "killed"
    assert work.process() == "completed None"
    work.prove()


@pytest.mark.req("SPEC:7.no-acknowledged-event-is-lost", "002:L85")
@pytest.mark.parametrize(("error", "when"), [("EIO", 4), ("ENOSPC", 7)])
def test_a_sync_that_fails_pauses_the_work_and_another_process_ends_it(
    work: Work, error: str, when: int
) -> None:
    assert work.process(*inject("fdatasync", f"error={error}", when)) == "paused storage"
    assert work.process() == "completed None"
    work.kills += 1  # what had ended without counting may be done again
    work.prove()


@pytest.mark.req("SPEC:7.no-acknowledged-event-is-lost")
def test_a_disk_that_fails_for_good_leaves_work_that_the_next_process_finds(work: Work) -> None:
    meddling = ("-e", "trace=fdatasync", "-e", "inject=fdatasync:error=EIO:when=6+")
    assert work.process(*meddling) == "paused storage"
    assert work.process() == "completed None"
    work.kills += 1
    work.prove()
