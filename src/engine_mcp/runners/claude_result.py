"""Claude Code's result line: the output, what was used since the one before, and why it failed."""

import re
from collections import Counter
from dataclasses import dataclass
from typing import Any, Self

from pydantic import JsonValue

from engine_mcp.catalogue import CATALOGUE
from engine_mcp.core.budget import MICROS, Usage
from engine_mcp.core.execution import Failure
from engine_mcp.core.fault import LONGEST, fault

Json = dict[str, Any]
_BY_SUBTYPE = {
    "error_max_budget_usd": "spending_limit",
    "error_max_turns": "turn_limit",
    "error_max_structured_output_retries": "output_invalid",
}
_BY_STOP = {
    "refusal": "refused",
    "max_tokens": "truncated",
    "model_context_window_exceeded": "context_overflow",
}
_BY_REASON = {"prompt_too_long": "context_overflow"}
_BY_WORDS = (
    (re.compile(r"output token maximum"), "truncated"),
    (re.compile(r"context window limit"), "context_overflow"),
)
_MISUSED = re.compile(r"^error: ", re.MULTILINE)
"""How its parser of arguments begins: this version does not know them."""
_NOT_ITS_SESSION = re.compile(r"No conversation found with session ID|Session ID \S+ is already in use")
_MUTE = "Claude Code closed its output without a result and does not end"
_UNCERTAIN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """A result line. `denied` lists the calls that were not permitted, in words."""

    output: JsonValue = None
    usage: Usage
    failure: Failure | None = None
    denied: str = ""
    lost: bool = False
    """Whether it ended because the session that it was to go on with is not there."""

    @classmethod
    def of(cls, said: Json, *, fresh: bool) -> Self:
        """The line as a value, `fresh` for a session begun in this run.

        Raises KeyError, TypeError or ValueError where it is no result line.
        """
        structured = said.get("structured_output")
        denials = Counter(str(denial["tool_name"]) for denial in said.get("permission_denials") or ())
        return cls(
            output=said.get("result") if structured is None else structured,
            usage=_used(said, fresh=fresh),
            failure=_failure(said),
            denied=", ".join(
                f"{name} ({count} times)" if count > 1 else name for name, count in denials.items()
            ),
            lost=_NOT_ITS_SESSION.search(_words(said)) is not None,
        )


def _used(said: Json, *, fresh: bool) -> Usage:
    """What was used since the result line before; `usage` of the line misses what was cut short."""
    since = said.get("model_usage_since_last_result")
    if since is None:
        return _used_in_all(said, fresh=fresh)
    models: list[Json] = list(since.values())
    cost = sum(float(model["costUSD"]) for model in models)
    uncertain = any(model.get("costBasis") == _UNCERTAIN for model in models)
    return Usage(
        tokens_in=_sum(models, "inputTokens"),
        tokens_out=_sum(models, "outputTokens"),
        cache_read=_sum(models, "cacheReadInputTokens"),
        cache_write=_sum(models, "cacheCreationInputTokens"),
        cost_micros=round(cost * MICROS),
        cost_basis=("estimated" if uncertain else "reported") if models else "none",
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
    return Usage(
        tokens_in=int(usage.get("input_tokens") or 0),
        tokens_out=int(usage.get("output_tokens") or 0),
        cache_read=int(usage.get("cache_read_input_tokens") or 0),
        cache_write=int(usage.get("cache_creation_input_tokens") or 0),
    )


def _sum(models: list[Json], name: str) -> int:
    return sum(int(model.get(name) or 0) for model in models)


def _words(said: Json) -> str:
    told = [str(said["result"])] if said.get("result") else [str(error) for error in said.get("errors") or ()]
    return "\n".join(told)


def _failure(said: Json) -> Failure | None:
    words = _words(said)
    known = (
        _BY_SUBTYPE.get(said["subtype"])
        or _BY_STOP.get(said.get("stop_reason") or "")
        or _BY_REASON.get(said.get("terminal_reason") or "")
    )
    if known is None and said["subtype"] == "success" and not said["is_error"]:
        return None
    known = known or next((code for pattern, code in _BY_WORDS if pattern.search(words)), None)
    if known is None:
        return fault(words, status=said.get("api_error_status"), kind=said.get("api_error_type") or "")
    message = words[:LONGEST] if said["is_error"] and words else CATALOGUE[known].cause
    return Failure(known, message, CATALOGUE[known].remedy)


def without_result(code: int | None, errors: str, *, began: bool) -> Failure:
    """Why a run gave no result line: by its exit code, None while it runs, and the end of its stderr."""
    told = errors.strip()
    if not began and _MISUSED.search(told):
        remedy = "Use a version of Claude Code in the tested range; `engine-mcp doctor` names it."
        return Failure("runtime_unavailable", f"Claude Code does not take its arguments: {told}", remedy)
    how = f"Claude Code ended without a result (exit code {code})" if code is not None else _MUTE
    return fault(f"{how}: {told[-LONGEST // 2 :]}" if told else f"{how}.")


def refused_session(errors: str) -> bool:
    """Whether stderr says that the session to begin is there already, or the one to go on with is not."""
    return _NOT_ITS_SESSION.search(errors) is not None
