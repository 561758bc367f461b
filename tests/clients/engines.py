"""The real engine as a user starts it, with every runtime in front of the wire server."""

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

ENGINE = str(Path(sys.executable).with_name("engine-mcp"))
WITHIN_S = 150
GONE_WITHIN_S = 20


@dataclass(frozen=True, slots=True)
class Started:
    """A process of the engine that carries out something."""

    process: subprocess.Popen[str]

    def kill(self) -> None:
        """End it as a crash does: at once, and nothing but it."""
        self.process.send_signal(signal.SIGKILL)
        self.process.communicate(timeout=WITHIN_S)

    def rested(self) -> None:
        """Wait for its end, whatever it is."""
        self.process.communicate(timeout=WITHIN_S)

    def ended(self) -> dict[str, Any]:
        """What it printed at its end, which was a good one."""
        shown = self.shown()
        assert self.process.returncode == 0, shown
        return shown

    def shown(self) -> dict[str, Any]:
        """What it printed at its end, whatever that was."""
        out, err = self.process.communicate(timeout=WITHIN_S)
        assert out, err
        return json.loads(out)


@dataclass(frozen=True, slots=True)
class EngineOf:
    """The engine of one project, called with one environment."""

    project: Path
    environ: Mapping[str, str]
    started: list[Started] = field(default_factory=list[Started])

    def end(self) -> None:
        """End what a test that failed has left."""
        for one in self.started:
            if one.process.poll() is None:
                one.kill()

    def run(self, plan: Mapping[str, object]) -> Started:
        """Start a plan."""
        file = self.project / "plan.json"
        file.write_text(json.dumps(plan), encoding="utf-8")
        return self._start("run", "--plan", str(file))

    def resume(self, *words: str) -> Started:
        """Go on with the only execution there is."""
        return self._start("resume", self.execution_id, *words)

    def interrupt(self) -> dict[str, Any]:
        """Interrupt the only execution there is, from another process; what that says."""
        told = self._start("interrupt", self.execution_id)
        out, err = told.process.communicate(timeout=WITHIN_S)
        assert out, err
        return json.loads(out)

    def _start(self, *words: str) -> Started:
        process = subprocess.Popen(
            [ENGINE, *words, "--json"],
            cwd=self.project,
            env={**self.environ, "XDG_RUNTIME_DIR": self.environ["HOME"]},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.started.append(Started(process))
        return self.started[-1]

    @property
    def execution_id(self) -> str:
        """The id of the only execution there is."""
        (folder,) = (self.project / ".engine-mcp" / "executions").iterdir()
        return folder.name

    def events(self, kind: str) -> list[dict[str, Any]]:
        """The events of a kind that are on record, in order."""
        folder = self.project / ".engine-mcp" / "executions" / self.execution_id
        found: list[dict[str, Any]] = []
        for file in sorted(folder.glob("journal-*.jsonl")):
            rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
            found += [row["event"] for row in rows if "event" in row]
        return [event for event in found if event["kind"] == kind]

    def processes(self) -> list[psutil.Process]:
        """The living processes of its attempts."""
        if not (self.project / ".engine-mcp" / "executions").is_dir():
            return []
        return [process for process in psutil.process_iter() if self._is_ours(process)]

    def _is_ours(self, process: psutil.Process) -> bool:
        try:
            mark = process.environ().get("ENGINE_MCP_ATTEMPT", "")
            return mark.startswith(self.execution_id) and process.status() != psutil.STATUS_ZOMBIE
        except (psutil.Error, OSError):
            return False

    def wait_for(self, met: Callable[[], bool], within_s: float = WITHIN_S) -> None:
        """Return once something has happened outside of this process."""
        until = time.monotonic() + within_s
        while not met():
            assert time.monotonic() < until, "it did not happen in time"
            threading.Event().wait(0.1)

    def wait_until_alone(self) -> None:
        """Return once no process of any attempt is alive."""
        self.wait_for(lambda: not self.processes(), GONE_WITHIN_S)
