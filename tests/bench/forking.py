"""Starts the programs of `bench.programs` from one process that has them imported, each in a fork of its own.

`python -m tests.bench.forking` reads what is asked for, a JSON document a line, and answers each with a line:
the program's numbers, or null where it failed. Importing takes longer than a quick sample, and says nothing.
"""

import json
import os
import subprocess
import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from pathlib import Path

from bench import workload
from bench.children import ROOT, Children, Numbers, UnmeasurableError, environment


class Forks(Children):
    """Children that run their own programs in forks of one process."""

    def __init__(self, folder: Path, forking: subprocess.Popen[str]) -> None:
        super().__init__(folder)
        self._forking = forking

    def ours(self, work: Mapping[str, object]) -> Numbers:
        """The numbers of one of our own programs."""
        assert self._forking.stdin is not None
        assert self._forking.stdout is not None
        self._forking.stdin.write(json.dumps({"folder": str(self.folder()), **work}) + "\n")
        self._forking.stdin.flush()
        numbers: Numbers | None = json.loads(self._forking.stdout.readline())
        if numbers is None:
            raise UnmeasurableError(f"{work['program']} failed")
        return numbers


@contextmanager
def forking() -> Generator[subprocess.Popen[str]]:
    """The process that forks, for the time of the block; its programs complain on standard error."""
    with subprocess.Popen(
        [sys.executable, "-m", __name__],
        cwd=ROOT,
        env=environment(),
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def _measured(line: str) -> None:
    """Run the program that a line asks for."""
    work = json.loads(line)
    numbers = workload.run(partial(PROGRAMS[work["program"]], work))
    _tell(numbers)


def _tell(numbers: Numbers | None) -> None:
    sys.stdout.write(json.dumps(numbers) + "\n")
    sys.stdout.flush()


def main() -> None:
    """Answer each line until stdin ends, from a child that ends with it."""
    for line in sys.stdin:
        child = os.fork()
        if not child:
            _measured(line)
            return
        if os.waitpid(child, 0)[1]:
            _tell(None)


if __name__ == "__main__":
    import_module("engine_mcp.runners.api_sdk")  # for the forks: the SDK takes a second
    from bench.programs import PROGRAMS

    main()
