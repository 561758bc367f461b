"""Frames between the server, the zygote and its children; sans-IO, ASCII only.

A frame is a letter for its kind, the lengths of its parts in decimal with commas between them, a colon,
and the parts one after another: `C1,12,2:0"files.read"{}`. What a part holds is text that no one on the
way needs to understand, so a value of a script crosses two processes without being parsed.
"""

from collections.abc import Iterator
from typing import NamedTuple

LONGEST_HEADER = 128
MOST_PARTS = 16


class BadFrame(ValueError):
    """The bytes are not frames of this protocol, or are more than was allowed."""


class Frame(NamedTuple):
    """One message: a letter and its parts."""

    kind: str
    parts: tuple[str, ...] = ()


def encode(kind: str, *parts: str) -> bytes:
    """Write one frame. Raises UnicodeEncodeError where a part is not ASCII."""
    lengths = ",".join(str(len(part)) for part in parts)
    return f"{kind}{lengths}:{''.join(parts)}".encode("ascii")


class Decoder:
    """Cuts a stream of bytes into frames, none larger than `limit` bytes."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._buffer = bytearray()
        self._awaited = 1

    def feed(self, chunk: bytes) -> Iterator[Frame]:
        """Take bytes and give the frames they complete. Raises BadFrame; the stream is lost then."""
        self._buffer += chunk
        while len(self._buffer) >= self._awaited:
            header = self._header()
            if header is None:
                return
            start, lengths = header
            end = start + sum(lengths)
            if end > self._limit:
                raise BadFrame(f"a frame of {end} bytes, where {self._limit} are allowed")
            self._awaited = end
            if len(self._buffer) < end:
                return
            yield self._take(start, lengths)

    def _header(self) -> tuple[int, list[int]] | None:
        """Where the first part starts, and how long each part is; None while the header is not whole."""
        colon = self._buffer.find(b":", 0, LONGEST_HEADER)
        if colon < 0:
            if len(self._buffer) >= LONGEST_HEADER:
                raise BadFrame("a header without an end")
            self._awaited = len(self._buffer) + 1
            return None
        kind, lengths = bytes(self._buffer[:1]), bytes(self._buffer[1:colon])
        if not kind.isalpha():
            raise BadFrame("a kind that is no letter")
        fields = lengths.split(b",") if lengths else []
        if len(fields) > MOST_PARTS or not all(field.isdigit() for field in fields):
            raise BadFrame("lengths that are no numbers")
        return colon + 1, [int(field) for field in fields]

    def _take(self, start: int, lengths: list[int]) -> Frame:
        end = start + sum(lengths)
        raw = bytes(self._buffer[:end])
        del self._buffer[:end]
        self._awaited = 1
        if not raw.isascii():
            raise BadFrame("bytes beyond ASCII")
        text, parts = raw.decode("ascii"), list[str]()
        for length in lengths:
            parts.append(text[start : start + length])
            start += length
        return Frame(text[0], tuple(parts))
