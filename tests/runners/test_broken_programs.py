"""Rows of faults that no provider causes: programs that are missing, of another version, or break."""

import stat
from collections.abc import Callable

import anyio
import pytest

from engine_mcp.core.execution import Failure
from engine_mcp.ports import Runner
from engine_mcp.runners.claude_code import ClaudeCodeRunner
from engine_mcp.runners.opencode import OpenCodeRunner
from tests.runners.host import RecordingHost
from tests.runners.stands.stand import Place, task

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("warm_uvloop")]
LONGEST_S = 30.0
STALL_S = 2.0
SESSION = "5a0a55f0-6d2e-5c7b-a111-0123456789ab"
Made = Callable[[Place], Runner]
ASKED = 'if [ "$1" = debug ]; then echo "{}"; exit; fi\n'
"""What OpenCode is asked before it is started."""


def claude(place: Place) -> Runner:
    return ClaudeCodeRunner(environ=place.environ(), stall_s=STALL_S, grace_s=0.5)


def opencode(place: Place) -> Runner:
    return OpenCodeRunner(environ=place.environ(), stall_s=STALL_S, grace_s=0.5)


BOTH = pytest.mark.parametrize(("made", "program"), [(claude, "claude"), (opencode, "opencode")])


def install(place: Place, program: str, text: str, *, executable: bool = True) -> None:
    path = place.root / "bin" / program
    path.write_text(text, encoding="utf-8")
    path.chmod(path.stat().st_mode | (stat.S_IXUSR if executable else 0))


def shell(lines: str) -> str:
    return f"#!/bin/sh\n{ASKED}{lines}\n"


async def failed(made: Made, place: Place) -> Failure:
    with anyio.fail_after(LONGEST_S):
        result = await made(place).run(task(place, session=SESSION), RecordingHost())
    assert result.failure is not None
    return result.failure


@BOTH
async def test_a_program_that_cannot_be_executed_is_missing(made: Made, program: str, place: Place) -> None:
    install(place, program, "no program", executable=False)
    failure = await failed(made, place)
    assert failure.code == "runtime_missing"
    assert "npm install" in failure.hint


@BOTH
async def test_an_interpreter_that_is_not_there_makes_a_program_missing(
    made: Made, program: str, place: Place
) -> None:
    install(place, program, "#!/nowhere/node\n")
    assert (await failed(made, place)).code == "runtime_missing"


@BOTH
@pytest.mark.parametrize(
    ("lines", "code"),
    [
        ("echo 'env: node: No such file or directory' >&2; exit 127", "runtime_missing"),
        ("echo \"error: unknown option '--restricted'\" >&2; exit 1", "runtime_missing"),
        ("exit 3", "runtime_failed"),
        ("kill -SEGV $$", "runtime_failed"),
        ("echo 'no JSON'; echo '[]'; exit 0", "runtime_failed"),
        ("echo 'FATAL ERROR: JavaScript heap out of memory' >&2; exit 134", "resource_exceeded"),
        ("echo 'connect ECONNREFUSED 127.0.0.1:1' >&2; exit 1", "unreachable"),
        ("echo 'getaddrinfo ENOTFOUND api.anthropic.com' >&2; exit 1", "host_network"),
        ("echo 'self-signed certificate in certificate chain' >&2; exit 1", "host_network"),
        ("sleep 600", "runtime_stalled"),
    ],
    ids=lambda value: value if value.replace("_", "").isalpha() else "",
)
async def test_a_program_that_breaks_is_told_by_its_code(
    made: Made, program: str, place: Place, lines: str, code: str
) -> None:
    install(place, program, shell(lines))
    failure = await failed(made, place)
    assert failure.code == code
    assert failure.message
    assert failure.hint
