"""A project, and the command line called in it as a user calls it: in processes of their own."""

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

ENGINE = (sys.executable, "-m", "engine_mcp")
WITHIN_S = 40
PASSED_ON = ("PATH", "LANG", "LC_ALL", "TMPDIR")

ALL_OF = """
import contextlib, io, json, sys
from engine_mcp.cli.entry import call
told = []
for words in json.load(sys.stdin):
    with contextlib.redirect_stdout(io.StringIO()) as out:
        code = call(words)
    told.append([code, out.getvalue()])
json.dump(told, sys.stdout)
"""


@dataclass(frozen=True, slots=True)
class Told:
    """How a call ended and what it printed."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, Any]:
        """The one JSON document on standard output."""
        found: dict[str, Any] = json.loads(self.out)
        return found


@dataclass(frozen=True, slots=True)
class Shell:
    """A project folder and an environment of its own."""

    project: Path
    home: Path
    more: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def environment(self) -> dict[str, str]:
        passed: dict[str, str] = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        home = {"HOME": str(self.home), "XDG_RUNTIME_DIR": str(self.home / "run")}
        return {**passed, **home, **self.more}

    @property
    def executions(self) -> Path:
        return self.project / ".engine-mcp" / "executions"

    def call(self, *words: str | Path, **more: str) -> Told:
        """Call the command and wait for its end; `more` are further variables."""
        return self.type([*ENGINE, *map(str, words)], **more)

    def type(self, command: list[str], **more: str) -> Told:
        """Call any command in the project."""
        ran = subprocess.run(
            command,
            cwd=self.project,
            env={**self.environment, **more},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=WITHIN_S,
            check=False,
        )
        return Told(ran.returncode, ran.stdout.decode(), ran.stderr.decode())

    def all_of(self, calls: Sequence[Sequence[str]]) -> list[Told]:
        """Call the command several times, one after another in one process, which is quicker."""
        ran = subprocess.run(
            [sys.executable, "-c", ALL_OF],
            cwd=self.project,
            env=self.environment,
            input=json.dumps(calls).encode(),
            capture_output=True,
            timeout=WITHIN_S,
            check=True,
        )
        return [Told(code, out, ran.stderr.decode()) for code, out in json.loads(ran.stdout)]

    @contextmanager
    def started(self, *words: str | Path, before: Sequence[str] = (), **more: str) -> Generator["Call"]:
        """Call the command, with another one before it, and talk to it; it does not outlive the block."""
        with subprocess.Popen(
            [*before, *ENGINE, *map(str, words)],
            cwd=self.project,
            env={**self.environment, **more},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as process:
            try:
                yield Call(process)
            finally:
                process.kill()

    def plan(self, text: str, name: str = "plan.yaml") -> Path:
        """A plan file outside of the project."""
        file = self.home / name
        file.write_text(text, encoding="utf-8")
        return file

    def run(self, code: str, *words: str) -> Told:
        """Run a script to its end; gives its JSON."""
        file = self.home / "script.js"
        file.write_text(code, encoding="utf-8")
        return self.call("run", "--code", file, "--json", *words)

    def journal(self, execution_id: str) -> list[dict[str, Any]]:
        """The events of an execution in their order, as they stand in its files."""
        lines = [
            json.loads(line)
            for file in sorted((self.executions / execution_id).glob("journal-*.jsonl"))
            for line in file.read_bytes().split(b"\n")
            if line
        ]
        return [line["event"] for line in lines if "event" in line]

    def attempts(self, execution_id: str) -> dict[str, int]:
        """How often each step was started, counted in the journal."""
        counts: dict[str, int] = {}
        for event in self.journal(execution_id):
            if event["kind"] == "attempt_started":
                counts[event["step"]] = counts.get(event["step"], 0) + 1
        return counts


@contextmanager
def opened(folder: Path) -> Generator[Shell]:
    """A shell in a new project below `folder`."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        # The suite runs in the background; its children would ignore Ctrl-C as well.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    project = folder / "project"
    project.mkdir()
    # A short path: a socket's must be.
    with tempfile.TemporaryDirectory(prefix="home-") as home:
        yield Shell(project, Path(home))


@dataclass(slots=True)
class Call:
    """A call under way."""

    process: subprocess.Popen[bytes]
    err: str = ""

    def until(self, text: str) -> str:
        """Read standard error until it says `text`; gives all it has said."""
        assert self.process.stderr is not None
        self.err = read_until(self.process.stderr, text, self.err)
        return self.err

    @property
    def execution_id(self) -> str:
        """The id that is told first."""
        said = self.until("snapshot")
        return said.partition("execution ")[2].split()[0]

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def runs_on(self, seconds: float) -> bool:
        """Whether it still runs after some time."""
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(seconds)
        return self.process.returncode is None

    def end(self) -> Told:
        """Wait for the end."""
        out, err = self.process.communicate(timeout=WITHIN_S)
        return Told(self.process.returncode, out.decode(), self.err + err.decode())


def read_until(stream: IO[bytes], text: str, before: str = "") -> str:
    """Read until `text` has been read; raises AssertionError at the end of the stream or of the patience."""
    said, deadline = before, time.monotonic() + WITHIN_S
    while text not in said:
        ready, _, _ = select.select([stream], [], [], max(0.0, deadline - time.monotonic()))
        piece = os.read(stream.fileno(), 65536) if ready else b""
        assert piece, f"{text!r} was not said, but: {said}"
        said += piece.decode(errors="replace")
    return said
