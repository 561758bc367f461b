"""Markdown with front matter: settings in YAML between two lines of `---`, then the text."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import JsonValue

from engine_mcp.errors import TemplateError

RULE = "---"
LARGEST = 8 << 10
"""Characters of front matter; reading YAML takes long."""
_PLAIN = re.compile(r"([A-Za-z][\w-]*):[ \t]+(.*?)[ \t]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A file with front matter: its fields, the line of each (from 1), and the text after them."""

    place: str
    fields: Mapping[str, JsonValue]
    lines: Mapping[str, int]
    text: str

    def string(self, name: str) -> str | None:
        """The text of a field, None where it is missing or empty; raises TemplateError where it is none."""
        value = self.fields.get(name)
        if value is not None and not isinstance(value, str):
            raise self.wrong(name, f"{name} is not a text")
        return (value or "").strip() or None

    def wrong(self, name: str, why: str) -> TemplateError:
        """The error for a field."""
        return defect(self.place, self.lines.get(name, 1), why)


def defect(place: str, line: int | None, why: str) -> TemplateError:
    """The error for a file that is not what it should be, at a line if that is known."""
    where = place if line is None else f"{place}, line {line}"
    return TemplateError(f"{where}: {why}.", field=place)


def document(text: str, place: str, *, lenient: bool = False) -> Document:
    """The parts of a file; raises TemplateError that names `place` and the line.

    With `lenient`, front matter that is no YAML is read line by line, as OpenCode does: people write
    `description: Use when: ...` without quotes.
    """
    lines = text.replace("\r\n", "\n").split("\n")
    if not lines or lines[0].rstrip() != RULE:
        raise defect(place, 1, "it does not begin with front matter, a line of ---")
    end = next((number for number, line in enumerate(lines[1:], 1) if line.rstrip() == RULE), None)
    if end is None:
        raise defect(place, 1, "its front matter has no end, a second line of ---")
    if sum(len(line) for line in lines[1:end]) > LARGEST:
        raise defect(place, 1, f"its front matter is larger than {LARGEST >> 10} Ki characters")
    try:
        fields, where = _fields("\n".join(lines[1:end]), place)
    except TemplateError:
        if not lenient:
            raise
        fields, where = _plain(lines[1:end])
    return Document(place=place, fields=fields, lines=where, text="\n".join(lines[end + 1 :]).strip())


def _plain(lines: list[str]) -> tuple[dict[str, JsonValue], dict[str, int]]:
    found = {number: match for number, line in enumerate(lines, 2) if (match := _PLAIN.fullmatch(line))}
    fields: dict[str, JsonValue] = {match[1]: match[2] for match in found.values()}
    return fields, {match[1]: number for number, match in found.items()}


def _fields(header: str, place: str) -> tuple[dict[str, JsonValue], dict[str, int]]:
    import yaml  # noqa: PLC0415 - most processes read no role, and every one starts sooner without this

    try:
        tree = yaml.compose(header, Loader=yaml.SafeLoader)
        found: object = yaml.safe_load(header)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        why = " ".join(part for part in (error.context, error.problem) if part)
        raise defect(place, None if mark is None else mark.line + 2, f"its front matter: {why}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise defect(place, 2, f"its front matter cannot be read: {str(error).splitlines()[0]}") from None
    if found is None:
        return {}, {}
    if not isinstance(found, dict) or not isinstance(tree, yaml.MappingNode):
        raise defect(place, 2, "its front matter does not hold fields by name")
    named: dict[object, JsonValue] = found  # pyright: ignore[reportUnknownVariableType] - looked at where used
    fields = {str(name): value for name, value in named.items()}
    return fields, {str(key.value): key.start_mark.line + 2 for key, _ in tree.value}
