"""From what a child said, and how it died, to the one outcome of a run; pure.

How a returned value becomes the JSON text `ScriptResult.value`:

- `undefined`, a function, a symbol: `null`; as a property left out, in a list `null`, as by JSON.stringify;
- `NaN` and the infinities: `null`; `-0`: `0`;
- a `Date`: its ISO text, an invalid one `null`; any object with `toJSON`: what that gives;
- a `Map`: a list of `[key, value]`; a `Set`: a list; an `Error`: `{name, message}`; any other object:
  its own enumerable properties with string keys;
- a lone surrogate: U+FFFD (in a key: an error);
- a cycle or a BigInt: the outcome `js_error` with a `TypeError`;
- text beyond `max_output_kb`: `js_error` named `OutputLimit`; nesting beyond 200: one named `DepthLimit`.

Arguments of host calls follow the same rules, but a function, a symbol, a number that is not finite, or a
key named `__proto__` is a `TypeError`, more than 1 MiB a `RangeError`, and nesting beyond 200 a `HostError`
named `ArgumentError`: the promise of that call rejects.
"""

import re
import signal
from dataclasses import dataclass, field

from engine_mcp.core.script import (
    Isolation,
    LimitHit,
    LogLine,
    Outcome,
    ScriptError,
    ScriptLimits,
    ScriptResult,
    ScriptUsage,
)

FIRST_LINE = 1000
NEARLY = 0.7
PLACE = re.compile(r"<input>:(\d+)(?::(\d+))?")

CPU_SIGNALS = frozenset({-signal.SIGPROF, -signal.SIGXCPU})
OUT_OF_STACK = frozenset(
    {
        ("RangeError", "Maximum call stack size exceeded"),
        ("InternalError", "stack overflow"),
    }
)


@dataclass(frozen=True, slots=True)
class Death:
    """How a child ended (exit code, or minus the signal), with CPU milliseconds and resident KiB."""

    code: int = 0
    cpu_ms: float = 0.0
    max_rss_kb: int = 0


@dataclass(frozen=True, slots=True)
class Thrown:
    """What a script did not catch; `denied` if it is the host's refusal."""

    name: str
    message: str
    stack: str = ""
    denied: bool = False


@dataclass(slots=True)
class Transcript:
    """Everything a child said, and what its host calls took."""

    value: str | None = None
    thrown: Thrown | None = None
    oversize: int | None = None
    stopped: str = ""
    breach: str = ""
    timed_out: bool = False
    ended: bool = False
    cpu_before_ms: float = 0.0
    rss_before_kb: int = 0
    cpu_ms: float = 0.0
    js_bytes: int = 0
    max_rss_kb: int = 0
    unawaited: int = 0
    logs: list[LogLine] = field(default_factory=list[LogLine])
    logs_dropped: int = 0
    calls: int = 0
    host_ms: float = 0.0
    wall_ms: float = 0.0

    @property
    def concluded(self) -> bool:
        """Whether the child has said how the script ended; only the first time counts."""
        return bool(self.stopped) or not (self.value is self.thrown is self.oversize is None)


@dataclass(frozen=True, slots=True)
class End:
    """An outcome with what belongs to it."""

    outcome: Outcome
    error: ScriptError | None = None
    limit: LimitHit | None = None


def verdict(said: Transcript, death: Death, limits: ScriptLimits, isolation: Isolation) -> ScriptResult:
    """Judge a run."""
    usage = ScriptUsage(
        wall_ms=said.wall_ms,
        cpu_ms=max(death.cpu_ms, said.cpu_ms) - said.cpu_before_ms,
        js_bytes=said.js_bytes,
        max_rss_kb=max(death.max_rss_kb, said.max_rss_kb),
        host_ms=said.host_ms,
        calls=said.calls,
    )
    end = _end(said, death, limits, usage)
    return ScriptResult(
        outcome=end.outcome,
        value=said.value if end.outcome is Outcome.VALUE else None,
        error=end.error,
        limit=end.limit,
        logs=tuple(said.logs),
        logs_dropped=said.logs_dropped,
        unawaited=said.unawaited,
        usage=usage,
        isolation=isolation,
    )


def _end(said: Transcript, death: Death, limits: ScriptLimits, usage: ScriptUsage) -> End:
    if said.breach:
        return End(Outcome.CRASH, ScriptError("ProtocolBreach", said.breach))
    if said.value is not None:
        return End(Outcome.VALUE)
    if said.oversize is not None:
        return _oversize(said.oversize, limits)
    if said.thrown is not None:
        return _thrown(said.thrown, said.rss_before_kb, limits, usage)
    return _stopped(said, death, limits, usage)


def _stopped(said: Transcript, death: Death, limits: ScriptLimits, usage: ScriptUsage) -> End:
    if said.stopped == "deadlock":
        message = "the script waits for something that nothing under way can bring"
        return End(Outcome.JS_ERROR, ScriptError("Deadlock", message))
    if said.stopped:
        return _spent(said.stopped, limits, usage)
    if said.timed_out:
        return _spent("wall_s", limits, usage)
    return _dead(death, limits, usage)


def _oversize(size: int, limits: ScriptLimits) -> End:
    limit = LimitHit("max_output_kb", limits.max_output_kb, size / 1024)
    message = f"the value takes more than {limits.max_output_kb} KiB as JSON"
    return End(Outcome.JS_ERROR, ScriptError("OutputLimit", message), limit)


def _thrown(thrown: Thrown, rss_before_kb: int, limits: ScriptLimits, usage: ScriptUsage) -> End:
    kind = (thrown.name, thrown.message)
    grown_kb = max(usage.js_bytes // 1024, usage.max_rss_kb - rss_before_kb)
    # Without room for an error object, the engine throws null; so may a script.
    full = kind == ("Thrown", "null") and grown_kb >= NEARLY * limits.memory_mb * 1024
    if full or (thrown.name == "InternalError" and thrown.message.startswith("out of memory")):
        return _spent("memory_mb", limits, usage)
    if kind in OUT_OF_STACK:
        return _spent("stack_kb", limits, usage)
    outcome = Outcome.DENIED if thrown.denied else Outcome.JS_ERROR
    return End(outcome, located(thrown))


def _spent(resource: str, limits: ScriptLimits, usage: ScriptUsage) -> End:
    match resource:
        case "cpu_s":
            hit = LimitHit(resource, limits.cpu_s, usage.cpu_ms / 1000)
            return End(Outcome.CPU_LIMIT, limit=hit)
        case "stack_kb":
            return End(Outcome.STACK, limit=LimitHit(resource, limits.stack_kb, limits.stack_kb))
        case "wall_s":
            hit = LimitHit(resource, limits.wall_s, usage.wall_ms / 1000)
            return End(Outcome.TIMEOUT, limit=hit)
        case _:
            hit = LimitHit("memory_mb", limits.memory_mb, usage.max_rss_kb / 1024)
            return End(Outcome.MEMORY_LIMIT, limit=hit)


def _dead(death: Death, limits: ScriptLimits, usage: ScriptUsage) -> End:
    if death.code == -signal.SIGSYS:
        message = "the script's process made a system call that no script may make"
        return End(Outcome.DENIED, ScriptError("Denied", message))
    if death.code in CPU_SIGNALS:
        return _spent("cpu_s", limits, usage)
    cause = signal.Signals(-death.code).name if death.code < 0 else f"exit code {death.code}"
    return End(Outcome.CRASH, ScriptError("Crash", f"the script's process ended by itself: {cause}"))


def located(thrown: Thrown) -> ScriptError:
    """Leave of a stack what is the script's own, with its lines counted from 1."""
    kept: list[str] = []
    last = 0
    first: tuple[int, int | None] | None = None
    for text in thrown.stack.splitlines():
        place = PLACE.search(text)
        if place and int(place[1]) < FIRST_LINE:
            continue
        if place:
            line, column = int(place[1]) - FIRST_LINE + 1, int(place[2]) if place[2] else None
            first = first or (line, column)
            named = f"script:{line}" + (f":{column}" if column else "")
            kept.append(text.strip().replace(place[0], named))
            last = len(kept)
        else:
            kept.append(text.strip())
    line, column = first or (None, None)
    return ScriptError(thrown.name, thrown.message, "\n".join(kept[:last]), line, column)
