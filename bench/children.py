"""Child processes of a measurement: each figure is taken in a fresh process that prints JSON."""

import itertools
import json
import os
import subprocess
import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

Numbers = dict[str, float]

ROOT = Path(__file__).resolve().parents[1]
HOME = ROOT / ".bench"
CHILD_S = 240
_INSTALL_S = 600
_PEERS = HOME / "peers"
_PINS = ROOT / "bench" / "requirements-peers.txt"
_STAMP = _PEERS / "installed.txt"
_FRAME = " \t|+-"
"""What Python draws around the errors of a group."""
_KEPT = ("HOME", "LANG", "PATH", "TMPDIR")


class UnmeasurableError(Exception):
    """Something that a figure needs cannot be had; the text says what and why."""


def environment() -> dict[str, str]:
    """The variables of a child: what it needs to run, and nothing that could tell it where to report."""
    return {name: value for name, value in os.environ.items() if name in _KEPT}


class Children:
    """Runs the programs of a measurement, each with a folder of its own.

    The folders are removed at the end of all: for half a minute after files are deleted, some file
    systems take ten times as long to create one, and whoever comes next would pay for it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._number = itertools.count(1)

    def ours(self, work: Mapping[str, object]) -> Numbers:
        """The numbers of one of our own programs."""
        return self._numbers([sys.executable, "-m", "bench.programs"], work)

    def peer(self, script: str, work: Mapping[str, object]) -> Numbers:
        """The numbers of a peer's program, in the peers' own environment."""
        return self._numbers([str(_PEERS / "bin" / "python"), str(ROOT / "bench" / "peers" / script)], work)

    def folder(self) -> Path:
        """A new, empty folder."""
        made = self._folder / str(next(self._number))
        made.mkdir()
        return made

    def _numbers(self, command: list[str], work: Mapping[str, object]) -> Numbers:
        asked = json.dumps({"folder": str(self.folder()), **work})
        try:
            told = subprocess.run(
                [*command, asked],
                cwd=ROOT,
                env=environment(),
                capture_output=True,
                text=True,
                timeout=CHILD_S,
                check=True,
            )
        except subprocess.CalledProcessError as error:
            name = Path(command[-1]).stem
            raise UnmeasurableError(f"{name} ended with {error.returncode}: {_last(error.stderr)}") from error
        except subprocess.TimeoutExpired as error:
            raise UnmeasurableError(f"{Path(command[-1]).stem} took longer than {CHILD_S} s") from error
        return json.loads(told.stdout.splitlines()[-1])


@contextmanager
def children() -> Generator[Children]:
    """Children whose folders lie in the clone, so that every contestant writes to the same file system."""
    HOME.mkdir(exist_ok=True)
    with TemporaryDirectory(dir=HOME, ignore_cleanup_errors=True) as folder:
        yield Children(Path(folder))


def install_peers() -> None:
    """Put the peers, as pinned, into an environment of their own; raises UnmeasurableError."""
    pins = _PINS.read_text(encoding="utf-8")
    if _STAMP.exists() and _STAMP.read_text(encoding="utf-8") == pins:
        return
    quiet = ["--quiet", "--disable-pip-version-check", "--require-hashes", "--requirement", str(_PINS)]
    commands = (
        [sys.executable, "-m", "venv", "--clear", str(_PEERS)],
        [str(_PEERS / "bin" / "python"), "-m", "pip", "install", *quiet],
    )
    for command in commands:
        try:
            subprocess.run(command, capture_output=True, text=True, timeout=_INSTALL_S, check=True)
        except subprocess.CalledProcessError as error:
            raise UnmeasurableError(f"the peers cannot be installed: {_last(error.stderr)}") from error
        except subprocess.TimeoutExpired as error:
            raise UnmeasurableError(f"installing the peers took longer than {_INSTALL_S} s") from error
    _STAMP.write_text(pins, encoding="utf-8")


def _last(text: str) -> str:
    lines = [found for line in text.splitlines() if (found := line.strip(_FRAME))]
    return lines[-1] if lines else "it said nothing"
