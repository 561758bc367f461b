"""Templates: how to call a CLI that the engine does not know, declared by the user."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import ClassVar

from pydantic import ConfigDict, TypeAdapter, ValidationError

from engine_mcp.core.plan import Mode
from engine_mcp.errors import InvalidArgument

Argv = tuple[str | tuple[str, ...], ...]
"""Arguments, and groups of them; one whose placeholder has no value is left out, a group as a whole."""
Scalar = str | int | float | bool | None
Wanted = Mapping[str, Scalar]
"""Values that a line of JSON has at these paths."""
MODE = "{mode}"
KNOWN = frozenset({"prompt", "prompt_file", "model", "session", "project"})
_PLACEHOLDER = re.compile(r"\{([a-z_]+)\}")


class Passing(StrEnum):
    """How the prompt reaches the CLI."""

    STDIN = "stdin"
    FILE = "file"
    ARGUMENT = "argument"


class Format(StrEnum):
    """What the CLI writes to stdout: the answer itself, one JSON document, or one JSON value a line."""

    TEXT = "text"
    JSON = "json"
    NDJSON = "ndjson"


@dataclass(frozen=True, slots=True, kw_only=True)
class UsagePaths:
    """Where the use is told, as paths; `cached_is_input`: `tokens_in` counts those of `cache_read` too."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    tokens_in: str = ""
    tokens_out: str = ""
    cache_read: str = ""
    cost_usd: str = ""
    cached_is_input: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """A CLI's call and how to read what it writes; `docs/how-to/run-any-cli.md` explains each field.

    A path is keys and indexes with dots between them; `*` stands for each one. `resume` is the `argv` of
    a session that goes on. `modes` holds the arguments that keep the CLI to a mode, put in for `{mode}`.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    argv: Argv
    resume: Argv = ()
    env: Mapping[str, str] = field(default_factory=dict[str, str])
    pass_env: tuple[str, ...] = ()
    modes: Mapping[Mode, tuple[str, ...]] = field(default_factory=lambda: {Mode.WRITE: ()})
    prompt: Passing = Passing.STDIN
    output: Format = Format.TEXT
    answer: str = ""
    select: Wanted = field(default_factory=dict[str, Scalar])
    joined: bool = False
    done: Wanted = field(default_factory=dict[str, Scalar])
    error: str = ""
    session: str = ""
    usage: UsagePaths = field(default_factory=UsagePaths)
    cumulative: bool = False
    probe: tuple[str, ...] = ("--version",)

    def call(self, values: Mapping[str, str], mode: Mode, *, resume: bool = False) -> tuple[str, ...]:
        """The arguments with `values` put in for their placeholders, each where it stands and only once."""
        return tuple(_put(self.resume if resume else self.argv, values, self.modes.get(mode, ())))


_ADAPTER = TypeAdapter(Template)


def load(raw: object) -> Template:
    """The template that was declared; raises InvalidArgument, whose `field` names what is wrong."""
    try:
        template = _ADAPTER.validate_python(raw)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"] if part not in {"str", "tuple[str, ...]"})
        raise InvalidArgument(f"{where or 'The template'}: {first['msg']}.", field=where or None) from None
    for name, argv in (("argv", template.argv), ("resume", template.resume)):
        _check_argv(name, argv, template)
    _check_output(template)
    return template


def _check_argv(name: str, argv: Argv, template: Template) -> None:
    if name == "argv" and not (argv and isinstance(argv[0], str) and argv[0]):
        raise InvalidArgument("argv: The first entry is the program.", field="argv")
    used = set[str]()
    for index, text in _texts(argv):
        names = set(_PLACEHOLDER.findall(text)) - ({"mode"} if text == MODE else set())
        if unknown := names - KNOWN:
            known = ", ".join(f"{{{known}}}" for known in sorted(KNOWN))
            said = f"{name}.{index}: There is no {{{min(unknown)}}}; there are {known}, and {{mode}} alone."
            raise InvalidArgument(said, field=f"{name}.{index}")
        used |= names
    _check_prompt(name, used, template) if argv else None
    if argv and any(template.modes.values()) and MODE not in argv:
        raise InvalidArgument(f"{name}: The arguments of `modes` need an entry {{mode}}.", field=name)


def _check_prompt(name: str, used: set[str], template: Template) -> None:
    wanted = {Passing.STDIN: set[str](), Passing.FILE: {"prompt_file"}, Passing.ARGUMENT: {"prompt"}}
    if used & {"prompt", "prompt_file"} != wanted[template.prompt]:
        needs = (
            "".join(f"{{{placeholder}}}" for placeholder in wanted[template.prompt]) or "no placeholder of it"
        )
        said = f"{name}: With `prompt: {template.prompt}` it has {needs}."
        raise InvalidArgument(said, field=name)


def _check_output(template: Template) -> None:
    read = {"select": template.select, "done": template.done, "joined": template.joined}
    lines_only = [name for name, value in read.items() if value]
    if lines_only and template.output is not Format.NDJSON:
        raise InvalidArgument(f"{lines_only[0]}: Only for `output: ndjson`.", field=lines_only[0])
    if template.output is Format.NDJSON and not template.answer:
        raise InvalidArgument("answer: Say where a line has the answer.", field="answer")
    documents_only = [name for name in ("answer", "error", "session") if getattr(template, name)]
    if documents_only and template.output is Format.TEXT:
        raise InvalidArgument(f"{documents_only[0]}: Text has no paths.", field=documents_only[0])


def _texts(argv: Argv) -> Iterator[tuple[int, str]]:
    for index, entry in enumerate(argv):
        for text in (entry,) if isinstance(entry, str) else entry:
            yield index, text


def _put(argv: Argv, values: Mapping[str, str], mode: tuple[str, ...]) -> Iterator[str]:
    for entry in argv:
        if entry == MODE:
            yield from mode
            continue
        group = (entry,) if isinstance(entry, str) else entry
        if all(name in values for text in group for name in _PLACEHOLDER.findall(text)):
            yield from (_PLACEHOLDER.sub(lambda found: values[found[1]], text) for text in group)
