"""The catalogue of errors: every code there is, with its cause, its remedy and whether a retry can help."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType


class RetryClass(StrEnum):
    """What another attempt could change; `core.retry` turns it into a number of attempts."""

    TRANSIENT = "transient"
    CONFIGURATION = "configuration"
    PERMISSION = "permission"
    RESOURCE = "resource"
    LOGIC = "logic"


@dataclass(frozen=True, slots=True)
class Entry:
    """A row of the catalogue: what happened, what to do about it, and whether a retry can help."""

    cause: str
    remedy: str
    retry: RetryClass = RetryClass.LOGIC


_TRANSIENT, _CONFIG = RetryClass.TRANSIENT, RetryClass.CONFIGURATION
_PERMISSION, _RESOURCE, _LOGIC = RetryClass.PERMISSION, RetryClass.RESOURCE, RetryClass.LOGIC

CATALOGUE: Mapping[str, Entry] = MappingProxyType(
    {
        # A request that cannot be taken.
        "invalid_argument": Entry(
            "An argument is missing, unknown, of the wrong type or out of bounds.",
            "Correct the named field and call again.",
        ),
        "invalid_plan": Entry(
            "The steps contradict each other: a cycle, an unknown or repeated id, or no work at all.",
            "Correct the steps that the message names; nothing was started.",
        ),
        "path_outside_roots": Entry(
            "A path lies outside the allowed project roots, or does not exist.",
            "Name a directory inside an allowed root, or start the server with that root.",
            _CONFIG,
        ),
        "runtime_unavailable": Entry(
            "The plan needs a runtime that this engine cannot use.",
            "See `engine_status` without arguments, or `engine-mcp doctor`; code and tool steps need none.",
            _CONFIG,
        ),
        "runtime_missing": Entry(
            "The runtime's program is not there, cannot be started, or has a version that cannot be used.",
            "Install it or mend its path; `engine-mcp doctor` looks again.",
            _CONFIG,
        ),
        "unpriced": Entry(
            "The step's model has no price, and a limit in dollars stands that pauses.",
            "Give the model a price in the price file, take the limit away, or resume with another `model`.",
            _CONFIG,
        ),
        "unknown_tool": Entry(
            "No tool has this name.",
            "Use one of the names that the message lists.",
            _CONFIG,
        ),
        "unknown_model": Entry(
            "No model of the runtime has this name.",
            "Use the name that the message proposes, or declare the model in the settings.",
            _CONFIG,
        ),
        "unknown_role": Entry(
            "No role has this name.",
            "Use the name that the message proposes, or write the role into `.engine-mcp/roles/`.",
            _CONFIG,
        ),
        "unknown_skill": Entry(
            "No skill has this name.",
            "Use the name that the message proposes, or add a `SKILL.md` where the runtimes look for it.",
            _CONFIG,
        ),
        "template": Entry(
            "A prompt template, a role or a skill cannot be read or rendered.",
            "Correct the file that the message names.",
            _CONFIG,
        ),
        "idempotency_conflict": Entry(
            "This idempotency key was used before for a different request.",
            "Use a new key, or send the same request again.",
        ),
        "busy": Entry(
            "The engine holds as many executions as it may.",
            "Wait for one to end, or interrupt one, and call again.",
            _TRANSIENT,
        ),
        # An execution that cannot do what is asked.
        "execution_not_found": Entry(
            "No execution has this id.",
            "List the executions with `engine_status` and use a full id.",
        ),
        "execution_finished": Entry(
            "The execution has already ended.",
            "Read its result with `engine_status`; `from_step` runs a part of it again.",
        ),
        "execution_running": Entry(
            "The execution is running already.",
            "Follow it with `engine_status`, or interrupt it first.",
        ),
        "execution_owned": Entry(
            "Another process drives this execution.",
            "Use that process, interrupt it there, or wait until it ends.",
            _TRANSIENT,
        ),
        "illegal_transition": Entry(
            "The record asks for a change of status that the table of transitions does not allow.",
            "This is a defect: report it with the journal of the execution.",
        ),
        # The record.
        "record_corrupt": Entry(
            "The record of the execution is damaged beyond its last batch.",
            "The damaged file was set aside as `*.corrupt`; the last good state is what the snapshot shows.",
            _CONFIG,
        ),
        "record_newer": Entry(
            "The record was written by a newer version of the engine.",
            "Use that version or a later one; nothing was changed.",
            _CONFIG,
        ),
        "storage": Entry(
            "The record could not be written: no space, no permission, or a failing disk.",
            "Free space or mend the directory, then resume; the last good state is kept.",
            _RESOURCE,
        ),
        # How an attempt can fail.
        "js_error": Entry(
            "The script ended with an uncaught error.",
            "Read name, message and line; correct the script and resume with new `steps`.",
        ),
        "memory_limit": Entry(
            "The script needed more memory than its limit.",
            "Raise `limits.memory_mb` within the operator's own, or work on smaller pieces.",
        ),
        "cpu_limit": Entry(
            "The script computed longer than its CPU limit.",
            "Raise `limits.cpu_s` within the operator's own, or do less at once.",
        ),
        "stack": Entry(
            "The script recursed deeper than its stack limit.",
            "Raise `limits.stack_kb` within the operator's own, or use a loop.",
        ),
        "timeout": Entry(
            "The attempt ran longer than its wall-clock limit.",
            "Raise `timeout_s` or `limits.wall_s`, or split the step.",
        ),
        "crash": Entry(
            "The process that carried out the attempt died.",
            "Another attempt is made by itself; if it persists, look at the script's use of memory.",
            _TRANSIENT,
        ),
        "denied": Entry(
            "The step asked for something that its permissions do not allow.",
            "Allow the tool in `permissions.allowed_tools` or choose a wider `permissions.mode`.",
            _LOGIC,
        ),
        "sandbox_unavailable": Entry(
            "No sandbox process could be started.",
            "Run `engine-mcp doctor`; it names what is missing on this machine.",
            _RESOURCE,
        ),
        "resource_exceeded": Entry(
            "The processes of the attempt used more memory or processor time than they may.",
            "One more attempt is made, with nothing beside it; raise the limit or split the step.",
            _RESOURCE,
        ),
        "tool_error": Entry(
            "The tool reported an error.",
            "Read the message; correct the arguments or the tool's surroundings.",
        ),
        "tool_transient": Entry(
            "The tool failed in a way that may pass.",
            "Another attempt is made by itself.",
            _TRANSIENT,
        ),
        "permission": Entry(
            "The operating system or a service refused access.",
            "Grant the access the message names; one more attempt is made by itself.",
            _PERMISSION,
        ),
        "output_invalid": Entry(
            "The output of the step does not meet its `output_schema`.",
            "Correct the step or the schema; the output is kept with the attempt.",
        ),
        "output_too_large": Entry(
            "A value is larger than the limit for it.",
            "Return less, write an artifact, or raise `limits.max_output_kb`.",
        ),
        "replay_mismatch": Entry(
            "On resume the script made other calls than the ones on record.",
            "Resume with `from_step` to run the step anew, without its recorded calls.",
        ),
        # How a runtime or the provider behind it can fail.
        "runtime_failed": Entry(
            "The runtime ended without a result, or with one that cannot be read.",
            "Another attempt is made by itself, in the same session; run `engine-mcp doctor` if it persists.",
            _TRANSIENT,
        ),
        "runtime_stalled": Entry(
            "The runtime gave no sign of work for too long and was stopped.",
            "Another attempt is made by itself, in the same session; raise `runtimes.stall_s` for slow work.",
            _TRANSIENT,
        ),
        "no_progress": Entry(
            "The agent made the same call again and again, without end.",
            "Say in the step what is to be done when that call does not help, and resume with new `steps`.",
        ),
        "host_network": Entry(
            "This machine's network fails: no route, or trouble with names, a proxy or a certificate.",
            "Another attempt is made by itself; mend DNS, proxy or certificates if it persists.",
            _TRANSIENT,
        ),
        "unreachable": Entry(
            "The provider could not be reached, or the connection broke.",
            "Another attempt is made by itself; look at the network and the base URL if it persists.",
            _TRANSIENT,
        ),
        "provider_error": Entry(
            "The provider failed.",
            "Another attempt is made by itself.",
            _TRANSIENT,
        ),
        "overloaded": Entry(
            "The provider has too much to do.",
            "Another attempt is made by itself; choose another model if it persists.",
            _TRANSIENT,
        ),
        "rate_limited": Entry(
            "The provider takes fewer requests than were made.",
            "Another attempt is made by itself; run fewer steps at once if it persists.",
            _TRANSIENT,
        ),
        "quota_exhausted": Entry(
            "What the account's plan allows for the time being is used up.",
            "Wait until it resets, then resume; or resume with another `runtime`.",
            _CONFIG,
        ),
        "credit_exhausted": Entry(
            "The account may spend no more: its credit is used up, or a limit on spending is reached.",
            "Add credit or raise the limit at the provider, then resume; or resume with another `runtime`.",
            _CONFIG,
        ),
        "unauthorized": Entry(
            "The provider did not accept the credentials.",
            "Log the runtime in or set its key, then resume; one more attempt is made by itself.",
            _PERMISSION,
        ),
        "model_unavailable": Entry(
            "The provider does not offer the model to this account.",
            "Resume with another `model`.",
            _CONFIG,
        ),
        "context_overflow": Entry(
            "The conversation is larger than the model's window.",
            "Split the step, give it fewer files, or choose a model with a larger window.",
            _TRANSIENT,
        ),
        "window_too_small": Entry(
            "What has to stay in the conversation alone is larger than the model's window leaves.",
            "Choose a model with a larger window, pin less, or split the step.",
        ),
        "nothing_to_summarize": Entry(
            "There is no conversation that a summary would make smaller.",
            "Ask again once the steps have said more; agent programs summarize by themselves.",
        ),
        "request_rejected": Entry(
            "The provider does not take the request as it is.",
            "Read the message; correct the step and resume with new `steps`.",
        ),
        "refused": Entry(
            "The model declined the work.",
            "Say it differently and resume with new `steps`.",
        ),
        "truncated": Entry(
            "The answer was cut at the most tokens that one may have.",
            "Another attempt goes on where it stopped; ask for less at once if it persists.",
            _TRANSIENT,
        ),
        "turn_limit": Entry(
            "The agent took more turns than it may.",
            "Resume to go on in the same session, or split the step.",
            _TRANSIENT,
        ),
        "spending_limit": Entry(
            "The attempt used up what it had reserved.",
            "Resume with a higher `budget`; the session goes on.",
        ),
        "budget_exceeded": Entry(
            "A limit is reached; nothing was started.",
            "Raise the limit that the message names with `engine_budget`, then resume.",
        ),
        "outcome_unknown": Entry(
            "The engine stopped during this call; whether it took effect is not known.",
            "Look whether it did before you make it again.",
        ),
        "attempt_lost": Entry(
            "The process that ran the attempt vanished before it reported.",
            "Nothing to do: resume makes a new attempt.",
            _TRANSIENT,
        ),
        "dependency_failed": Entry(
            "A step that this one needs did not complete.",
            "Mend the failed step and resume.",
        ),
        "approval_denied": Entry(
            "The step was not approved.",
            "Resume with other `steps`, or with `from_step` to ask for it again, and approve it.",
        ),
        "approval_timeout": Entry(
            "Nobody answered in time whether the step may go ahead.",
            "Resume and answer; or give the step a longer time to wait.",
        ),
        "internal": Entry(
            "The engine itself failed.",
            "This is a defect: report it with the log; the execution can be resumed.",
        ),
    }
)
