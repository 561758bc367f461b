"""The process that the children are forked from: everything loaded and confined once, nothing running.

It has one thread and serves one request at a time over descriptor 0: fork a child for the descriptor that
comes with the request; kill a child and tell what it used. It alone reaps its children, so a process id
that the server knows stays that child's until the server says that it may go.
"""

import gc
import importlib.machinery
import os
import resource
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, NoReturn, cast

from engine_mcp.sandbox import harden
from engine_mcp.sandbox.binding import Engine
from engine_mcp.sandbox.frames import Decoder, encode
from engine_mcp.sandbox.layers import Layer
from engine_mcp.sandbox.worker import RSS_PER_KIB, Worker, rehearse

CHANNEL = 3
REQUEST = 4096
LONGEST_REASON = 1000
# A zygote starts with three descriptors and holds few more; the system's own limit may be no number at all.
MOST_DESCRIPTORS = 4096

Work = Callable[[socket.socket, str], None]


class Order(NamedTuple):
    """What a zygote is started with: the argument list after the program."""

    engine: str
    layers: str
    parent: str
    probe: str = ""

    @property
    def wanted(self) -> frozenset[Layer]:
        """The layers to take."""
        return frozenset(Layer(name) for name in self.layers.split(",") if name)


class Zygote:
    """Forks children that each do `work` once, over a channel of their own."""

    def __init__(self, control: socket.socket, layers: frozenset[Layer], work: Work) -> None:
        self._control = control
        self._layers = layers
        self._work = work
        self._pid = os.getpid()
        self._children = set[int]()
        self._descriptors: list[int] = []
        self._decoder = Decoder(REQUEST)

    def serve(self) -> None:
        """Carry out requests until the server is gone; then leave no child behind."""
        while True:
            chunk, descriptors, _, _ = socket.recv_fds(self._control, REQUEST, 1)
            if not chunk:
                break
            self._descriptors += descriptors
            for frame in self._decoder.feed(chunk):
                if frame.kind == "F":
                    self._control.sendall(encode("F", str(self._fork(self._descriptors.pop()))))
                else:
                    self._control.sendall(encode("K", *self._reap(int(frame.parts[0]))))
        for pid in tuple(self._children):
            self._reap(pid)

    def _fork(self, descriptor: int) -> int:
        pid = os.fork()
        if pid == 0:
            self._live(descriptor)
        os.close(descriptor)
        self._children.add(pid)
        return pid

    def _live(self, descriptor: int) -> NoReturn:
        """The child's whole life; the way out leads past everything the zygote has on its stack."""
        try:
            harden.die_with(self._pid, self._layers)
            os.nice(harden.NICENESS)
            os.dup2(descriptor, CHANNEL)
            os.closerange(0, CHANNEL)
            os.closerange(CHANNEL + 1, MOST_DESCRIPTORS)
            channel = socket.socket(fileno=CHANNEL)
            rlimits = Layer.RLIMITS in self._layers and harden.forbid_resources()
            seccomp = Layer.SECCOMP in self._layers and harden.filter_calls()
            self._work(channel, f"{rlimits:d}{seccomp:d}")
        finally:
            os._exit(1)

    def _reap(self, pid: int) -> tuple[str, str, str]:
        """Kill a child that may be dead already; gives exit code (-signal), CPU ms, and resident KiB."""
        os.kill(pid, signal.SIGKILL)
        _, status, used = os.wait4(pid, 0)
        self._children.discard(pid)
        cpu_ms = (used.ru_utime + used.ru_stime) * 1000
        return str(os.waitstatus_to_exitcode(status)), f"{cpu_ms:.3f}", str(used.ru_maxrss // RSS_PER_KIB)


def script_work(order: Order) -> Work:
    """Load the engine; gives what a child does with a script."""
    engine = load_engine(order.engine)
    shim = Path(__file__).with_name("shim.js").read_text(encoding="utf-8")
    layers, address_space = order.wanted, size_of_address_space()
    rehearse(engine, shim)

    def work(channel: socket.socket, held: str) -> None:
        rehearse(engine, shim)
        worker = Worker(channel, layers, address_space)
        worker.serve(engine, shim, held)
        # Here, where the worker still lives: to take an engine apart takes longer than to drop it.
        os._exit(0)

    return work


def probe_work(order: Order) -> Work:
    """Load a test's own program, whose `work` a child does in place of a script."""
    names: dict[str, object] = {}
    exec(Path(order.probe).read_text(encoding="utf-8"), names)  # noqa: S102 - only a test names one
    return cast("Work", names["work"])


def load_engine(path: str) -> Engine:
    """Load the engine's extension module without the package around it, which starts a thread."""
    loader = importlib.machinery.ExtensionFileLoader("_quickjs", path)
    spec = importlib.machinery.ModuleSpec("_quickjs", loader, origin=path)
    module = loader.create_module(spec)
    loader.exec_module(module)
    return cast("Engine", module)


def size_of_address_space() -> int:
    """Bytes of address space that this process takes; 0 where the kernel does not tell."""
    pages = Path("/proc/self/statm")
    return int(pages.read_text().split()[0]) * resource.getpagesize() if pages.exists() else 0


def main() -> None:
    """Load, confine, then serve the server on the other side of descriptor 0."""
    order = Order(*sys.argv[1:])
    parent, layers = int(order.parent), order.wanted
    control = socket.socket(fileno=os.dup(0))
    harden.die_with(parent, layers)
    try:
        work = probe_work(order) if order.probe else script_work(order)
        gc.freeze()
        held = harden.confine(layers)
        # A change of uid has undone it.
        harden.die_with(parent, layers)
    except Exception as error:  # noqa: BLE001 - whatever it is, the server says it to its user
        control.sendall(encode("B", ascii(error)[:LONGEST_REASON]))
        return
    control.sendall(encode("H", str(held.uid), f"{held.no_new_privs:d}{held.netns:d}", str(held.landlock)))
    Zygote(control, layers, work).serve()
