r"""The lines of a journal: a number, the batch, the epoch, an event or a head, and a checksum.

`{"seq":7,"batch":6,"epoch":2,"event":{…},"crc":"0f1e2d3c"}` is event 7, written together with 6. The
checksum is the crc32 of every byte before its own key, and its key is compared byte by byte, so
that no bit of a line can change unseen.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from zlib import crc32

from engine_mcp.store.codec import parsed

_SEAL = b',"crc":"%08x"}\n'
_SEAL_SIZE = len(_SEAL % 0)
_OPENING = re.compile(rb'\{"seq":(\d+),"batch":(\d+),"epoch":(\d+),"')


@dataclass(frozen=True, slots=True)
class Line:
    """One whole line: its event's number, the first number of its batch, the epoch, and its bytes."""

    seq: int
    batch: int
    epoch: int
    text: bytes

    def content(self) -> Any:  # noqa: ANN401 - JSON of any shape
        """The line as parsed JSON; raises ValueError."""
        return parsed(self.text)


def sealed(seq: int, batch: int, epoch: int, members: bytes) -> bytes:
    """A line of its JSON members, with the checksum."""
    body = b'{"seq":%d,"batch":%d,"epoch":%d,"%b' % (seq, batch, epoch, members)
    return body + _SEAL % crc32(body)


def read(text: bytes) -> Line | None:
    """The line that these bytes are; None if they are not exactly one whole line."""
    body = text[:-_SEAL_SIZE]
    if text[-_SEAL_SIZE:] != _SEAL % crc32(body):
        return None
    opening = _OPENING.match(body)
    if opening is None:
        return None
    seq, batch, epoch = (int(digits) for digits in opening.groups())
    return Line(seq, batch, epoch, text)


@dataclass(frozen=True, slots=True)
class Scan:
    """What a segment's bytes hold: its whole lines in order, and what stands behind them.

    `damaged` when the bytes behind cannot be the rest of one unfinished write.
    """

    lines: tuple[Line, ...]
    rest: bytes
    damaged: bool


def scan(content: bytes) -> Scan:
    """Read lines as long as they are whole and their numbers have no gap."""
    lines: list[Line] = []
    position = 0
    for text in _split(content):
        line = read(text)
        if line is None or (lines and line.seq != lines[-1].seq + 1):
            break
        lines.append(line)
        position += len(text)
    rest = content[position:]
    return Scan(tuple(lines), rest, _damaged(lines, rest))


def _damaged(lines: list[Line], rest: bytes) -> bool:
    batches = {line.batch for line in map(read, _split(rest)) if line is not None}
    if not lines:
        return len(batches) > 1
    return any(batch > lines[-1].seq + 1 for batch in batches)


def _split(content: bytes) -> Iterator[bytes]:
    start = 0
    while start < len(content):
        end = content.find(b"\n", start) + 1 or len(content)
        yield content[start:end]
        start = end
