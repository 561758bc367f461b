"""What a script run is given and what it ends with."""

from dataclasses import dataclass, field
from enum import StrEnum


class Outcome(StrEnum):
    """How a script run ended; a run has exactly one outcome."""

    VALUE = "value"
    JS_ERROR = "js_error"
    MEMORY_LIMIT = "memory_limit"
    CPU_LIMIT = "cpu_limit"
    STACK = "stack"
    TIMEOUT = "timeout"
    CRASH = "crash"
    CANCELLED = "cancelled"
    DENIED = "denied"


@dataclass(frozen=True, slots=True, kw_only=True)
class ScriptLimits:
    """What one script run may use: MiB, CPU seconds, wall seconds, KiB, calls, KiB of output."""

    memory_mb: int = 128
    cpu_s: float = 30.0
    wall_s: float = 60.0
    stack_kb: int = 512
    max_calls: int = 256
    max_output_kb: int = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """JavaScript with everything it may see; `input` and `outputs` are JSON text.

    `code` is a function body (top-level `await`, `return` gives the value) or one `async () => {}`.
    `tools` are the names that `tools.<name>` and `tools.list` show; calling any other name is
    still sent to the host, which denies it. `seed` and `now_ms` (Unix time) feed `Math.random`
    and `Date`, so that a replay sees what the first run saw.
    """

    code: str
    input: str = "null"
    outputs: str = "{}"
    tools: tuple[str, ...] = ()
    limits: ScriptLimits = field(default_factory=ScriptLimits)
    seed: int = 0
    now_ms: int = 0


@dataclass(frozen=True, slots=True)
class HostCall:
    """A request of a script: its ordinal in program order (from 0), a name, arguments as JSON text."""

    ordinal: int
    name: str
    arguments: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HostAnswer:
    """The reply to a host call: JSON text, or the name and message of the error the script sees.

    `at_ms` (Unix time) is what `Date` shows from this delivery on.
    """

    value: str | None = None
    error_name: str = ""
    error_message: str = ""
    at_ms: int = 0

    @property
    def ok(self) -> bool:
        """Whether the call gave a value."""
        return self.value is not None


@dataclass(frozen=True, slots=True)
class ScriptError:
    """An uncaught error as JavaScript reports it; line and column count from 1 in the user's code."""

    name: str
    message: str
    stack: str = ""
    line: int | None = None
    column: int | None = None


@dataclass(frozen=True, slots=True)
class LogLine:
    """One captured `console` line."""

    level: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ScriptUsage:
    """What a run used: milliseconds, bytes of JavaScript heap, KiB of resident memory, calls."""

    wall_ms: float = 0.0
    cpu_ms: float = 0.0
    js_bytes: int = 0
    max_rss_kb: int = 0
    host_ms: float = 0.0
    calls: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Isolation:
    """Which operating-system layers held around a run; `uid` is the child's user id."""

    process: bool = True
    rlimits: bool = False
    no_new_privs: bool = False
    seccomp: bool = False
    landlock: int = 0
    netns: bool = False
    uid: int = -1


@dataclass(frozen=True, slots=True)
class LimitHit:
    """The resource that ended a run, its limit and the use seen, in the unit of the limit's name."""

    resource: str
    limit: float
    used: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ScriptResult:
    """The one end of a script run; `value` is JSON text and set only for the outcome `value`."""

    outcome: Outcome
    value: str | None = None
    error: ScriptError | None = None
    limit: LimitHit | None = None
    logs: tuple[LogLine, ...] = ()
    logs_dropped: int = 0
    unawaited: int = 0
    usage: ScriptUsage = field(default_factory=ScriptUsage)
    isolation: Isolation = field(default_factory=Isolation)
