"""On a terminal: steps are drawn while they run, questions are asked, and Ctrl-C is a key."""

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.cli.agents import FINE, UNTIL_SOON, agent
from tests.cli.plans import APPROVAL, BUDGET, HELD, QUICK
from tests.cli.shell import ENGINE, WITHIN_S, Shell, read_until
from tests.cli.test_limits import OF_STEP, TWO_CALLS
from tests.cli.test_waiting import ASKS, CALLS

ROWS, COLUMNS = 24, 100
PRESSED_EVERY_S = 0.5
CODES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
# The child takes the terminal as its own, so that Ctrl-C reaches it as it would reach a user's command.
OWN = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""


@dataclass
class Screen:
    """A terminal with a command in it."""

    process: subprocess.Popen[bytes]
    master: int
    said: str = ""

    def until(self, text: str) -> str:
        """Read until the text appears; gives everything that appeared, without colours."""
        with os.fdopen(os.dup(self.master), "rb", buffering=0) as stream:
            self.said = read_until(stream, text, self.said)
        return CODES.sub("", self.said)

    def type(self, keys: str) -> None:
        os.write(self.master, keys.encode())

    def press(self, keys: str) -> None:
        """Press keys every now and then until the command has ended, and read what appears meanwhile.

        A command that nobody reads from stands still once the terminal is full.
        """
        deadline = time.monotonic() + WITHIN_S
        while self.process.poll() is None:
            assert time.monotonic() < deadline, f"It goes on: {self.said}"
            self.type(keys)
            self._read(time.monotonic() + PRESSED_EVERY_S)

    def _read(self, until: float) -> None:
        """Read what appears until then; where nobody holds the other side any more, to the command's end."""
        while (left := until - time.monotonic()) > 0 and select.select([self.master], [], [], left)[0]:
            try:
                self.said += os.read(self.master, 65536).decode(errors="replace")
            except OSError:
                self.process.wait(WITHIN_S)
                return

    def end(self) -> tuple[int, str]:
        """Read until the command has ended; gives its exit code and everything that appeared."""
        deadline = time.monotonic() + WITHIN_S
        while time.monotonic() < deadline:
            try:
                piece = os.read(self.master, 65536)
            except OSError:  # Linux's way to say that nobody holds the other side
                break
            if not piece:
                break
            self.said += piece.decode(errors="replace")
        return self.process.wait(WITHIN_S), CODES.sub("", self.said)


@contextmanager
def screen(shell: Shell, *words: str | Path, term: str = "xterm") -> Generator[Screen]:
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    with subprocess.Popen(
        [sys.executable, "-c", OWN, *ENGINE, *map(str, words)],
        cwd=shell.project,
        env={**shell.environment, "TERM": term},
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
    ) as process:
        os.close(slave)
        try:
            yield Screen(process, master)
        finally:
            process.kill()
            os.close(master)


@pytest.mark.req("SPEC:11.live-progress", "002:L36", "002:L35")
def test_steps_are_drawn_while_they_run_and_when_they_have_ended(shell: Shell) -> None:
    with screen(shell, "run", "--plan", shell.plan(HELD)) as terminal:
        drawn = terminal.until("1/2 waiting for the file")
        assert re.search(r"✓ first +\d\.\d s kept", drawn)
        assert "· third" in drawn
        assert "running · 1 of 3 steps" in drawn
        (shell.project / "go").touch()
        code, drawn = terminal.end()
    assert code == 0
    assert re.search(r"✓ third +\d\.\d s third after second after kept", drawn)
    assert "completed · 3 of 3 steps" in drawn
    assert drawn.index("execution ") < drawn.index("✓ first")
    assert "completed: 3 of 3 steps" in drawn.splitlines()[-6:][0] + drawn


def test_ctrl_c_on_the_keyboard_saves_and_says_how_to_go_on(shell: Shell) -> None:
    with screen(shell, "run", "--plan", shell.plan(HELD)) as terminal:
        terminal.until("1/2 waiting for the file")
        terminal.type("\x03")
        code, drawn = terminal.end()
    assert code == 4
    assert "Interrupting (Ctrl-C)" in drawn
    assert "‖ second" in drawn
    assert "resume    " in drawn
    assert "Traceback" not in drawn


def test_a_terminal_that_is_closed_interrupts_and_saves(shell: Shell) -> None:
    with screen(shell, "run", "--plan", shell.plan(HELD)) as terminal:
        name = terminal.until("1/2 waiting").partition("execution ")[2].split()[0]
        os.close(terminal.master)
        try:
            assert terminal.process.wait(WITHIN_S) in {4, 141}
        finally:
            terminal.master = os.open(os.devnull, os.O_RDWR)
    assert shell.call("status", name, "--json").document["status"] == "interrupted"


def test_a_terminal_that_takes_no_output_does_not_keep_the_work_waiting(shell: Shell) -> None:
    with screen(shell, "run", "--plan", shell.plan(HELD)) as terminal:
        name = terminal.until("1/2 waiting").partition("execution ")[2].split()[0]
        terminal.type("\x13")  # Ctrl-S
        (shell.project / "go").touch()
        deadline = time.monotonic() + WITHIN_S
        while (steps := shell.call("status", name, "--json").document["steps"])[-1]["status"] != "completed":
            assert time.monotonic() < deadline, steps
        terminal.type("\x11")  # Ctrl-Q
        code, _ = terminal.end()
    assert code == 0


@pytest.mark.parametrize(("answer", "code", "output"), [("y", 0, "approved"), ("n", 1, "approval_denied")])
def test_approval_is_asked_for_and_taken(shell: Shell, answer: str, code: int, output: str) -> None:
    with screen(shell, "run", "--plan", shell.plan(APPROVAL)) as terminal:
        terminal.until("Approve the step ask?")
        terminal.type(f"{answer}\n")
        ended, drawn = terminal.end()
    assert ended == code
    assert output in drawn


def test_approval_can_wait(shell: Shell) -> None:
    with screen(shell, "run", "--plan", shell.plan(APPROVAL)) as terminal:
        terminal.until("Approve the step ask?")
        terminal.type("\n")
        code, drawn = terminal.end()
    assert code == 3
    assert "--approve ask" in drawn


@pytest.mark.req("003:L48")
def test_more_budget_is_asked_for_and_taken(shell: Shell) -> None:
    with screen(shell, "run", "--plan", shell.plan(BUDGET)) as terminal:
        terminal.until("The limit of 1 seconds is reached.")
        terminal.type("60\n")
        code, drawn = terminal.end()
    assert code == 0
    assert "done" in drawn


def test_a_step_s_limit_is_raised_for_the_step(shell: Shell) -> None:
    with screen(shell, "run", "--plan", shell.plan(OF_STEP)) as terminal:
        asked = terminal.until("nothing to leave it paused")
        assert "The limit of 0.5 seconds of the step 'long' is reached" in asked
        terminal.type("60\n")
        code, drawn = terminal.end()
    assert code == 0
    assert "after kept" in drawn


def test_a_day_s_limit_is_raised_for_all_executions(shell: Shell) -> None:
    shell.call("budget", "--day", "--max-requests", "1")
    with screen(shell, "run", "--plan", shell.plan(TWO_CALLS)) as terminal:
        asked = terminal.until("nothing to leave it paused").replace("\r\n", "")
        assert "1 requests are spent." in asked
        assert "'wait' (until " in asked
        terminal.type("5\n")
        code, _ = terminal.end()
    assert code == 0
    limits = shell.call("budget", "--json").document["periods"]["day"]["limits"]
    assert limits["requests"] == 5


def test_a_new_day_can_be_waited_for(shell: Shell) -> None:
    shell.call("budget", "--day", "--max-requests", "1")
    with screen(shell, "run", "--plan", shell.plan(TWO_CALLS)) as terminal:
        terminal.until("nothing to leave it paused")
        terminal.type("soon\nwait\n")
        said = terminal.until("Ctrl-C leaves it paused")
        assert "'soon' is no number" in said
        terminal.type("\x03")
        code, drawn = terminal.end()
    assert code == 3
    assert "paused (budget)" in drawn


def test_what_no_limit_given_here_can_raise_is_not_asked_for(shell: Shell) -> None:
    capped = Shell(shell.project, shell.home, {"ENGINE_MCP_CAPS_EXECUTION_SECONDS": "0.5"})
    with screen(capped, "run", "--plan", shell.plan(BUDGET)) as terminal:
        code, drawn = terminal.end()
    assert code == 3
    assert "A new limit" not in drawn
    assert "ENGINE_MCP_CAPS_EXECUTION_SECONDS" in drawn


def test_a_quota_can_be_waited_for(shell: Shell) -> None:
    asked = Shell(shell.project, shell.home, agent(shell, UNTIL_SOON, FINE))
    with screen(asked, "run", "say fine") as terminal:
        terminal.until("Wait here for it?")
        terminal.type("y\n")
        code, drawn = terminal.end()
    assert code == 0
    assert "Ctrl-C leaves it paused" in drawn


def test_a_limit_that_is_passed_with_a_warning_is_drawn(shell: Shell) -> None:
    with screen(shell, "run", "--plan", shell.plan(BUDGET), "--on-exceed", "warn") as terminal:
        terminal.until("The budget's seconds limit of 1 was passed")
        code, _ = terminal.end()
    assert code == 0


def test_a_call_that_waits_for_approval_is_shown_before_it_is_asked_for(shell: Shell) -> None:
    asks = Shell(shell.project, shell.home, ASKS)
    with screen(asks, "run", "--plan", shell.plan(CALLS)) as terminal:
        asked = terminal.until("Approve the step note?")
        assert "The step note wants to call files.write(" in asked
        terminal.type("y\n")
        code, drawn = terminal.end()
    assert code == 0
    assert "noted" in drawn


@pytest.mark.parametrize("keys", ["\n", "0.5\n"], ids=["nothing", "less"])
def test_without_more_budget_it_stays_paused(shell: Shell, keys: str) -> None:
    with screen(shell, "run", "--plan", shell.plan(BUDGET)) as terminal:
        name = terminal.until("The limit of 1 seconds is reached.").partition("execution ")[2].split()[0]
        terminal.type(keys)
        code, _ = terminal.end()
    assert code == 3
    assert shell.call("status", name, "--json").document["status"] == "paused"


def test_ctrl_c_at_a_question_leaves_it_paused(shell: Shell) -> None:
    with screen(shell, "run", "--plan", shell.plan(BUDGET)) as terminal:
        name = terminal.until("The limit of 1 seconds is reached.").partition("execution ")[2].split()[0]
        terminal.press("\x03")  # one pressed just before the question is read is not seen
        code, drawn = terminal.end()
    assert code == 4
    assert "Traceback" not in drawn
    assert shell.call("status", name, "--json").document["status"] == "paused"


def test_with_json_nothing_is_asked(shell: Shell) -> None:
    with screen(shell, "run", "--plan", shell.plan(APPROVAL), "--json") as terminal:
        code, _ = terminal.end()
    assert code == 3


def test_many_steps_are_drawn_within_the_screen(shell: Shell) -> None:
    steps = "\n".join(f"  - {{id: s{number}, code: return {number};}}" for number in range(60))
    with screen(shell, "run", "--plan", shell.plan(f"strategy: parallel\nsteps:\n{steps}\n")) as terminal:
        code, drawn = terminal.end()
    assert code == 0
    assert "60 of 60 steps" in drawn
    assert "not shown" in drawn


def test_a_terminal_that_cannot_be_drawn_on_gets_lines(shell: Shell) -> None:
    with screen(shell, "run", "--plan", shell.plan(QUICK), term="dumb") as terminal:
        code, drawn = terminal.end()
    assert code == 0
    assert "sum: started" in drawn
