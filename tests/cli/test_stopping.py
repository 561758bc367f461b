"""Whatever stops a run, what was done is kept, and the printed command goes on without repeating it."""

import shlex
import signal
import sys

import pytest

from tests.cli.plans import HELD
from tests.cli.shell import Shell, Told

DEAF = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_IGN)
os.execv(sys.argv[1], sys.argv[1:])
"""
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def resumed(shell: Shell, told: Told) -> Told:
    """Type the command that is printed, once the file is there that the plan waits for."""
    (shell.project / "go").touch()
    command = shlex.split(told.out.partition("resume    ")[2].splitlines()[0])
    return shell.type([*command, "--json"])


@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
@pytest.mark.req("SPEC:11.ctrl-c-saves", "000:7.1.1", "000:7.1.2", "001:L61", "001:L41")
def test_a_signal_interrupts_and_the_printed_command_finishes_without_repeating_a_step(
    shell: Shell, number: signal.Signals
) -> None:
    with shell.started("run", "--plan", shell.plan(HELD)) as call:
        name = call.execution_id
        call.until("second: started")
        call.send(number)
        told = call.end()
    assert told.code == 4
    assert "Traceback" not in told.err
    assert "interrupted" in told.out
    ended = resumed(shell, told)
    assert (ended.code, ended.document["execution_id"]) == (0, name)
    assert ended.document["output"] == "third after second after kept"
    assert shell.attempts(name) == {"first": 1, "second": 2, "third": 1}


@pytest.mark.req("000:7.3.3")
def test_an_impatient_second_and_third_ctrl_c_change_nothing(shell: Shell) -> None:
    with shell.started("run", "--plan", shell.plan(HELD), "--json") as call:
        name = call.execution_id
        call.until("second: started")
        for _ in range(3):
            call.send(signal.SIGINT)
        told = call.end()
    assert (told.code, told.document["status"]) == (4, "interrupted")
    assert "Traceback" not in told.err
    assert shell.call("status", name, "--json").document["status"] == "interrupted"


def test_a_ctrl_c_that_never_ends_finds_everything_saved(shell: Shell) -> None:
    with shell.started("run", "--plan", shell.plan(HELD), "--json") as call:
        name = call.execution_id
        call.until("second: started")
        while call.runs_on(seconds=0.01):
            call.send(signal.SIGINT)
        told = call.end()
    assert told.code == 4
    assert "Traceback" not in told.err
    assert shell.call("status", name, "--json").document["status"] == "interrupted"


@pytest.mark.crash
@pytest.mark.req("SPEC:11.killed-and-resumed", "000:7.1.4", "002:L199")
def test_what_was_killed_half_way_goes_on_in_another_process(shell: Shell) -> None:
    with shell.started("run", "--plan", shell.plan(HELD)) as call:
        name = call.execution_id
        call.until("second: started")
        call.send(signal.SIGKILL)
        assert call.end().code == -signal.SIGKILL
    seen = shell.call("status", name)
    assert "interrupted (owner died): 1 of 3 steps" in seen.out
    ended = resumed(shell, seen)
    assert (ended.code, ended.document["output"]) == (0, "third after second after kept")
    assert shell.attempts(name) == {"first": 1, "second": 2, "third": 1}


@pytest.mark.req("000:7.1.3", "002:L62")
def test_it_can_be_interrupted_and_resumed_again_and_again(shell: Shell) -> None:
    name = ""
    words = ["run", "--plan", str(shell.plan(HELD))]
    for cycle in range(1, 4):
        with shell.started(*words) as call:
            name = call.execution_id
            call.until("second: started")
            call.send(signal.SIGINT)
            assert call.end().code == 4
        assert shell.attempts(name) == {"first": 1, "second": cycle}
        words = ["resume", name]
    (shell.project / "go").touch()
    assert shell.call("resume", name).code == 0


@pytest.mark.req("SPEC:11.interrupted-from-another-process")
def test_another_process_interrupts_what_runs_here(shell: Shell) -> None:
    with shell.started("run", "--plan", shell.plan(HELD)) as call:
        name = call.execution_id
        call.until("second: started")
        other = shell.call("interrupt", name)
        assert (other.code, f"{name} is interrupted." in other.out) == (0, True)
        told = call.end()
    assert told.code == 4
    assert "interrupted (interrupted from the command line): 1 of 3 steps" in told.out
    assert shell.call("interrupt", name).code == 0
    assert resumed(shell, told).code == 0


def test_recorded_calls_are_not_made_again(shell: Shell) -> None:
    """What a script had read before it was interrupted it sees again, although the file has changed."""
    (shell.project / "seen.txt").write_text("before")
    plan = shell.plan("""\
strategy: parallel
steps:
  - id: main
    code: |
      const seen = await files.read("seen.txt");
      progress(1, 1, "read");
      while ((await files.stat("go")) === null) await sleep(200);
      return seen;
""")
    with shell.started("run", "--plan", plan) as call:
        name = call.execution_id
        call.until("main: started")
        while not any(event["kind"] == "call_recorded" for event in shell.journal(name)):
            assert call.process.poll() is None
        call.send(signal.SIGINT)
        told = call.end()
    (shell.project / "seen.txt").write_text("after")
    assert resumed(shell, told).document["output"] == "before"


def test_a_signal_that_is_to_be_ignored_is_ignored(shell: Shell) -> None:
    """As under `nohup`, or in the background of a script."""
    with shell.started("run", "--plan", shell.plan(HELD), before=[sys.executable, "-c", DEAF]) as call:
        call.until("second: started")
        call.send(signal.SIGINT)
        (shell.project / "go").touch()
        assert call.end().code == 0


def test_a_ctrl_c_before_anything_is_started_starts_nothing(shell: Shell) -> None:
    with shell.started("run", "--plan", shell.plan(HELD), PYTHONPROFILEIMPORTTIME="1") as call:
        call.until("anyio._core")
        call.send(signal.SIGINT)
        told = call.end()
    assert told.code == 4
    assert "Traceback" not in told.err
    assert not shell.executions.exists() or not list(shell.executions.iterdir())
