from collections.abc import Iterable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine_mcp.sandbox.frames import LONGEST_HEADER, MOST_PARTS, BadFrame, Decoder, Frame, encode

LIMIT = 1 << 16
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
PARTS = st.lists(st.text(st.characters(max_codepoint=127), max_size=40), max_size=MOST_PARTS)
FRAMES = st.lists(st.builds(Frame, st.sampled_from(LETTERS), PARTS.map(tuple)), max_size=5)


def pieces(stream: bytes, cuts: Iterable[int]) -> list[bytes]:
    edges = [0, *sorted(cut % (len(stream) + 1) for cut in cuts), len(stream)]
    return [stream[start:end] for start, end in pairwise(edges)]


@given(FRAMES, st.lists(st.integers(min_value=0), max_size=20))
def test_frames_come_out_as_they_went_in_however_the_stream_is_cut(
    frames: list[Frame], cuts: list[int]
) -> None:
    decoder = Decoder(LIMIT)
    stream = b"".join(encode(frame.kind, *frame.parts) for frame in frames)
    found = [frame for piece in pieces(stream, cuts) for frame in decoder.feed(piece)]
    assert found == frames


@given(st.binary(max_size=300), st.lists(st.integers(min_value=0), max_size=5))
def test_any_bytes_give_frames_or_bad_frame_and_nothing_else(noise: bytes, cuts: list[int]) -> None:
    decoder = Decoder(LIMIT)
    try:
        found = [frame for piece in pieces(noise, cuts) for frame in decoder.feed(piece)]
    except BadFrame:
        return
    assert all(len(frame.parts) <= MOST_PARTS for frame in found)


@given(FRAMES.filter(bool), st.integers(min_value=1))
def test_a_torn_frame_is_waited_for(frames: list[Frame], cut: int) -> None:
    stream = b"".join(encode(frame.kind, *frame.parts) for frame in frames)
    torn = stream[: -(1 + cut % len(encode(frames[-1].kind, *frames[-1].parts)))]
    assert list(Decoder(LIMIT).feed(torn)) == frames[:-1]


@pytest.mark.parametrize(
    "stream",
    [
        b"1:",
        b"!3:abc",
        b"A-1:",
        b"A1,:a",
        b"A 1:a",
        b"A1,x:a",
        b"A" + b"1" * LONGEST_HEADER,
        b"A" + b"9" * 20 + b":",
        b"A" + b"0," * MOST_PARTS + b"0:",
        b"A1:\xff",
        "A1:é".encode(),
    ],
)
def test_bytes_that_no_worker_sends_are_refused(stream: bytes) -> None:
    with pytest.raises(BadFrame):
        list(Decoder(LIMIT).feed(stream))


def test_a_frame_beyond_the_limit_is_refused_before_it_has_come() -> None:
    with pytest.raises(BadFrame, match="where 10 are allowed"):
        list(Decoder(10).feed(b"A100:"))


def test_text_beyond_ascii_is_not_written() -> None:
    with pytest.raises(UnicodeEncodeError):
        encode("A", "é")
