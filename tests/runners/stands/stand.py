"""Stands: where a runner meets a fake of its runtime, for the one contract suite of all runners.

A module of this folder that has `STANDS` takes part in `test_contract.py`; nothing else names it. The
fake program of a stand is a module too (`playing.py` says how it is started), so that it is checked like
any other code.
"""

import hashlib
import stat
import sys
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from pydantic import JsonValue

from engine_mcp.core.agent import AgentTask
from engine_mcp.core.brief import Prompt
from engine_mcp.core.budget import Usage
from engine_mcp.core.plan import Mode, Permissions, StepSpec
from engine_mcp.ports import Runner

ROOT = Path(__file__).resolve().parents[3]
PROMPT = Prompt(system="You are a tester.", text="Say hello.\nWith an ümlaut.", again="Go on, please.")
PIECES = ("Hello from ", "the fake.")
"""What a fake answers, in two pieces; its output is both together."""
REASON = "the fake broke its leg"
"""What a fake that dies writes to stderr, or tells as the error."""
HUGE = 20 << 20
"""The length of a huge line: more than `lines.LONGEST_LINE`."""


class Scenario(StrEnum):
    """What a fake does after it has noted its prompt."""

    SAYS = "says"
    """Answer both PIECES, with the session and the usage of the stand, and end well."""
    DIES = "dies"
    """Answer the first of PIECES, write REASON to stderr and exit with 3."""
    GARBAGE = "garbage"
    """Write lines that are not its protocol, and exit with 0."""
    TRUNCATED = "truncated"
    """Answer the first of PIECES and end in the middle of the line that would have been the result."""
    HUGE = "huge"
    """Write a line of HUGE bytes that is of no use, then go on as in SAYS."""
    SILENT = "silent"
    """Write nothing and do not end."""
    SLOW = "slow"
    """Answer the first of PIECES, start a sleeper in a session of its own (note `sleeper`: its pid), hang."""
    CHATTY = "chatty"
    """Answer with 2,000 pieces of text as fast as it can, then go on as in SAYS."""
    DEAF = "deaf"
    """As in SLOW, and take no notice of polite signals."""
    MUTE = "mute"
    """Answer the first of PIECES, close stdout and stderr, and do not end."""
    HELD = "held"
    """As in SAYS, and leave behind a process that writes empty lines to stdout for ever."""
    MISSING = "missing"
    """The program is not installed."""
    WRONG_VERSION = "wrong_version"
    """The program has a version outside the tested range."""


@dataclass(frozen=True, slots=True)
class Place:
    """The directories of one test: programs, project, home, and what a fake has noted."""

    root: Path

    @property
    def execution(self) -> str:
        """An id of its own for each place, so that tests side by side do not take each other's processes."""
        digits = hashlib.sha256(str(self.root).encode()).hexdigest()
        return f"0190a000-{digits[:4]}-7{digits[4:7]}-8{digits[7:10]}-{digits[10:22]}"

    @property
    def project(self) -> Path:
        return self.root / "project"

    @property
    def home(self) -> Path:
        return self.root / "home"

    def made(self) -> "Place":
        """Make the directories."""
        for name in ("bin", "home", "notes", "project"):
            (self.root / name).mkdir(parents=True, exist_ok=True)
        return self

    def environ(self) -> dict[str, str]:
        """The environment of the engine: its own PATH and HOME, and what no child may see."""
        return {
            "PATH": f"{self.root / 'bin'}:/usr/bin:/bin",
            "HOME": str(self.home),
            "LANG": "C.UTF-8",
            "TMPDIR": str(self.root),
            "ENGINE_SECRET": "never to be seen",
            "CLAUDECODE": "1",
            "CLAUDE_CODE_SESSION_ID": "that of the session that started the engine",
            "ANTHROPIC_API_KEY": "a key that is none",
        }

    def install(self, program: str, fake: str, scenario: Scenario) -> None:
        """Put a program on the PATH that runs `main` of the module `tests.runners.stands.<fake>`."""
        path = self.root / "bin" / program
        path.write_text(
            f"#!{sys.executable} -IS\nimport sys\nsys.path.insert(0, {str(ROOT)!r})\n"
            f"from tests.runners.stands.{fake} import main\n"
            f"from tests.runners.stands.playing import Play\n"
            f"main(Play({str(self.root)!r}, {scenario.value!r}))\n",
            encoding="utf-8",
        )
        path.chmod(path.stat().st_mode | stat.S_IXUSR)

    def note(self, name: str) -> str:
        """What the fake noted: `prompt` (all the text it got, its system prompt too), `argv`, `environ`
        (`NAME=value` in lines), `cwd`, `sleeper`; empty if it did not."""
        path = self.root / "notes" / name
        return path.read_text(encoding="utf-8") if path.exists() else ""


class Stand(Protocol):
    """One runner with a fake runtime, and what has to come out."""

    @property
    def name(self) -> str:
        """The name of the stand, for the ids of tests."""
        ...

    @property
    def scenarios(self) -> frozenset[Scenario]:
        """What its fake can play; no case is made for the others."""
        ...

    @property
    def program(self) -> bool:
        """Whether the runner starts a process; without one no case asks for processes and environments."""
        ...

    @property
    def used(self) -> Usage:
        """All that is used in SAYS; seconds are not looked at."""
        ...

    @property
    def opens(self) -> str | None:
        """The session that the runner has to tell in SAYS; None where it chooses none itself."""
        ...

    @property
    def session(self) -> str | None:
        """The session that the engine announces for the first attempt; None where no attempt can go on.

        A fake keeps to its runtime: it fails where a session is to go on that it has not begun.
        """
        ...

    @property
    def streams(self) -> bool:
        """Whether text is told as it is written, in SAYS as both PIECES, and kept in DIES."""
        ...

    @property
    def huge(self) -> str | None:
        """The code of the failure in HUGE, None where the answer comes all the same."""
        ...

    def runner(self, scenario: Scenario, place: Place, stall_s: float) -> Runner:
        """Set the fake up in `place` and give a runner that meets it; also asked in another process."""
        ...


def task(
    place: Place, *, session: str | None = None, begun: bool = False, output_schema: JsonValue = None
) -> AgentTask:
    """The attempt that all cases make."""
    step = StepSpec(
        id="greet", task="Say hello.", permissions=Permissions(mode=Mode.READ), output_schema=output_schema
    )
    return AgentTask(
        execution_id=place.execution,
        step=step,
        number=1,
        project=str(place.project),
        prompt=PROMPT,
        session=session,
        begun=begun,
    )
