"""The counter of tokens: the vocabulary of the package, and an estimate where there is none."""

import logging
from collections.abc import Callable, Sequence

import anyio
from anyio.to_thread import run_sync

from engine_mcp.context.estimate import estimated

_log = logging.getLogger(__name__)

CHUNK = 20_000
"""Characters that are encoded at a time: a stretch of blanks takes the longer for each the longer it is, and
a cut is worth a token or two."""
PANICS = "pyo3_runtime"
"""The module that a panic of tiktoken comes from; it is no `Exception`, and nothing can import it."""

Encode = Callable[[str], Sequence[int]]
"""Gives the tokens of a text."""


def _stock() -> Encode:
    from engine_mcp.context import vocabulary  # noqa: PLC0415 - most servers start before anybody counts

    return vocabulary.encoding().encode_ordinary


class Tokens:
    """Counts tokens as cl100k_base has them; fulfils `ports.TokenCounter`.

    No provider counts like that: current models of Anthropic see 1.15 to 1.8 times as many. `load` gives what
    is counted with; it is called in a thread, and raises ImportError, OSError or ValueError where it cannot.
    """

    def __init__(self, load: Callable[[], Encode] = _stock) -> None:
        self._load = load
        self._encode: Encode | None = None
        self._tried = False
        self._loading = anyio.Lock()

    async def open(self) -> None:
        """Load the vocabulary, once, however many ask at a time; without it `count` estimates."""
        async with self._loading:
            if not self._tried:
                self._encode = await run_sync(_loaded, self._load)
                self._tried = True

    def count(self, text: str) -> int:
        """The tokens of a text, whatever it holds, some megabytes a second; `estimated` before `open`."""
        if self._encode is None:
            return estimated(text)
        chunks = (text[begin : begin + CHUNK] for begin in range(0, len(text), CHUNK))
        return sum(_counted(self._encode, chunk) for chunk in chunks)


def _loaded(load: Callable[[], Encode]) -> Encode | None:
    try:
        return load()
    except (ImportError, OSError, ValueError) as error:
        _log.warning("Tokens are estimated: the vocabulary cannot be read: %s", error)
        return None


def _counted(encode: Encode, text: str) -> int:
    try:
        return len(encode(text))
    except BaseException as error:
        if not isinstance(error, Exception) and type(error).__module__ != PANICS:
            raise
        return estimated(text)
