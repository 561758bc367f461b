"""The hostile scripts of `hostile.js`, and how each must end."""

import re
from dataclasses import dataclass
from pathlib import Path

from engine_mcp.core.script import Outcome

HEADER = re.compile(r"^//: (?P<name>.+?) -> (?P<outcomes>[a-z_ |]+?)(?: = (?P<value>.+))?$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Case:
    """A script, the outcomes it may have, and what a value must then be (JSON text), if that is known."""

    code: str
    outcomes: frozenset[Outcome]
    value: str | None


def cases() -> dict[str, Case]:
    """Every case by its name."""
    text = Path(__file__).with_name("hostile.js").read_text(encoding="utf-8")
    headers = list(HEADER.finditer(text))
    ends = [header.start() for header in headers[1:]] + [len(text)]
    return {
        header["name"]: Case(
            code=text[header.end() : end].strip(),
            outcomes=frozenset(Outcome(name) for name in header["outcomes"].split(" | ")),
            value=header["value"],
        )
        for header, end in zip(headers, ends, strict=True)
    }


CORPUS = cases()
