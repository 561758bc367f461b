"""The treatment of faults: what each code says is broken, and what is done about it; one table."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from engine_mcp.core.route import Domain


class FallBack(StrEnum):
    """When an attempt goes another way: never, at once, after the tries here, or if the wait is long."""

    NEVER = "never"
    AT_ONCE = "at_once"
    AFTER_RETRIES = "after_retries"
    IF_LONG = "if_long"


class Trip(StrEnum):
    """What a failure does to the breaker of the part that broke.

    count: opens it with several others in a row; cooldown: opens it for as long as was asked for, and
    is not counted; at_once: opens it as soon as the tries of the treatment are used up.
    """

    NOTHING = "nothing"
    COUNT = "count"
    COOLDOWN = "cooldown"
    AT_ONCE = "at_once"


@dataclass(frozen=True, slots=True, kw_only=True)
class Treatment:
    """What is done about a fault.

    `tries`: how many more than the first are made on the same route before another is looked for; None:
    as many as the step may have. Where there is no other route, `core.retry.tries_allowed` decides.
    `pause` is what a step without another route waits for: "quota" or "billing".
    """

    domain: Domain
    tries: int | None = 0
    fall_back: FallBack = FallBack.NEVER
    trip: Trip = Trip.NOTHING
    pause: str | None = None


def _keeps(domain: Domain, tries: int | None = 0) -> Treatment:
    """The treatment of a fault that another route would not mend."""
    return Treatment(domain=domain, tries=tries)


_REQUEST, _POLICY = _keeps(Domain.REQUEST), _keeps(Domain.POLICY)
_TASK, _PASSING, _ONCE_MORE = _keeps(Domain.TASK), _keeps(Domain.TASK, None), _keeps(Domain.TASK, 1)
_CONTINUED = _keeps(Domain.REQUEST, 2)
"""What goes on in the same session, as long as the budget allows."""
_HOST = _keeps(Domain.HOST, 1)
_BROKEN = Treatment(domain=Domain.HARNESS, tries=1, fall_back=FallBack.AFTER_RETRIES, trip=Trip.COUNT)
_DOWN = Treatment(domain=Domain.ENDPOINT, tries=None, fall_back=FallBack.AFTER_RETRIES, trip=Trip.COUNT)

TREATMENTS: Mapping[str, Treatment] = MappingProxyType(
    {
        # The runtime.
        "runtime_missing": Treatment(domain=Domain.HARNESS, fall_back=FallBack.AT_ONCE, trip=Trip.AT_ONCE),
        "runtime_failed": _BROKEN,
        "runtime_stalled": _BROKEN,
        # The provider.
        "unreachable": _DOWN,
        "provider_error": _DOWN,
        "overloaded": Treatment(
            domain=Domain.MODEL, tries=None, fall_back=FallBack.AFTER_RETRIES, trip=Trip.COUNT
        ),
        "model_unavailable": Treatment(domain=Domain.MODEL, fall_back=FallBack.AT_ONCE, trip=Trip.AT_ONCE),
        # The account.
        "rate_limited": Treatment(
            domain=Domain.POOL, tries=None, fall_back=FallBack.IF_LONG, trip=Trip.COOLDOWN
        ),
        "quota_exhausted": Treatment(
            domain=Domain.POOL, fall_back=FallBack.AT_ONCE, trip=Trip.AT_ONCE, pause="quota"
        ),
        "credit_exhausted": Treatment(
            domain=Domain.POOL, fall_back=FallBack.AT_ONCE, trip=Trip.AT_ONCE, pause="billing"
        ),
        "unauthorized": Treatment(
            domain=Domain.POOL, tries=1, fall_back=FallBack.AFTER_RETRIES, trip=Trip.AT_ONCE
        ),
        # The machine. Only its network is known to fail every route.
        "host_network": Treatment(domain=Domain.HOST, tries=2, trip=Trip.COUNT),
        "storage": _HOST,
        "sandbox_unavailable": _HOST,
        # The request: no other route would take it.
        "context_overflow": _keeps(Domain.REQUEST, 1),  # anew, and told what was done
        "window_too_small": _REQUEST,
        "request_rejected": _REQUEST,
        "truncated": _CONTINUED,
        "turn_limit": _CONTINUED,
        "output_invalid": _REQUEST,
        "output_too_large": _REQUEST,
        "invalid_argument": _REQUEST,
        "path_outside_roots": _REQUEST,
        "runtime_unavailable": _REQUEST,
        "unknown_tool": _REQUEST,
        "unknown_model": _REQUEST,
        "unknown_role": _REQUEST,
        "unknown_skill": _REQUEST,
        "template": _REQUEST,
        # What somebody decided: going another way would be going round it.
        "refused": _POLICY,
        "denied": _POLICY,
        "approval_denied": _POLICY,
        "approval_timeout": _POLICY,
        "spending_limit": _POLICY,
        "budget_exceeded": _POLICY,
        "unpriced": _POLICY,
        # The work itself.
        "js_error": _TASK,
        "memory_limit": _TASK,
        "cpu_limit": _TASK,
        "stack": _TASK,
        "timeout": _TASK,
        "tool_error": _TASK,
        "replay_mismatch": _TASK,
        "outcome_unknown": _TASK,
        "no_progress": _TASK,
        "internal": _TASK,
        "crash": _PASSING,
        "tool_transient": _PASSING,
        "attempt_lost": _PASSING,
        "permission": _ONCE_MORE,
        "resource_exceeded": _ONCE_MORE,
    }
)

NEVER_ENDS = frozenset(
    {"invalid_plan", "idempotency_conflict", "busy", "execution_not_found", "execution_finished"}
    | {"execution_running", "execution_owned", "illegal_transition", "record_corrupt", "record_newer"}
    | {"dependency_failed", "nothing_to_summarize"}
)
"""The codes that no attempt ends with: they refuse a request, or tell of a record or of another step."""


def treatment(code: str) -> Treatment:
    """What is done about a code; one that the table does not have is the step's own failure, and final."""
    return TREATMENTS.get(code, _TASK)
