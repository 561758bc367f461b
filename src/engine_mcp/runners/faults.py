"""The one classifier of faults as the runners use it: with the patterns of `faults.toml`."""

import errno
import math
import re
import tomllib
from collections.abc import Mapping, Sequence
from email.utils import parsedate_to_datetime
from functools import cache
from importlib.resources import files

from engine_mcp.catalogue import CATALOGUE
from engine_mcp.core.execution import Failure
from engine_mcp.core.fault import Pattern, Patterns, Signs
from engine_mcp.core.fault import fault as classified

_MISSING = frozenset({errno.ENOENT, errno.ENOTDIR, errno.EACCES, errno.EPERM, errno.ENOEXEC, errno.ELIBBAD})


@cache
def declared() -> Mapping[str, Sequence[Mapping[str, str]]]:
    """The tables of the file: by code, each with `pattern` and `example`; blocks for one small file."""
    return tomllib.loads(files("engine_mcp.runners").joinpath("faults.toml").read_text(encoding="utf-8"))


@cache
def patterns() -> Patterns:
    """The patterns in their order."""
    return tuple(
        Pattern(code, re.compile(row["pattern"], re.IGNORECASE))
        for code, rows in declared().items()
        for row in rows
    )


def fault(signs: Signs, otherwise: str = "runtime_failed") -> Failure:
    """The failure that the signs stand for; see `core.fault`."""
    return classified(signs, patterns(), otherwise)


def not_started(program: str, error: OSError | ValueError) -> Failure:
    """Why a program could not be started."""
    code = "runtime_failed"
    if isinstance(error, ValueError) or error.errno == errno.E2BIG:
        code = "request_rejected"
    elif error.errno in _MISSING:
        code = "runtime_missing"
    return Failure(code, f"{program} cannot be started: {error}.", CATALOGUE[code].remedy)


def retry_after(told: str | None, now: float) -> float | None:
    """The seconds from `now` (Unix seconds) that a `retry-after` header asks for; None if it says none."""
    if not told:
        return None
    try:
        seconds = float(told) if _is_number(told) else parsedate_to_datetime(told).timestamp() - now
    except ValueError:
        return None
    return max(0.0, seconds) if math.isfinite(seconds) else None


def _is_number(told: str) -> bool:
    return re.fullmatch(r"\s*\d+(\.\d+)?\s*", told) is not None
