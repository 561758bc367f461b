"""The vocabulary of tokens: the ranks of cl100k_base as they lie in the package. Nothing is ever fetched."""

import hashlib
import lzma
from collections.abc import Iterator
from itertools import accumulate, pairwise
from pathlib import Path

import tiktoken

FILE = Path(__file__).parent / "cl100k" / "ranks.xz"
TOKENS = 100_256
SHA256 = "18288f996f452d44e0e65996176591a4b712a3eb1b42afd6f0511e735c099480"
"""Of the unpacked file: another release of xz may pack the same content differently."""
_PATTERN = (
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+"
    r"|\s++$|\s*[\r\n]|\s+(?!\S)|\s"
)


def encoding(file: Path = FILE) -> tiktoken.Encoding:
    """The encoding by a file of ranks, without special tokens: what looks like one is text like any other.

    Raises OSError where the file cannot be read, ValueError where it is not the one that belongs here.
    """
    ranks = {token: rank for rank, token in enumerate(tokens(_content(file)))}
    # Its own name: whoever asks tiktoken for one of its encodings must never get this one.
    return tiktoken.Encoding(name="engine-mcp", pat_str=_PATTERN, mergeable_ranks=ranks, special_tokens={})


def tokens(content: bytes) -> Iterator[bytes]:
    """The tokens in the order of their ranks: first the lengths of all, a byte each, then the tokens."""
    ends = accumulate(content[:TOKENS], initial=TOKENS)
    return (content[begin:end] for begin, end in pairwise(ends))


def _content(file: Path) -> bytes:
    try:
        content = lzma.decompress(file.read_bytes())
    except lzma.LZMAError as error:
        raise ValueError(f"{file.name} cannot be unpacked: {error}") from error
    if hashlib.sha256(content).hexdigest() != SHA256:
        raise ValueError(f"{file.name} does not hold what it should.")
    return content
