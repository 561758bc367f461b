import signal

import pytest

from engine_mcp.core.script import Isolation, Outcome, ScriptLimits, ScriptResult
from engine_mcp.sandbox.verdict import FIRST_LINE, Death, Thrown, Transcript, located, verdict

LIMITS = ScriptLimits(memory_mb=32, cpu_s=1.0, wall_s=2.0, stack_kb=256, max_output_kb=8)
FULL_KB = 30 * 1024


def judged(said: Transcript, death: Death | None = None) -> ScriptResult:
    return verdict(said, death or Death(), LIMITS, Isolation())


@pytest.mark.req("000:1.2.1", "000:1.2.2", "000:L288")
@pytest.mark.parametrize(
    ("code", "outcome"),
    [
        (-signal.SIGSYS, Outcome.DENIED),
        (-signal.SIGPROF, Outcome.CPU_LIMIT),
        (-signal.SIGXCPU, Outcome.CPU_LIMIT),
        (-signal.SIGSEGV, Outcome.CRASH),
        (-signal.SIGABRT, Outcome.CRASH),
        (-signal.SIGKILL, Outcome.CRASH),
        (1, Outcome.CRASH),
        (0, Outcome.CRASH),
    ],
)
def test_a_child_that_died_without_a_word_is_judged_by_its_death(code: int, outcome: Outcome) -> None:
    result = judged(Transcript(), Death(code, 1234.0, 2048))
    assert result.outcome is outcome
    assert result.usage.cpu_ms == 1234.0
    assert result.usage.max_rss_kb == 2048


@pytest.mark.parametrize(
    ("thrown", "outcome"),
    [
        (Thrown("InternalError", "out of memory"), Outcome.MEMORY_LIMIT),
        (Thrown("InternalError", "out of memory in regexp execution"), Outcome.MEMORY_LIMIT),
        (Thrown("Error", "out of memory"), Outcome.JS_ERROR),
        (Thrown("RangeError", "Maximum call stack size exceeded"), Outcome.STACK),
        (Thrown("InternalError", "stack overflow"), Outcome.STACK),
        (Thrown("Denied", "no", denied=True), Outcome.DENIED),
        (Thrown("Denied", "no"), Outcome.JS_ERROR),
        (Thrown("Thrown", "null"), Outcome.JS_ERROR),
    ],
)
def test_an_uncaught_error_is_judged_by_what_it_is(thrown: Thrown, outcome: Outcome) -> None:
    assert judged(Transcript(thrown=thrown)).outcome is outcome


def test_null_thrown_from_a_full_heap_is_the_memory_limit() -> None:
    said = Transcript(thrown=Thrown("Thrown", "null"), rss_before_kb=10_000, max_rss_kb=10_000 + FULL_KB)
    assert judged(said).outcome is Outcome.MEMORY_LIMIT


@pytest.mark.req("000:1.2.2", "000:1.2.3")
@pytest.mark.parametrize(
    ("said", "outcome", "resource", "limit"),
    [
        (Transcript(stopped="cpu_s", cpu_ms=1500), Outcome.CPU_LIMIT, "cpu_s", 1.0),
        (Transcript(stopped="memory_mb", max_rss_kb=4096), Outcome.MEMORY_LIMIT, "memory_mb", 32),
        (Transcript(stopped="stack_kb"), Outcome.STACK, "stack_kb", 256),
        (Transcript(timed_out=True, wall_ms=2100), Outcome.TIMEOUT, "wall_s", 2.0),
        (Transcript(oversize=9000), Outcome.JS_ERROR, "max_output_kb", 8),
    ],
)
def test_a_limit_is_named_with_its_size_and_the_use(
    said: Transcript, outcome: Outcome, resource: str, limit: float
) -> None:
    result = judged(said)
    assert result.outcome is outcome
    assert result.limit is not None
    assert (result.limit.resource, result.limit.limit) == (resource, limit)
    assert result.limit.used > 0


@pytest.mark.parametrize(
    "said",
    [
        Transcript(value="1", timed_out=True),
        Transcript(value="1", stopped="cpu_s"),
        Transcript(value="1", thrown=Thrown("Error", "late")),
    ],
)
def test_a_value_that_was_said_stands_whatever_came_after(said: Transcript) -> None:
    assert judged(said).outcome is Outcome.VALUE


def test_a_breach_outdoes_everything_that_was_said() -> None:
    result = judged(Transcript(value="1", breach="nonsense"))
    assert (result.outcome, result.value) == (Outcome.CRASH, None)
    assert result.error is not None
    assert result.error.name == "ProtocolBreach"


def test_a_stack_keeps_the_frames_of_the_script_and_counts_its_lines_from_one() -> None:
    stack = f"""
        at call (<input>:12:3)
        at f (<input>:{FIRST_LINE + 4}:7)
        at map (native)
        at <anonymous> (<input>:{FIRST_LINE})
        at AsyncFunction (native)
        at main (<input>:300:1)
    """
    error = located(Thrown("TypeError", "t", stack.strip()))
    assert error.stack == "at f (script:5:7)\nat map (native)\nat <anonymous> (script:1)"
    assert (error.line, error.column) == (5, 7)


def test_a_stack_without_a_frame_of_the_script_is_empty() -> None:
    error = located(Thrown("Error", "e", "at stringify (native)\nat main (<input>:300:1)"))
    assert (error.stack, error.line, error.column) == ("", None, None)
