"""The catalog of models: the file `models.yaml`, and what the settings put in place of its lines."""

import re
from collections.abc import Mapping
from difflib import get_close_matches
from functools import cache
from pathlib import Path

from pydantic import JsonValue

from engine_mcp.core.choice import Tier
from engine_mcp.core.models import Models
from engine_mcp.errors import InvalidArgument

FILE = Path(__file__).parent / "models.yaml"
RUNTIMES = ("claude-code", "opencode", "api", "command")
PARTS = ("tiers", "names", "patterns")
TIERS = tuple(str(tier) for tier in Tier)
SETTING = "models"
_ID = re.compile(r"(?!-)\S{1,200}")

Ids = dict[str, dict[str, str]]


def models(overrides: Mapping[str, JsonValue]) -> Models:
    """The models there are; `overrides` has the shape of the file, each id in place of the file's own.

    Patterns are added to the file's. Raises InvalidArgument that names the key which cannot be taken.
    """
    stock = _stock()
    own = _checked(overrides, SETTING)
    return Models(
        tiers={
            tier: {**stock.tiers.get(tier, {}), **own.tiers.get(tier, {})}
            for tier in Tier
            if tier in stock.tiers or tier in own.tiers
        },
        names={
            name: {**stock.names.get(name, {}), **own.names.get(name, {})}
            for name in dict.fromkeys((*stock.names, *own.names))
        },
        patterns={
            runtime: (*stock.patterns.get(runtime, ()), *own.patterns.get(runtime, ()))
            for runtime in RUNTIMES
        },
    )


@cache
def _stock() -> Models:
    import yaml  # noqa: PLC0415 - see engine_mcp.prompts.front_matter

    found: dict[str, JsonValue] = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    return _checked(found, FILE.name)


def _checked(given: Mapping[str, JsonValue], key: str) -> Models:
    _known(given, PARTS, key)
    tiers = _mapping(given.get("tiers"), f"{key}.tiers")
    names = _mapping(given.get("names"), f"{key}.names")
    patterns = _mapping(given.get("patterns"), f"{key}.patterns")
    _known(tiers, TIERS, f"{key}.tiers")
    _known(patterns, RUNTIMES, f"{key}.patterns")
    return Models(
        tiers={Tier(tier): ids for tier, ids in _ids(tiers, f"{key}.tiers").items()},
        names={name.casefold(): ids for name, ids in _ids(names, f"{key}.names").items()},
        patterns={name: _patterns(value, f"{key}.patterns.{name}") for name, value in patterns.items()},
    )


def _ids(given: Mapping[str, JsonValue], key: str) -> Ids:
    found: Ids = {}
    for name, value in given.items():
        ids = _mapping(value, f"{key}.{name}")
        _known(ids, RUNTIMES, f"{key}.{name}")
        found[name] = {runtime: _id(text, f"{key}.{name}.{runtime}") for runtime, text in ids.items()}
    return found


def _id(value: JsonValue, key: str) -> str:
    if not isinstance(value, str) or not _ID.fullmatch(value):
        rule = "a text without spaces, at most 200 characters, that does not begin with a dash"
        raise InvalidArgument(f"{key}: the id of a model is {rule}.", field=key)
    return value


def _patterns(value: JsonValue, key: str) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise InvalidArgument(f"{key}: this is a list of regular expressions.", field=key)
    found: list[str] = []
    for index, pattern in enumerate(value):
        where = f"{key}[{index}]"
        if not isinstance(pattern, str):
            raise InvalidArgument(f"{where}: a regular expression is a text.", field=where)
        try:
            re.compile(pattern)
        except (re.error, RecursionError, OverflowError) as error:
            raise InvalidArgument(f"{where}: this is no regular expression: {error}.", field=where) from None
        found.append(pattern)
    return tuple(found)


def _mapping(value: JsonValue, key: str) -> Mapping[str, JsonValue]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise InvalidArgument(f"{key}: this holds values by name.", field=key)
    return value


def _known(given: Mapping[str, JsonValue], known: tuple[str, ...], key: str) -> None:
    for name in given:
        if name not in known:
            near = get_close_matches(str(name), known, n=1)
            hint = f"Did you mean {near[0]!r}?" if near else f"There are {', '.join(known)}."
            raise InvalidArgument(f"{key}.{name} is not known.", field=f"{key}.{name}", hint=hint)
