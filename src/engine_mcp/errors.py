"""Every error of the engine: the exceptions that carry the codes of the catalogue.

Expected failures of an attempt are data (`core.execution.Failure`) with a code of the catalogue;
exceptions are for misuse, corruption and trouble with the machine.
"""

from typing import ClassVar

from engine_mcp.catalogue import CATALOGUE, RetryClass


class EngineError(Exception):
    """The engine failed in a way that its code does not foresee."""

    code: ClassVar[str] = "internal"

    def __init__(self, message: str = "", *, field: str | None = None, hint: str | None = None) -> None:
        """Say what happened, which argument it is about, and what to do (default: the catalogue's)."""
        super().__init__(message or CATALOGUE[self.code].cause)
        self.field = field
        self.hint = hint or CATALOGUE[self.code].remedy

    @property
    def message(self) -> str:
        """What happened, in one sentence."""
        return str(self)

    @property
    def retryable(self) -> bool:
        """Whether the same call may succeed later without any change."""
        return CATALOGUE[self.code].retry in {RetryClass.TRANSIENT, RetryClass.RESOURCE}


class InvalidArgument(EngineError):
    """An argument cannot be taken; `field` names it."""

    code = "invalid_argument"


class InvalidPlan(EngineError):
    """The plan contradicts itself."""

    code = "invalid_plan"


class PathOutsideRoots(EngineError):
    """A project path is not one this engine may work in."""

    code = "path_outside_roots"


class RuntimeUnavailable(EngineError):
    """The plan needs a runtime that cannot be used."""

    code = "runtime_unavailable"


class Unpriced(EngineError):
    """Nobody will know what a step costs, and a limit in dollars would have to stop it."""

    code = "unpriced"


class UnknownTool(EngineError):
    """No tool has the name asked for."""

    code = "unknown_tool"


class UnknownModel(EngineError):
    """No model of the runtime has the name asked for."""

    code = "unknown_model"


class UnknownRole(EngineError):
    """No role has the name asked for."""

    code = "unknown_role"


class UnknownSkill(EngineError):
    """No skill has the name asked for."""

    code = "unknown_skill"


class TemplateError(EngineError):
    """A template, a role or a skill cannot be used; `field` names its file."""

    code = "template"


class IdempotencyConflict(EngineError):
    """The same key came with another request."""

    code = "idempotency_conflict"


class Busy(EngineError):
    """No room for another execution; `retry_after_s` is when there may be some, in seconds."""

    code = "busy"

    def __init__(self, message: str = "", *, retry_after_s: float | None = None) -> None:
        """Say how full it is, and when to come again."""
        super().__init__(message)
        self.retry_after_s = retry_after_s


class ExecutionNotFound(EngineError):
    """No execution has the id asked for."""

    code = "execution_not_found"


class NothingToSummarize(EngineError):
    """No conversation that the engine holds could be made smaller."""

    code = "nothing_to_summarize"


class ExecutionFinished(EngineError):
    """The execution has ended and cannot change."""

    code = "execution_finished"


class ExecutionRunning(EngineError):
    """The execution is being driven by this process."""

    code = "execution_running"


class ExecutionOwned(EngineError):
    """The execution is being driven by another process."""

    code = "execution_owned"


class IllegalTransition(EngineError):
    """An event asks for a status change outside the table; nothing was changed."""

    code = "illegal_transition"


class RecordCorrupt(EngineError):
    """A record cannot be read; what could be saved was."""

    code = "record_corrupt"


class RecordNewer(EngineError):
    """A record has a schema version this engine does not know."""

    code = "record_newer"


class StorageError(EngineError):
    """A write to the record failed; the events of that write do not count."""

    code = "storage"


class SandboxUnavailable(EngineError):
    """No sandbox process can be had."""

    code = "sandbox_unavailable"
