"""Rendering: the text that a template gives for some values, bounded, and errors that name file and line."""

import re
from collections.abc import Iterable, Mapping, MutableMapping, Sequence
from traceback import walk_tb
from typing import Any

from jinja2 import BaseLoader, Environment, Template, TemplateNotFound, TemplateSyntaxError

from engine_mcp.errors import TemplateError
from engine_mcp.prompts.front_matter import defect
from engine_mcp.prompts.language import METER, Language, compiled
from engine_mcp.prompts.meter import Meter, Runaway
from engine_mcp.prompts.reading import Place

SUFFIX = ".md.j2"
TOO_DEEP = "the template nests too deep"
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]*" + re.escape(SUFFIX))
_UNSENDABLE = re.compile("[\0\ud800-\udfff]")
"""What no prompt can hold: a NUL ends an argument of a program, half a character is no UTF-8."""


class Shelf(BaseLoader):
    """The templates of some places, the first that has a name speaking for it."""

    def __init__(self, places: Sequence[Place]) -> None:
        """Look in these places, in their order."""
        self._places = tuple(places)
        self.files: set[str] = set()

    def load(
        self,
        environment: Environment,
        name: str,
        globals: MutableMapping[str, Any] | None = None,  # noqa: A002 - Jinja's own name for it
    ) -> Template:
        """The template of a name; raises TemplateNotFound, TemplateSyntaxError or our TemplateError."""
        source, file = self._found(name)
        self.files.add(file)
        try:
            code = compiled(source, name, file)
        except (RecursionError, MemoryError, SyntaxError):
            raise defect(file, None, TOO_DEEP) from None
        return Template.from_code(environment, code, globals or {})

    def _found(self, name: str) -> tuple[str, str]:
        for place in self._places if _NAME.fullmatch(name) else ():
            file = str(place.folder / name)
            try:
                text = place.text(name)
            except (OSError, ValueError) as error:
                raise defect(file, None, f"the template cannot be read: {error}") from None
            if text is not None:
                return text, file
        raise TemplateNotFound(name, f"there is no template {name!r}")


def rendered(name: str, values: Mapping[str, object], shelf: Shelf, meter: Meter, most: int) -> str:
    """What a template gives, at most `most` bytes of it; raises TemplateError that names file and line."""
    language = Language()
    language.loader = shelf
    try:
        template = language.get_template(name)
        text = _bounded(template.generate({**values, METER: meter}), most)
    except TemplateError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever a template brings about is the template's fault
        raise _told(error, name, shelf) from None
    return _UNSENDABLE.sub("\ufffd", text).strip("\n")


def _bounded(pieces: Iterable[str], most: int) -> str:
    found: list[str] = []
    for piece in pieces:
        most -= len(piece.encode(errors="surrogatepass"))
        if most < 0:
            raise Runaway("the text that it gives is too large")
        found.append(piece)
    return "".join(found)


def _told(error: Exception, name: str, shelf: Shelf) -> TemplateError:
    why = str(error).strip().removesuffix(".") or type(error).__name__
    if isinstance(error, RecursionError):
        why = TOO_DEEP
    if isinstance(error, TemplateSyntaxError):
        return defect(error.filename or name, error.lineno, error.message or why)
    where = [(frame.f_code.co_filename, line) for frame, line in walk_tb(error.__traceback__)]
    file, line = next(((file, line) for file, line in reversed(where) if file in shelf.files), (name, None))
    return defect(file, line, why)
