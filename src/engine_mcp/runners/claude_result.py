"""Claude Code's result line: the output, what was used since the one before, and why it failed."""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from pydantic import JsonValue

from engine_mcp.catalogue import CATALOGUE
from engine_mcp.core.budget import MICROS, Usage
from engine_mcp.core.execution import Failure
from engine_mcp.core.fault import LONGEST, Signs
from engine_mcp.runners.claude_errors import Heard, code_of
from engine_mcp.runners.faults import fault

Json = dict[str, Any]
_MISUSED = re.compile(r"^error: ", re.MULTILINE)
"""How its parser of arguments begins: this version does not know them."""
_NOT_ITS_SESSION = re.compile(r"No conversation found with session ID|Session ID \S+ is already in use")
_MUTE = "Claude Code closed its output without a result and does not end"
_UNCERTAIN = "unknown"
_NO_MODELS: Mapping[str, Usage] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """A result line. `usage` is that since the line before, `by_model` its tokens for each model.

    `windows` are those of the models, in tokens; `denied` lists the calls that were not permitted, in words.
    """

    output: JsonValue = None
    usage: Usage
    by_model: Mapping[str, Usage] = field(default_factory=lambda: _NO_MODELS)
    windows: Mapping[str, int] = field(default_factory=dict[str, int])
    failure: Failure | None = None
    denied: str = ""
    lost: bool = False
    """Whether it ended because the session that it was to go on with is not there."""

    @classmethod
    def of(cls, said: Json, *, fresh: bool, heard: Heard) -> Self:
        """The line as a value, `fresh` for a session begun in this run; `heard` is what came before it.

        Raises KeyError, TypeError or ValueError where it is no result line.
        """
        structured = said.get("structured_output")
        denials = Counter(str(denial["tool_name"]) for denial in said.get("permission_denials") or ())
        models: dict[str, Json] | None = said.get("model_usage_since_last_result")
        return cls(
            output=said.get("result") if structured is None else structured,
            usage=_used_in_all(said, fresh=fresh) if models is None else _billed(list(models.values())),
            by_model=_NO_MODELS if models is None else {name: _of_model(models[name]) for name in models},
            windows={name: int(used.get("contextWindow") or 0) for name, used in (models or {}).items()},
            failure=_failure(said, heard),
            denied=", ".join(
                f"{name} ({count} times)" if count > 1 else name for name, count in denials.items()
            ),
            lost=_NOT_ITS_SESSION.search(_words(said)) is not None,
        )


def _billed(models: list[Json]) -> Usage:
    """What was used since the result line before; `usage` of the line misses what was cut short."""
    cost = sum(float(model["costUSD"]) for model in models)
    uncertain = any(model.get("costBasis") == _UNCERTAIN for model in models)
    basis = ("estimated" if uncertain else "reported") if models else "none"
    return sum(map(_of_model, models), Usage(cost_micros=round(cost * MICROS), cost_basis=basis))


def _of_model(used: Json) -> Usage:
    """The tokens of one model."""
    return Usage(
        tokens_in=int(used.get("inputTokens") or 0),
        tokens_out=int(used.get("outputTokens") or 0),
        cache_read=int(used.get("cacheReadInputTokens") or 0),
        cache_write=int(used.get("cacheCreationInputTokens") or 0),
        cache_write_1h=int(used.get("cacheCreationEphemeral1hInputTokens") or 0),
    )


def _used_in_all(said: Json, *, fresh: bool) -> Usage:
    """The use of a line that does not tell what is new: its money is that of the whole session."""
    tokens = tokens_of(said.get("usage") or {})
    if tokens == Usage():
        return tokens
    cost = round(float(said.get("total_cost_usd") or 0) * MICROS) if fresh else 0
    return tokens + Usage(cost_micros=cost, cost_basis="reported" if fresh else "unpriced")


def tokens_of(usage: Json) -> Usage:
    """The tokens in the API's own words."""
    written: Json = usage.get("cache_creation") or {}
    return Usage(
        tokens_in=int(usage.get("input_tokens") or 0),
        tokens_out=int(usage.get("output_tokens") or 0),
        cache_read=int(usage.get("cache_read_input_tokens") or 0),
        cache_write=int(usage.get("cache_creation_input_tokens") or 0),
        cache_write_1h=int(written.get("ephemeral_1h_input_tokens") or 0),
    )


def _words(said: Json) -> str:
    told = [str(said["result"])] if said.get("result") else [str(error) for error in said.get("errors") or ()]
    return "\n".join(told)


def _failure(said: Json, heard: Heard) -> Failure | None:
    words = _words(said)
    known = code_of(said)
    if known is None and said["subtype"] == "success" and not said["is_error"]:
        return None
    if known is not None:
        message = words[:LONGEST] if said["is_error"] and words else CATALOGUE[known].cause
        return heard.dated(Failure(known, message, CATALOGUE[known].remedy))
    return heard.dated(
        fault(
            Signs(
                text=words,
                status=said.get("api_error_status"),
                kind=said.get("api_error_type") or heard.kind,
                error_code=said.get("api_error") or "",
            )
        )
    )


def without_result(code: int | None, errors: str, *, began: bool) -> Failure:
    """Why a run gave no result line: by its exit code, None while it runs, and the end of its stderr."""
    told = errors.strip()
    if not began and _MISUSED.search(told):
        remedy = "Use a version of Claude Code in the tested range; `engine-mcp doctor` names it."
        return Failure("runtime_missing", f"Claude Code does not take its arguments: {told}", remedy)
    how = f"Claude Code ended without a result (exit code {code})" if code is not None else _MUTE
    text = f"{how}: {told[-LONGEST // 2 :]}" if told else f"{how}."
    return fault(Signs(text=text, exit_code=None if began else code))


def refused_session(errors: str) -> bool:
    """Whether stderr says that the session to begin is there already, or the one to go on with is not."""
    return _NOT_ITS_SESSION.search(errors) is not None
