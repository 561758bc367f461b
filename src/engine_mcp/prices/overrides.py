"""The user's own prices: a YAML file that comes before every other price list."""

import re
from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from hashlib import sha256
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from engine_mcp.core.budget import Usage
from engine_mcp.core.window import LEAST_TOKENS, MOST_TOKENS
from engine_mcp.errors import InvalidArgument

_Usd = Annotated[Decimal, Field(ge=0, le=1_000_000, decimal_places=12)]
_Tokens = Annotated[int, Field(ge=LEAST_TOKENS, le=MOST_TOKENS)]


class Rate(BaseModel):
    """What a model costs, in USD per million tokens; 0 for everything declares it free.

    A cache price that is left out is never free: reads and writes then cost what input costs, and
    writes for an hour what other writes cost. `context_window` is the model's window in tokens.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    input: _Usd
    output: _Usd
    cache_read: _Usd | None = None
    cache_write: _Usd | None = None
    cache_write_1h: _Usd | None = None
    context_window: _Tokens | None = None

    def micros(self, usage: Usage) -> Decimal:
        """What a use costs in micro-dollars, not rounded: dollars per million are micro-dollars for one."""
        read = self.input if self.cache_read is None else self.cache_read
        write = self.input if self.cache_write is None else self.cache_write
        hour = write if self.cache_write_1h is None else self.cache_write_1h
        return (
            self.input * usage.tokens_in
            + self.output * usage.tokens_out
            + read * usage.cache_read
            + write * max(0, usage.cache_write - usage.cache_write_1h)
            + hour * usage.cache_write_1h
        )


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")

    models: dict[str, Rate] = Field(default_factory=dict[str, Rate])


class _Text(yaml.BaseLoader):
    """YAML that leaves numbers as they are written, and takes no key twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, object]:  # noqa: FBT001, FBT002 - the signature is that of the library
        seen: set[str] = set()
        for key, _ in node.value:
            name = str(key.value)
            if name in seen:
                raise yaml.MarkedYAMLError(
                    problem=f"{name!r} stands there twice", problem_mark=key.start_mark
                )
            seen.add(name)
        return super().construct_mapping(node, deep=deep)


@dataclass(frozen=True, slots=True)
class Overrides:
    """The rates of one file, by name or glob in lower case, and `price`: the file with its digest."""

    rates: dict[str, Rate] = field(default_factory=dict[str, Rate])
    price: str = ""

    def rate(self, names: Iterable[str]) -> Rate | None:
        """The rate of a model that has these names: by a name first, else by the first glob that fits."""
        names = tuple(names)
        for name in names:
            if name in self.rates:
                return self.rates[name]
        return next(
            (rate for glob, rate in self.rates.items() if any(_fits(glob, name) for name in names)), None
        )


def read(path: Path | None) -> Overrides:
    """Read a price file; there are no rates where there is no file.

    Raises InvalidArgument that names the file and the field: unknown keys, prices below 0.
    """
    try:
        content = b"" if path is None else path.read_bytes()
    except FileNotFoundError:
        return Overrides()
    except OSError as error:
        raise InvalidArgument(f"{path} cannot be read: {error}", field=str(path)) from error
    if path is None:
        return Overrides()
    rates = {name.casefold(): rate for name, rate in _parsed(content, path).models.items()}
    return Overrides(rates, f"user {path.name} {sha256(content).hexdigest()[:8]}")


def _parsed(content: bytes, path: Path) -> _File:
    try:
        found: object = yaml.load(content.decode(), _Text)  # noqa: S506 - this loader makes only text, lists and mappings
        return _File.model_validate({} if found is None else found)
    except (UnicodeDecodeError, yaml.YAMLError, RecursionError) as error:
        raise InvalidArgument(f"{path} is not YAML: {error}", field=str(path)) from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise InvalidArgument(
            f"{path}, {where or 'models'}: {first['msg']}.", field=where or "models"
        ) from None


def _fits(glob: str, name: str) -> bool:
    """Whether a name is of a glob, in which only * and ? stand for others: names may hold brackets."""
    pattern = re.escape(glob).replace(r"\*", ".*").replace(r"\?", ".")
    return re.fullmatch(pattern, name) is not None
