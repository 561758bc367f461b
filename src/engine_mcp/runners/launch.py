"""Launch: a guard for a program, with the engine's ends of its streams."""

import math
import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from io import FileIO
from pathlib import Path

import anyio

from engine_mcp.runners import guard
from engine_mcp.runners.control import Control
from engine_mcp.runners.orphans import MARK
from engine_mcp.runners.watch import UNCAPPED, Caps

GUARD = str(Path(guard.__file__))
LATER_S = 2
"""How much more processor time the kernel lets one process use than the cap says: the watch comes first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """What to start: `argv[0]` is looked for in the PATH of `env`; `mark` is that of the attempt.

    `scratch` names variables that are to say where a folder is that is removed at the end; `caps` is what
    it and all that it starts may use.
    """

    argv: tuple[str, ...]
    cwd: str
    env: Mapping[str, str]
    mark: str
    scratch: tuple[str, ...] = ()
    caps: Caps = UNCAPPED


@dataclass(frozen=True, slots=True)
class Streams:
    """The engine's ends of a CLI's streams; they never block. Real pipes: a CLI may open /dev/stdin."""

    stdin: FileIO
    stdout: FileIO
    stderr: FileIO


async def launch(program: Program, folder: str, ends: ExitStack) -> tuple[Control, Streams]:
    """Start the guard of a program; `folder` is its scratch, `ends` closes the engine's ends.

    Raises OSError or ValueError.
    """
    ours, theirs = socket.socketpair()
    ends.enter_context(ours)
    ours.setblocking(False)  # noqa: FBT003 - the standard library's own
    with ExitStack() as passed_on:
        passed_on.enter_context(theirs)
        stdin, write = _pipe()
        read, stdout = _pipe()
        read_errors, stderr = _pipe()
        streams = Streams(*(ends.enter_context(end) for end in (write, read, read_errors)))
        given = tuple(passed_on.enter_context(end) for end in (stdin, stdout, stderr))
        for end in (write, read, read_errors):
            os.set_blocking(end.fileno(), False)
        process = await anyio.to_thread.run_sync(_start, program, folder, theirs, given)
    return Control(process, ours), streams


def _pipe() -> tuple[FileIO, FileIO]:
    read, write = os.pipe()
    return FileIO(read, "rb"), FileIO(write, "wb")


def _start(
    program: Program, folder: str, control: socket.socket, streams: tuple[FileIO, ...]
) -> subprocess.Popen[bytes]:
    stdin, stdout, stderr = streams
    caps = program.caps
    longest_s = 0 if caps.cpu_s is None else math.ceil(caps.cpu_s) + LATER_S
    given = (str(control.fileno()), folder, str(caps.nice), str(longest_s))
    return subprocess.Popen(  # noqa: S603 - the program that the caller names, without a shell
        [sys.executable, "-I", "-S", GUARD, *given, *program.argv],
        cwd=program.cwd,
        env={**program.env, **dict.fromkeys(program.scratch, folder), MARK: program.mark},
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        pass_fds=(control.fileno(),),
        start_new_session=True,
    )
