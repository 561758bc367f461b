"""Tokens are counted with the vocabulary of the package, never with the network, and whatever the text is."""

import base64
import hashlib
import logging
import lzma
import subprocess
import sys
import threading
from pathlib import Path

import anyio
import pytest
import tiktoken
from hypothesis import given, settings
from hypothesis import strategies as st

from engine_mcp.context import vocabulary
from engine_mcp.context.estimate import estimated
from engine_mcp.context.tokens import CHUNK, Encode, Tokens
from engine_mcp.ports import TokenCounter
from scripts.vocabulary import PUBLISHED, content
from tests.context.texts import FOREIGN, KINDS, drawn
from tests.house.sources import ROOT

LAZY = """
import sys
import anyio

def offline(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.sendto"):
        raise SystemExit(f"the network was used: {event} {arguments}")

sys.addaudithook(offline)
from engine_mcp.context.tokens import Tokens
counter = Tokens()
counter.count("before it is open")
assert not {"tiktoken", "regex", "requests"} & set(sys.modules)
anyio.run(counter.open)
assert "tiktoken" in sys.modules
assert counter.count("tiktoken is great!") == 6
import tiktoken
assert "engine-mcp" not in tiktoken.list_encoding_names()
"""
ANY = st.text(st.characters(exclude_categories=()))


@pytest.fixture(scope="module")
def counter() -> Tokens:
    """One counter for all tests: to load it takes a fifth of a second."""
    return opened(Tokens())


def opened(counter: Tokens) -> Tokens:
    anyio.run(counter.open)
    return counter


def plain() -> bytes:
    """The vocabulary of the package in the form in which it is published."""
    tokens = vocabulary.tokens(lzma.decompress(vocabulary.FILE.read_bytes()))
    return b"".join(b"%s %d\n" % (base64.b64encode(token), rank) for rank, token in enumerate(tokens))


def estimating(text: str) -> int:
    """What a counter says that was never opened."""
    return Tokens().count(text)


# --- the vocabulary


def test_the_vocabulary_is_the_published_one_and_the_script_packs_it_as_it_lies_there() -> None:
    found = plain()
    assert hashlib.sha256(found).hexdigest() == PUBLISHED
    assert hashlib.sha256(content(found)).hexdigest() == vocabulary.SHA256


def test_the_script_refuses_any_other_vocabulary(tmp_path: Path) -> None:
    before, other = vocabulary.FILE.read_bytes(), tmp_path / "other"
    other.write_bytes(plain()[:-1])
    command = [sys.executable, "-m", "scripts.vocabulary", str(other)]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (told.returncode, told.stdout) == (1, "")
    assert vocabulary.FILE.read_bytes() == before


def test_the_licence_of_the_vocabulary_lies_beside_it_and_is_packed_with_the_wheel() -> None:
    licence = vocabulary.FILE.with_name("LICENSE")
    assert "OpenAI" in licence.read_text(encoding="utf-8")
    assert f'"{licence.relative_to(ROOT).as_posix()}"' in (ROOT / "pyproject.toml").read_text(
        encoding="utf-8"
    )
    assert licence.relative_to(ROOT).as_posix() in (ROOT / "NOTICE").read_text(encoding="utf-8")


def test_nothing_of_the_tokenizer_is_loaded_before_it_is_opened_and_nothing_is_ever_fetched() -> None:
    told = subprocess.run([sys.executable, "-c", LAZY], capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stdout + told.stderr


# --- opening


@pytest.mark.anyio
@pytest.mark.both_loops
async def test_it_is_loaded_once_in_a_thread_however_many_open_it_at_a_time(anyio_backend: object) -> None:
    del anyio_backend
    loads: list[int] = []

    def characters() -> Encode:
        loads.append(threading.get_ident())
        return lambda text: [ord(character) for character in text]

    counter = Tokens(characters)
    async with anyio.create_task_group() as group:
        for _ in range(20):
            group.start_soon(counter.open)
    await counter.open()
    assert len(loads) == 1
    assert loads != [threading.get_ident()]
    assert counter.count("four") == 4


@pytest.mark.anyio
@pytest.mark.parametrize("damage", ["missing", "cut", "no xz", "other ranks"])
async def test_without_a_sound_vocabulary_it_estimates_and_says_so(
    damage: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file, packed = tmp_path / "ranks.xz", vocabulary.FILE.read_bytes()
    changed = bytearray(lzma.decompress(packed))
    changed[-1] ^= 1
    damaged = {"cut": packed[:-100], "no xz": b"ranks", "other ranks": lzma.compress(changed, preset=0)}
    if damage in damaged:
        file.write_bytes(damaged[damage])
    counter = Tokens(lambda: vocabulary.encoding(file).encode_ordinary)
    with caplog.at_level(logging.WARNING):
        await counter.open()
        await counter.open()
    assert [record.getMessage().split(":")[0] for record in caplog.records] == ["Tokens are estimated"]
    assert counter.count("Some text, 12 words.") == estimated("Some text, 12 words.")


def test_it_is_a_counter_of_tokens_and_estimates_before_it_is_open(counter: Tokens) -> None:
    asked: TokenCounter = counter
    text = "Some text in a language that has words."
    assert estimating(text) == estimated(text) != asked.count(text)


# --- counting


@pytest.mark.parametrize(
    ("text", "tokens"),
    [("", 0), ("hello world", 2), ("tiktoken is great!", 6), ("2 + 2 = 4", 7), ("お誕生日おめでとう", 9)],
)
def test_it_counts_as_the_vocabulary_does(counter: Tokens, text: str, tokens: int) -> None:
    assert counter.count(text) == tokens


def test_a_long_text_is_counted_in_chunks_which_makes_hardly_a_difference(counter: Tokens) -> None:
    text = drawn("code", CHUNK) + drawn("prose", 3 * CHUNK)
    whole, cuts = len(vocabulary.encoding().encode_ordinary(text)), len(text) // CHUNK
    assert cuts >= 3
    assert abs(counter.count(text) - whole) <= 3 * cuts


@pytest.mark.parametrize(
    "text",
    [
        " " * 1_000_000,
        "a" * 300_000,
        "\ud800" * 5_000,
        "<|endoftext|>",
        "\0\x1b[2J",
        "😀" * 9_000,
        "e\u0301" * 9_000,
    ],
    ids=["blanks", "one letter", "surrogates", "special token", "controls", "emoji", "accents"],
)
def test_whatever_a_text_holds_is_counted(counter: Tokens, text: str) -> None:
    assert 0 < counter.count(text) <= 4 * len(text)
    assert 0 < estimating(text) <= 4 * len(text)


@settings(max_examples=60)
@given(text=ANY)
def test_any_text_has_at_most_as_many_tokens_as_bytes_and_none_only_if_it_is_empty(
    counter: Tokens, text: str
) -> None:
    for count in (counter.count(text), estimating(text)):
        assert (count == 0) == (not text)
        assert count <= len(text.encode(errors="surrogatepass"))


def test_a_panic_of_the_tokenizer_costs_the_exact_count_of_that_chunk_alone() -> None:
    ranks = {bytes([byte]): byte for byte in range(256) if byte != ord("x")}
    without_x = tiktoken.Encoding(name="without x", pat_str=".", mergeable_ranks=ranks, special_tokens={})
    counter = opened(Tokens(lambda: without_x.encode_ordinary))
    sound, broken = "a" * CHUNK, "axa"
    assert counter.count(sound + broken) == CHUNK + estimated(broken)


def test_who_interrupts_the_program_is_not_taken_for_a_panic() -> None:
    def interrupted(_: str) -> list[int]:
        raise KeyboardInterrupt

    counter = opened(Tokens(lambda: interrupted))
    with pytest.raises(KeyboardInterrupt):
        counter.count("text")


# --- the estimate


@pytest.mark.parametrize("kind", KINDS)
def test_the_estimate_is_rather_too_much(counter: Tokens, kind: str) -> None:
    text = drawn(kind, 40_000)
    assert 1.0 <= estimated(text) / counter.count(text) <= 1.6


@pytest.mark.parametrize("language", FOREIGN)
def test_the_estimate_holds_for_other_languages(counter: Tokens, language: str) -> None:
    text = FOREIGN[language] * 50
    assert 0.95 <= estimated(text) / counter.count(text) <= 1.6
