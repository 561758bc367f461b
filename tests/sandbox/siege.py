"""Lays siege to a zygote: attacks by native code, each in a child of its own."""

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import anyio

from engine_mcp.sandbox.frames import encode
from engine_mcp.sandbox.layers import Layer
from engine_mcp.sandbox.nursery import Nursery
from tests.sandbox import attacks
from tests.sandbox.attacks import Target

ATTACKS = Path(attacks.__file__)
USER = 54321
# Any process: what matters is whose it is. Its first words tell where something of it can be read.
SERVER = "import ctypes; b = ctypes.create_string_buffer(1); print(ctypes.addressof(b), flush=True); input()"
AS_USER = f"""
import ctypes, os
os.setgroups([]); os.setresgid({USER}, {USER}, {USER}); os.setresuid({USER}, {USER}, {USER})
ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)  # as a process is that was started by this user: dumpable
"""


class Siege:
    """Attacks aimed at one server; `as_user` makes zygote and server belong to an ordinary user."""

    def __init__(self, target: Target, probe: Path) -> None:
        self._target = target
        self._probe = probe

    async def attempt(self, attack: str, layers: frozenset[Layer]) -> str:
        """What became of an attack: allowed, refused or killed."""
        return (await self.attempts([attack], layers))[attack]

    async def attempts(self, names: list[str], layers: frozenset[Layer]) -> dict[str, str]:
        """What became of each attack, under one zygote with these layers."""
        with anyio.fail_after(40):
            nursery = await Nursery.start(layers, probe=str(self._probe))
            try:
                return {name: await self._attempt(nursery, name) for name in names}
            finally:
                await nursery.close()

    async def _attempt(self, nursery: Nursery, name: str) -> str:
        child = await nursery.fork()
        channel = child.channel
        try:
            assert await channel.receive() is not None, "the child died before the attack"
            await channel.send(encode("Q", name, *(str(part) for part in self._target)))
            frames = await channel.receive()
            said = [frame.parts[0] for frame in frames] if frames is not None else ["killed"]
            await nursery.reap(child)
        finally:
            channel.close()
        return said[0]


@contextmanager
def siege(*, as_user: bool) -> Generator[Siege]:
    """Make a server with everything an attack may be aimed at."""
    # Not pytest's own folder: an ordinary user cannot enter that, whatever else holds.
    with TemporaryDirectory() as folder:
        yield from _siege(Path(folder), as_user=as_user)


def _siege(folder: Path, *, as_user: bool) -> Generator[Siege]:
    folder.chmod(0o777)
    for name in ("secret", "victim"):
        (folder / name).write_text("x")
        (folder / name).chmod(0o666)
    if os.geteuid() == 0:
        rooted = folder / "rooted"
        shutil.copy("/bin/bash", rooted)
        rooted.chmod(0o4755)
    probe = folder / "probe.py"
    probe.write_text(ATTACKS.read_text() + AS_USER * as_user)
    abstract = f"engine-mcp-{os.getpid()}-{folder.name}"
    with (
        socket.create_server(("127.0.0.1", 0)) as tcp,
        socket.socket(type=socket.SOCK_DGRAM) as udp,
        socket.socket(socket.AF_UNIX) as unix,
        subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", AS_USER * as_user + SERVER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        ) as server,
    ):
        udp.bind(("127.0.0.1", 0))
        unix.bind(f"\0{abstract}")
        unix.listen()
        assert server.stdout is not None
        address = int(server.stdout.readline())
        ports = (tcp.getsockname()[1], udp.getsockname()[1])
        try:
            yield Siege(Target(server.pid, str(folder), *ports, abstract, address), probe)
        finally:
            server.kill()
