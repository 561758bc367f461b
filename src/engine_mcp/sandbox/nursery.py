"""The server's side of the zygote: start it, ask it for children, let it reap them."""

import importlib.util
import os
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import anyio
import anyio.abc

from engine_mcp.core.script import Isolation
from engine_mcp.errors import SandboxUnavailable
from engine_mcp.sandbox.channel import Channel, socket_pair
from engine_mcp.sandbox.frames import BadFrame, Frame, encode
from engine_mcp.sandbox.layers import Layer
from engine_mcp.sandbox.verdict import Death

START_S = 20.0
REQUEST_S = 5.0
GOODBYE_S = 1.0
LARGEST_REPLY = 4096
LARGEST_FRAME = 64 << 20
PACKAGES = Path(__file__).resolve().parents[2]
PROGRAM = (
    f"import sys; sys.path.insert(0, {str(PACKAGES)!r});from engine_mcp.sandbox.zygote import main; main()"
)


class NurseryLost(Exception):
    """The zygote does not answer; none of its children is of use any more."""


@dataclass(frozen=True, slots=True)
class Child:
    """A forked process and the channel to it."""

    pid: int
    channel: Channel


class Nursery:
    """One running zygote. `retired` ones give no more children and end with their last one."""

    def __init__(self, process: anyio.abc.Process, channel: Channel, isolation: Isolation) -> None:
        self._process = process
        self._channel = channel
        self._asking = anyio.Lock(fast_acquire=True)
        self.isolation = isolation
        self.forked = 0
        self.living = 0
        self.retired = False

    @classmethod
    async def start(cls, layers: frozenset[Layer], *, probe: str = "") -> "Nursery":
        """Start a zygote; `probe` is for tests. Raises SandboxUnavailable, or OSError for want of means."""
        engine = importlib.util.find_spec("_quickjs")
        if engine is None or engine.origin is None or not hasattr(os, "fork"):
            raise SandboxUnavailable("the JavaScript engine is not installed, or the system cannot fork")
        ours, theirs = socket_pair()
        channel = Channel(ours, largest=LARGEST_REPLY)
        arguments = [engine.origin, ",".join(sorted(layers)), str(os.getpid()), probe]
        try:
            with theirs:
                process = await _launch(arguments, theirs)
        except BaseException:
            channel.close()
            raise
        nursery = cls(process, channel, Isolation())
        try:
            with anyio.fail_after(START_S):
                nursery.isolation = _isolation(await nursery._reply())
        except (NurseryLost, TimeoutError) as error:
            await nursery.close()
            raise SandboxUnavailable(f"the sandbox process did not start: {error}") from error
        except BaseException:
            await nursery.close()
            raise
        return nursery

    async def fork(self) -> Child:
        """Get a new child. Raises NurseryLost."""
        ours, theirs = socket_pair()
        try:
            with theirs:
                reply = await self._ask(encode("F"), theirs)
        except BaseException:
            ours.close()
            raise
        self.forked += 1
        self.living += 1
        return Child(int(reply.parts[0]), Channel(ours, largest=LARGEST_FRAME))

    async def reap(self, child: Child) -> Death:
        """Kill a child that may be dead already, and wait for its end. Raises NurseryLost."""
        self.living -= 1
        reply = await self._ask(encode("K", str(child.pid)))
        code, cpu_ms, max_rss_kb = reply.parts
        return Death(int(code), float(cpu_ms), int(max_rss_kb))

    async def close(self) -> None:
        """End the zygote and, with it, all its children."""
        self.retired = True
        self._channel.close()
        with anyio.CancelScope(shield=True):
            with anyio.move_on_after(GOODBYE_S):
                await self._process.wait()
                return
            self._process.kill()
            await self._process.wait()

    async def _ask(self, request: bytes, descriptor: socket.socket | None = None) -> Frame:
        """Send one request and wait for its reply; a half-asked zygote would be of no use."""
        try:
            with anyio.fail_after(REQUEST_S, shield=True):
                async with self._asking:
                    await self._channel.send(request, descriptor.fileno() if descriptor else None)
                    return await self._reply()
        except (OSError, TimeoutError) as error:
            raise NurseryLost("it does not answer") from error

    async def _reply(self) -> Frame:
        while True:
            try:
                frames = await self._channel.receive()
                if frames is None:
                    raise NurseryLost("it is gone")
                for frame in frames:
                    return frame
            except BadFrame as error:
                raise NurseryLost("it answers nonsense") from error


async def _launch(arguments: list[str], control: socket.socket) -> anyio.abc.Process:
    # Nothing of the server's environment: a script that breaks out of the engine finds no secret in it.
    kept = {name: os.environ[name] for name in ("LD_LIBRARY_PATH",) if name in os.environ}
    return await anyio.open_process(
        [sys.executable, "-I", "-S", "-c", PROGRAM, *arguments],
        stdin=control.fileno(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
        env={"TZ": "UTC", **kept},
        start_new_session=True,
    )


def _isolation(hello: Frame) -> Isolation:
    if hello.kind != "H":
        raise NurseryLost(", ".join(hello.parts))
    uid, flags, landlock = hello.parts
    return Isolation(
        no_new_privs=flags[0] == "1", netns=flags[1] == "1", landlock=int(landlock), uid=int(uid)
    )
