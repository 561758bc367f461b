"""The operator's choices: one frozen value, read here and nowhere else.

Four places, each stronger than the one before: the defaults below, the user's file, the project's file,
the environment. The key `script.wall_s` of a file is `ENGINE_MCP_SCRIPT_WALL_S` in the environment.
"""

import os
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, tzinfo
from pathlib import Path
from types import MappingProxyType
from zoneinfo import ZoneInfo

from pydantic import ConfigDict, Field, JsonValue, TypeAdapter, ValidationError
from tzlocal import get_localzone

from engine_mcp.errors import InvalidArgument, PathOutsideRoots
from engine_mcp.sections import FOLDER, Choices, Section, Spending, Values

PREFIX = "ENGINE_MCP_"
CONFIG = "config.yaml"
ATTEMPT = f"{PREFIX}ATTEMPT"
"""In the environment of every process that an attempt starts: who finds it runs inside an attempt."""
OPERATOR_ONLY = frozenset(
    {"roots", "state", "script", "runtimes", "commands", "permissions", "caps", "spending", "resources"}
)
"""What a project may do is not for a file of that project to say."""
IN_FILES = frozenset({("commands",), ("models",), ("context", "windows"), ("context", "models")})
"""What has too many parts for a variable."""
LISTS: Mapping[tuple[str, ...], str] = MappingProxyType(
    {("roots",): os.pathsep, ("runtimes", "order"): ",", ("permissions", "ask"): ","}
)
"""What lists in the environment are separated by."""
LONGEST_ADDRESS = 103
"""Bytes in the path of a Unix socket; of the systems supported, macOS allows the least."""
_ADDRESS_NAME = 32

Key = tuple[str, ...]
_VALUES = TypeAdapter(Values)


class Settings(Choices):
    """The choices in force; every path is absolute and resolved.

    `project` is where work happens unless a request names another of the `roots`, of which it is the
    first; `state` holds the records, `runtime` the control sockets, `files` are those that were read.
    `user` is where the user's own configuration is, `home` the user's home, `ledger` the file of the
    user's ledger, `cache` the folder of what can be learned again, all None where there is no home.
    `zone` is that of the user's days. `environ` is the whole environment, from which children get what
    they need.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    project: Path
    runtime: Path
    files: tuple[Path, ...] = ()
    user: Path | None = None
    home: Path | None = None
    ledger: Path | None = None
    cache: Path | None = None
    zone: tzinfo = UTC
    environ: Mapping[str, str] = Field(default_factory=dict[str, str], repr=False, exclude=True)

    @property
    def attempt(self) -> str | None:
        """The attempt that this process runs inside of, if it does."""
        return self.environ.get(ATTEMPT)


def load(
    project: Path | None = None, *, roots: tuple[Path, ...] = (), environ: Mapping[str, str] | None = None
) -> Settings:
    """Read all settings for work in `project` (default: the current directory).

    `roots` are allowed besides those configured. Raises PathOutsideRoots where a directory does not
    exist, InvalidArgument where a value cannot be taken, naming its file or variable.
    """
    environ = os.environ if environ is None else environ
    place = _directory(project or Path.cwd())
    sources = [
        *(source for home in _home(environ) for source in _file(home / "engine-mcp" / CONFIG)),
        *_file(place / FOLDER / CONFIG, refused=OPERATOR_ONLY),
        _environment(environ),
    ]
    choices = _checked(sources)
    allowed = (place, *(_directory(_whole(root, place)) for root in (*choices.roots, *roots)))
    return Settings.model_validate(
        {
            **dict(choices),
            "roots": tuple(dict.fromkeys(allowed)),
            "state": _whole(choices.state, place).resolve(),
            "project": place,
            "runtime": _runtime(environ),
            "files": tuple(source.path for source in sources if source.path is not None),
            "user": next((home / "engine-mcp" for home in _home(environ)), None),
            "home": Path(environ["HOME"]) if environ.get("HOME", "").startswith("/") else None,
            "ledger": _ledger(choices.spending, environ),
            "cache": _cache(environ),
            "zone": _zone(choices.spending.time_zone),
            "environ": dict(environ),
        }
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Source:
    """Values from one place: a file, or the environment with the name of each variable."""

    values: Values
    path: Path | None = None
    names: Mapping[Key, str] = field(default_factory=dict[Key, str])

    def name(self, key: Key) -> str:
        if self.path is not None:
            return f"{self.path}: {'.'.join(key)}"
        # What contradicts each other has no variable of its own.
        below = (known for known in self.names if known[: len(key)] == key and self.sets(known))
        return ", ".join(self.names[known] for known in below)

    def sets(self, key: Key) -> bool:
        place: JsonValue = self.values
        for part in key:
            if not isinstance(place, dict) or part not in place:
                return False
            place = place[part]
        return True


def _home(environ: Mapping[str, str]) -> Iterator[Path]:
    """Where the user's configuration is, if there is a place for it."""
    configured, home = environ.get("XDG_CONFIG_HOME", ""), environ.get("HOME", "")
    if configured.startswith("/"):
        yield Path(configured)
    elif home.startswith("/"):
        yield Path(home) / ".config"


def _ledger(spending: Spending, environ: Mapping[str, str]) -> Path | None:
    """The file of the user's ledger, if there is a place for it."""
    if spending.ledger is not None:
        return _whole(spending.ledger, Path.cwd())
    state, home = environ.get("XDG_STATE_HOME", ""), environ.get("HOME", "")
    folder = Path(state) if state.startswith("/") else Path(home, ".local", "state")
    return folder / "engine-mcp" / "ledger.sqlite" if folder.is_absolute() else None


def _cache(environ: Mapping[str, str]) -> Path | None:
    """The folder of what can be learned again, if there is a place for it."""
    cache, home = environ.get("XDG_CACHE_HOME", ""), environ.get("HOME", "")
    folder = Path(cache) if cache.startswith("/") else Path(home, ".cache")
    return folder / "engine-mcp" if folder.is_absolute() else None


def _zone(name: str | None) -> tzinfo:
    try:
        return ZoneInfo(name) if name is not None else get_localzone()
    except (OSError, ValueError, KeyError) as error:
        text = f"spending.time_zone: there is no time zone {name!r} on this machine."
        raise InvalidArgument(text, field="spending.time_zone", hint="Use a name such as UTC.") from error


def _whole(path: Path, place: Path) -> Path:
    try:
        return place / path.expanduser()
    except RuntimeError as error:
        raise InvalidArgument(f"{path}: {error}", field="path") from error


def _runtime(environ: Mapping[str, str]) -> Path:
    places = (environ.get("XDG_RUNTIME_DIR", ""), tempfile.gettempdir(), "/tmp")  # noqa: S108 - made private
    names = ("engine-mcp", *[f"engine-mcp-{os.getuid()}"] * 2)
    candidates = [
        Path(place, name) for place, name in zip(places, names, strict=True) if place.startswith("/")
    ]
    short = (path for path in candidates if len(os.fsencode(path)) + _ADDRESS_NAME <= LONGEST_ADDRESS)
    return next(short)


def _directory(path: Path) -> Path:
    found = path.resolve()
    if not found.is_dir():
        raise PathOutsideRoots(f"{path} is not a directory.", field="path")
    return found


def _file(path: Path, refused: frozenset[str] = frozenset()) -> Iterator[_Source]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidArgument(f"{path} cannot be read: {error}", field=str(path)) from error
    source = _Source(values=_parsed(text, path), path=path)
    for key in sorted(refused & source.values.keys()):
        hint = "Set it in your own configuration file or in the environment."
        raise InvalidArgument(f"{source.name((key,))} cannot be set by a project.", field=key, hint=hint)
    yield source


def _parsed(text: str, path: Path) -> Values:
    import yaml  # noqa: PLC0415 - most servers start without a file, and every one starts sooner without this

    try:
        found: object = yaml.safe_load(text)
        return _VALUES.validate_python(found or {})
    except (yaml.YAMLError, ValidationError) as error:
        raise InvalidArgument(f"{path} does not hold settings by name: {error}", field=str(path)) from error


def variables() -> dict[str, Key]:
    """The environment variables there are, each with its key."""
    found: dict[str, Key] = {}
    for name, info in Choices.model_fields.items():
        kind = info.annotation
        inner = kind.model_fields if isinstance(kind, type) and issubclass(kind, Section) else {}
        for key in [(name, part) for part in inner] or [(name,)]:
            if key not in IN_FILES:
                found[PREFIX + "_".join(key).upper()] = key
    return found


def _environment(environ: Mapping[str, str]) -> _Source:
    known, values = variables(), dict[str, JsonValue]()
    given = {name: text for name, text in environ.items() if _is_setting(name) and text}
    for name, text in sorted(given.items()):
        if name not in known:
            hint = f"The variables are {', '.join(known)}."
            raise InvalidArgument(f"{name} is not a setting.", field=name, hint=hint)
        between = LISTS.get(known[name])
        _put(values, known[name], text if between is None else [*text.split(between)])
    return _Source(values=values, names={key: name for name, key in known.items()})


def _is_setting(name: str) -> bool:
    return name.startswith(PREFIX) and name != ATTEMPT


def _put(values: Values, key: Key, value: JsonValue) -> None:
    for part in key[:-1]:
        inner = values.setdefault(part, {})
        values = inner if isinstance(inner, dict) else {}
    values[key[-1]] = value


def _checked(sources: list[_Source]) -> Choices:
    merged: Values = {}
    for source in sources:
        for name, value in source.values.items():
            old = merged.get(name)
            merged[name] = {**old, **value} if isinstance(old, dict) and isinstance(value, dict) else value
    try:
        return Choices.model_validate(merged)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise _told(tuple(str(part) for part in first["loc"]), first["msg"], sources) from None


def _told(where: Key, message: str, sources: list[_Source]) -> InvalidArgument:
    keys = [where[:length] for length in range(len(where), 0, -1)]
    for key in keys:
        for source in reversed(sources):
            if source.sets(key):
                return InvalidArgument(f"{source.name(key)}: {message}.", field=".".join(key))
    return InvalidArgument(f"{'.'.join(where)}: {message}.", field=".".join(where))
