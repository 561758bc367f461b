"""A journal's line is whole or it is not; what stands behind the last whole one is told apart."""

import json
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine_mcp.store.lines import Line, read, scan, sealed

HEAD = sealed(0, 1, 1, b'schema":1,"engine":"0","state":null')


def line(seq: int, batch: int | None = None, text: str = "x") -> bytes:
    return sealed(seq, batch or seq, 1, b'event":' + json.dumps({"text": text}).encode())


def numbers(content: bytes) -> list[int]:
    return [found.seq for found in scan(content).lines]


@pytest.mark.req("SPEC:7.line-format")
def test_a_line_is_json_with_its_checksum_last() -> None:
    text = line(7, 6, "ä")
    members = json.loads(text)
    assert list(members) == ["seq", "batch", "epoch", "event", "crc"]
    assert members["event"] == {"text": "ä"}
    covered = text[: text.rindex(b',"crc"')]
    assert members["crc"] == f"{crc32(covered):08x}"


def test_a_whole_line_is_read_with_its_numbers() -> None:
    found = read(line(7, 6))
    assert found is not None
    assert found == Line(7, 6, 1, line(7, 6))
    assert found.content()["event"] == {"text": "x"}


@pytest.mark.req("000:4.4.2")
def test_no_bit_of_a_line_can_change_unseen() -> None:
    text = line(12, 12, "starlight")
    for place in range(len(text)):
        for bit in range(8):
            changed = bytearray(text)
            changed[place] ^= 1 << bit
            assert read(bytes(changed)) is None, (place, bit)


@given(st.integers(0, 400))
def test_a_part_of_a_line_is_no_line(size: int) -> None:
    text = line(12)
    assert (read(text[:size]) is not None) == (size >= len(text))


def test_lines_are_read_in_order() -> None:
    content = HEAD + line(1) + line(2, 2) + line(3, 2)
    assert numbers(content) == [0, 1, 2, 3]
    assert scan(content).rest == b""


def test_every_torn_end_is_cut_at_the_last_whole_line() -> None:
    whole = HEAD + line(1)
    batch = line(2, 2) + line(3, 2)
    for size in range(len(batch)):
        found = scan(whole + batch[:size])
        kept = 2 if size < len(line(2, 2)) else 3
        assert len(found.lines) == kept
        assert found.rest == (whole + batch[:size])[sum(len(item.text) for item in found.lines) :]
        assert not found.damaged


def test_a_write_that_left_holes_is_a_torn_end_too() -> None:
    hole = bytes(len(line(2, 2)))
    found = scan(HEAD + line(1) + hole + line(3, 2))
    assert [item.seq for item in found.lines] == [0, 1]
    assert not found.damaged


def test_a_bad_line_before_a_later_batch_is_damage() -> None:
    found = scan(HEAD + line(1) + line(2, 2)[:-5] + b"\n" + line(3, 2) + line(4, 4))
    assert [item.seq for item in found.lines] == [0, 1]
    assert found.damaged


def test_a_missing_line_before_a_later_batch_is_damage() -> None:
    assert scan(HEAD + line(1) + line(3)).damaged


def test_a_lost_head_before_one_batch_may_be_torn_and_before_two_is_damage() -> None:
    lost = b"?" * 20 + b"\n"
    assert not scan(lost + line(1, 1) + line(2, 1)).damaged
    assert scan(lost + line(1, 1) + line(2, 2)).damaged


@pytest.mark.parametrize("content", [b"", b"\n", b"\n\n\n", b"{}\n", bytes(5000), b"journal"])
def test_what_holds_no_line_is_all_rest(content: bytes) -> None:
    found = scan(content)
    assert (found.lines, found.rest, found.damaged) == ((), content, False)
