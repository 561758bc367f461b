"""Remedies: for every code of the catalogue the calls that help; one table for refusals and failed steps."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from pydantic import JsonValue

from engine_mcp.server.results import Action

EXECUTE, STATUS, BUDGET = "engine_execute", "engine_status", "engine_budget"
INTERRUPT, RESUME = "engine_interrupt", "engine_resume"


@dataclass(frozen=True, slots=True)
class Place:
    """Where something failed: the call that was refused, or a step of an execution; None: not known.

    `cancelled`: the execution was, so that no part of it can run again.
    """

    tool: str = EXECUTE
    execution_id: str | None = None
    step: str | None = None
    cancelled: bool = False


NOWHERE = Place()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Remedy:
    """A call that helps; `tool` "" is the call that was refused.

    `about`: of an execution, and left out where none is known; `anew` names the step that failed.
    """

    tool: str
    why: str
    about: bool = True
    anew: bool = False
    arguments: Mapping[str, JsonValue] = field(default_factory=dict[str, JsonValue])


def _look(why: str, **arguments: JsonValue) -> _Remedy:
    return _Remedy(tool=STATUS, why=why, about=False, arguments=arguments)


def _again(why: str) -> _Remedy:
    return _Remedy(tool="", why=why, about=False)


def _show(why: str) -> _Remedy:
    return _Remedy(tool=STATUS, why=why)


def _go_on(why: str, **arguments: JsonValue) -> _Remedy:
    return _Remedy(tool=RESUME, why=why, arguments=arguments)


_LIST = _look("List the executions with their ids.")
_USABLE = _look("See which runtimes and tools can be used, and what their remedies are.")
_BROKEN = _look("See under `breakers` what is broken, and when it is tried again.")
_CORRECT = _again("Correct the field that is named, and call again.")
_STEPS = _go_on("Go on, with corrected steps in `steps` in place of those that are not completed.")
_LIMITS = _go_on("Go on, with steps in `steps` that have higher `limits` or less to do.")
_RETRY = _go_on("Try again where it stopped.")
_ANEW = _Remedy(tool=RESUME, why="Run the step anew, with all that depend on it.", anew=True)
_MODEL = _go_on("Go on with another model: name it in `model`.")
_ELSEWHERE = _go_on("Go on with another runtime: name it in `runtime`.")
_SHOW = _show("See how it stands.")
_NEW = _Remedy(tool=EXECUTE, why="Start another execution.", about=False)

_OVER = (_show("Read what it did."), _NEW)

_REMEDIES: Mapping[str, tuple[_Remedy, ...]] = MappingProxyType(
    {
        "invalid_argument": (_CORRECT,),
        "invalid_plan": (_again("Correct the steps that the message names, and call again."),),
        "path_outside_roots": (_again("Call again with a `path` inside an allowed root."),),
        "runtime_unavailable": (_USABLE, _again("Call again with a runtime that can be used.")),
        "runtime_missing": (_USABLE, _RETRY, _ELSEWHERE),
        "unpriced": (_MODEL, _go_on("Go on at limits with a warning.", budget={"on_exceed": "warn"})),
        "unknown_tool": (_USABLE, _CORRECT),
        "unknown_model": (_CORRECT,),
        "unknown_role": (_CORRECT,),
        "unknown_skill": (_CORRECT,),
        "template": (_again("Correct the file that is named, and call again."),),
        "idempotency_conflict": (_again("Call again with a new `idempotency_key`."), _LIST),
        "busy": (
            _again("Call again after `retry_after_s`."),
            _look("See what runs; interrupt what is not needed.", status="running"),
        ),
        "execution_not_found": (_LIST,),
        "execution_finished": (
            _show("Read its result."),
            _go_on("Run a part of it again: name the first step in `from_step`."),
        ),
        "execution_running": (
            _Remedy(tool=STATUS, why="Wait for its end.", arguments={"wait_s": 60}),
            _Remedy(tool=INTERRUPT, why="Stop it first; everything is kept."),
        ),
        "execution_owned": (
            _Remedy(tool=INTERRUPT, why="Stop it where it runs; everything is kept."),
            _SHOW,
        ),
        "illegal_transition": (_SHOW,),
        "record_corrupt": (_show("See the last good state."), _NEW),
        "record_newer": (_LIST, _NEW),
        "storage": (_go_on("Free space or mend the directory, then go on."), _SHOW),
        "js_error": (_STEPS,),
        "memory_limit": (_LIMITS,),
        "cpu_limit": (_LIMITS,),
        "stack": (_LIMITS,),
        "timeout": (_go_on("Go on, with steps in `steps` that have a longer `timeout_s` or less to do."),),
        "crash": (_RETRY, _LIMITS),
        "denied": (_go_on("Go on, with steps in `steps` that have wider `permissions`."),),
        "sandbox_unavailable": (_RETRY, _USABLE),
        "resource_exceeded": (_RETRY, _LIMITS),
        "tool_error": (_STEPS,),
        "tool_transient": (_RETRY,),
        "permission": (_go_on("Grant the access that the message names, then go on."),),
        "output_invalid": (_RETRY, _STEPS),
        "output_too_large": (_LIMITS,),
        "replay_mismatch": (_ANEW,),
        "runtime_failed": (_RETRY, _ELSEWHERE),
        "runtime_stalled": (_RETRY, _ELSEWHERE),
        "no_progress": (_STEPS,),
        "host_network": (_go_on("Mend the network, then go on."),),
        "unreachable": (_BROKEN, _RETRY, _ELSEWHERE),
        "provider_error": (_BROKEN, _RETRY, _ELSEWHERE),
        "overloaded": (_RETRY, _MODEL),
        "rate_limited": (_BROKEN, _RETRY, _ELSEWHERE),
        "quota_exhausted": (_go_on("Go on once the quota has begun anew."), _ELSEWHERE),
        "credit_exhausted": (_go_on("Add credit at the provider, then go on."), _ELSEWHERE),
        "unauthorized": (_go_on("Log the runtime in or set its key, then go on."), _ELSEWHERE),
        "model_unavailable": (_MODEL,),
        "context_overflow": (_STEPS, _MODEL),
        "window_too_small": (_MODEL, _STEPS),
        "nothing_to_summarize": (_show("See under `context` of a step how long its conversation is."),),
        "request_rejected": (_STEPS,),
        "refused": (_STEPS, _MODEL),
        "truncated": (_STEPS,),
        "turn_limit": (_go_on("Go on in the same session."), _STEPS),
        "spending_limit": (
            _go_on("Go on in the same session, with higher limits in `budget` or `step_budgets`."),
        ),
        "budget_exceeded": (
            _Remedy(tool=BUDGET, why="See which limit is reached, and raise it in `budget`."),
            _go_on("Then go on."),
        ),
        "outcome_unknown": (_ANEW, _STEPS),
        "attempt_lost": (_RETRY,),
        "dependency_failed": (_go_on("Mend the step that failed, then go on."), _STEPS),
        "approval_denied": (_STEPS, _ANEW),
        "approval_timeout": (_ANEW, _STEPS),
        "internal": (_SHOW, _RETRY),
    }
)


def remedies(code: str, place: Place = NOWHERE) -> list[Action]:
    """The calls that help where an error with this code happened; at least one."""
    found = list(_filled(code, place))
    return found or list(_filled("execution_not_found", place))


def _filled(code: str, place: Place) -> Iterator[Action]:
    for listed in _OVER if place.cancelled else _REMEDIES.get(code, _REMEDIES["internal"]):
        # A step is not called again, but replaced.
        remedy = _STEPS if not listed.tool and place.step is not None else listed
        if remedy.about and place.execution_id is None:
            continue
        arguments = dict(remedy.arguments)
        if remedy.about:
            arguments["execution_id"] = place.execution_id
        if remedy.anew and place.step is not None:
            arguments["from_step"] = place.step
        yield Action(why=remedy.why, tool=remedy.tool or place.tool, arguments=arguments)
