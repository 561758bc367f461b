"""Secrecy: what a program was given to log in with is hidden in what it says.

A program may quote its key in an error, and an agent may print its environment; both would be on record.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from urllib.parse import urlsplit

from engine_mcp.core.agent import AgentResult

SHORTEST = 8
"""Shorter values are told: they are no keys, and would be found inside of other words."""
HIDDEN = "[hidden]"
_SECRET = re.compile(
    r"(?:^|_)(?:(?:API)?KEY|TOKEN|SECRET|PASS(?:WORD|WD|PHRASE)?|CREDENTIAL|AUTH)S?(?:_ID|_BEDROCK)?$",
    re.IGNORECASE,
)
_HEADERS = re.compile(r"_HEADERS$", re.IGNORECASE)
_TELLING = re.compile(r"key|token|auth|secret|cookie|password", re.IGNORECASE)
_SCHEME = re.compile(r"^(bearer|basic)\s+", re.IGNORECASE)


class Secrets:
    """Values that are not to be told."""

    def __init__(self, values: Iterable[str]) -> None:
        kept = {value for value in values if len(value) >= SHORTEST and not value.isdecimal()}
        kept |= {json.dumps(value, ensure_ascii=False)[1:-1] for value in kept}  # as it stands in JSON
        self._texts = sorted(kept, key=len, reverse=True)  # one may begin like another
        self._lines = [text.encode(errors="surrogateescape") for text in self._texts]

    def hide(self, text: str) -> str:
        """A text without them."""
        for secret in self._texts:
            text = text.replace(secret, HIDDEN)
        return text

    def hide_in(self, line: bytes) -> bytes:
        """A line without them; the same object where there are none."""
        for secret in self._lines:
            if secret in line:
                line = line.replace(secret, HIDDEN.encode())
        return line

    def kept_from(self, result: AgentResult) -> AgentResult:
        """A result whose text and failure are without them."""
        output, failure = result.output, result.failure
        if failure is not None:
            failure = replace(failure, message=self.hide(failure.message))
        return replace(
            result, output=self.hide(output) if isinstance(output, str) else output, failure=failure
        )


def secrets_of(env: Mapping[str, str]) -> Secrets:
    """The secrets in an environment: by the names of its variables, and what is in headers and addresses."""
    return Secrets(value for name, text in env.items() for value in _secret(name, text.strip()))


def _secret(name: str, text: str) -> Iterator[str]:
    if _HEADERS.search(name):
        fields = (line.partition(":") for line in text.splitlines())
        yield from (_SCHEME.sub("", value.strip()) for field, _, value in fields if _TELLING.search(field))
    elif "://" in text:
        try:
            parts = urlsplit(text)
            yield from (parts.password or "", parts.username or "")  # a key may stand in either's place
        except ValueError:  # no address after all
            return
    elif _SECRET.search(name) and not text.startswith("/"):  # the path of a file with a key is none
        yield text
