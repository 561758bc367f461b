"""The standard streams of the process, with descriptors 0 and 1 out of harm's way."""

import os
import stat
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass

STDIN, STDOUT, STDERR = 0, 1, 2


@dataclass(frozen=True, slots=True)
class Wire:
    """The descriptors that the client's lines come from and that answers go to."""

    incoming: int
    outgoing: int


@contextmanager
def guarded() -> Generator[Wire]:
    """The wire of this process.

    Within the block, descriptor 0 holds nothing and descriptor 1 is stderr: stray reads and prints,
    those of libraries and children too, miss the wire.
    """
    wire = Wire(os.dup(STDIN), os.dup(STDOUT))
    blocking = os.get_blocking(wire.outgoing)
    nothing = os.open(os.devnull, os.O_RDONLY)
    try:
        os.dup2(nothing, STDIN)
        os.dup2(STDERR, STDOUT)
        os.set_blocking(wire.outgoing, False)
        yield wire
    finally:
        os.set_blocking(wire.outgoing, blocking)
        os.dup2(wire.incoming, STDIN)
        os.dup2(wire.outgoing, STDOUT)
        for descriptor in (nothing, wire.incoming, wire.outgoing):
            os.close(descriptor)


def never_waits(descriptor: int) -> bool:
    """Whether reading returns at once, so that no event loop can or need watch it: files, /dev/null."""
    mode = os.fstat(descriptor).st_mode
    waits = stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or (stat.S_ISCHR(mode) and os.isatty(descriptor))
    return not waits
