"""Lines: what a program writes, read as it comes, in bounded memory."""

import fcntl
import sys
import termios
from dataclasses import dataclass
from io import FileIO

import anyio

LONGEST_LINE = 16 << 20
CHUNK = 64 << 10
QUIET_S = 1.0
"""How long a stream may be silent once its program has ended; others may hold it open for ever."""
LATE_S = 3.0
"""How long after the end of its program a stream is read for what others write to it."""


class Stalled(Exception):
    """Nothing was written for as long as the reader was ready to wait."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line without its newline; `cut`: it was longer than LONGEST_LINE, and the rest was dropped."""

    text: bytes
    cut: bool = False


class Lines:
    """Reads a stream that does not block no faster than its lines are asked for.

    A wait that is cancelled loses nothing: the next one goes on where it stopped.
    """

    def __init__(self, stream: FileIO, longest: int = LONGEST_LINE, late_s: float = LATE_S) -> None:
        self._stream = stream
        self._longest = longest
        self._held = bytearray()
        self._searched = 0
        self._start: bytes | None = None
        self._writer_ended = False
        self._owed = 0
        self._late, self._late_s = 0.0, late_s
        self._ended = False
        self._waiting: anyio.CancelScope | None = None

    async def next(self, stall_s: float) -> Line | None:
        """The next line, None after the last; raises Stalled after `stall_s` seconds without any output."""
        while (line := self._taken()) is None and not self._ended:
            await self._fill(stall_s)
        return line or self._last()

    def writer_ended(self) -> None:
        """Take note that the program has ended: what is silent now stays silent."""
        self._writer_ended = True
        self._owed, self._late = _waiting_in(self._stream), anyio.current_time() + self._late_s
        if self._waiting is not None:
            self._waiting.deadline = min(self._waiting.deadline, anyio.current_time() + QUIET_S)

    def _taken(self) -> Line | None:
        """The first complete line of what is held; of one that is too long the start is set aside."""
        end = self._held.find(b"\n", self._searched)
        if end < 0:
            self._searched = len(self._held)
            if self._start is not None or len(self._held) > self._longest:
                self._start = self._start or bytes(self._held[: self._longest])
                self._forget(len(self._held))
            return None
        text = bytes(self._held[: min(end, self._longest)])
        line = Line(text, end > self._longest) if self._start is None else Line(self._start, cut=True)
        self._start = None
        self._forget(end + 1)
        return line

    def _last(self) -> Line | None:
        """What came after the last newline."""
        text, self._start = self._start, None
        if text is not None:
            return Line(text, cut=True)
        rest = bytes(self._held)
        self._forget(len(rest))
        return Line(rest) if rest else None

    def _forget(self, count: int) -> None:
        del self._held[:count]
        self._searched = 0

    async def _fill(self, stall_s: float) -> None:
        if self._writer_ended and self._owed <= 0 and anyio.current_time() >= self._late:
            self._ended = True
            return
        wait_s = min(stall_s, QUIET_S) if self._writer_ended else stall_s
        try:
            with anyio.move_on_after(wait_s) as self._waiting:
                await anyio.wait_readable(self._stream)
        finally:
            scope, self._waiting = self._waiting, None
        if scope is not None and scope.cancelled_caught:
            if not self._writer_ended:
                raise Stalled(f"It wrote nothing for {stall_s:g} s.")
            self._ended = True
            return
        chunk = self._stream.read(CHUNK)
        self._held += chunk or b""
        self._owed -= len(chunk or b"")
        self._ended = chunk == b""


def _waiting_in(stream: FileIO) -> int:
    """How many bytes were written to a pipe and not read yet; 0 where it has been closed."""
    if stream.closed:
        return 0
    counted = fcntl.ioctl(stream, termios.FIONREAD, bytes(4))
    return int.from_bytes(counted, sys.byteorder)
