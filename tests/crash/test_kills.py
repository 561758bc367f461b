"""Real processes are killed at every file operation and at any moment; the work always comes to its end."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.house.sources import ROOT

pytestmark = [
    pytest.mark.crash,
    pytest.mark.timeout(240),
    pytest.mark.req(
        "SPEC:7.crash-at-every-write",
        "SPEC:7.no-acknowledged-event-is-lost",
        "SPEC:5.dies-with-the-server",
        "000:L272",
        "000:7.1.4",
        "002:L199",
        "002:L238",
        "001:L59",
    ),
]

SHARES = 4
SEEDS = 2
TIMES = 9


def harness(what: str, folder: Path, one: int, two: int) -> "subprocess.Popen[str]":
    folder.mkdir()
    command = [sys.executable, "-m", "tests.crash.killing", what, str(folder), str(one), str(two)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)


def outcome(*running: "subprocess.Popen[str]") -> tuple[int, int]:
    """How many processes were killed, and how many of them while they had a sandbox."""
    died = sandboxes = 0
    for one in running:
        with one:
            tally = json.loads(one.communicate(timeout=200)[0])
        assert tally["wrong"] == {}
        died, sandboxes = died + tally["died"], sandboxes + tally["sandboxes"]
    return died, sandboxes


@pytest.mark.parametrize("half", [0, 1])
def test_a_process_killed_at_any_file_operation_loses_nothing_that_it_told(tmp_path: Path, half: int) -> None:
    shares = range(half, SHARES, 2)
    died, _ = outcome(*(harness("points", tmp_path / f"{share}", share, SHARES) for share in shares))
    assert died > 50


@pytest.mark.parametrize("half", [0, 1])
def test_a_process_killed_at_any_moment_loses_nothing_that_it_told(tmp_path: Path, half: int) -> None:
    seeds = range(half, SEEDS, 2)
    died, sandboxes = outcome(*(harness("moments", tmp_path / f"{seed}", seed, TIMES) for seed in seeds))
    assert died > 7
    assert sandboxes > 3
