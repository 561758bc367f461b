"""The retry policy: how many tries an error allows, and when the next one is due."""

import zlib

from engine_mcp.catalogue import CATALOGUE, RetryClass
from engine_mcp.core.execution import Failure, Step
from engine_mcp.core.treatment import TREATMENTS, FallBack

FIRST_DELAY_S = 1.0
LONGEST_DELAY_S = 60.0
LONGEST_WAIT_S = 900.0
"""What is slept at most because somebody asked to be left alone; for longer a step gives its place up."""
SECOND_CHANCE = 2
OVERFLOW = "context_overflow"


def retry_class(code: str) -> RetryClass:
    """The class of an error code; codes outside the catalogue are not tried again."""
    entry = CATALOGUE.get(code)
    return entry.retry if entry else RetryClass.LOGIC


def tries_allowed(code: str, max_attempts: int, *, held: bool = False) -> int:
    """How often a step that fails with this code may be tried on one route in all, at least once.

    `held`: its conversation is kept here, and was made shorter before it was found too long for good.
    """
    if held and code == OVERFLOW:
        return 1
    rule, most = TREATMENTS.get(code), max_attempts
    match retry_class(code):
        case RetryClass.TRANSIENT:
            if rule is not None and rule.tries is not None and rule.fall_back is FallBack.NEVER:
                most = 1 + rule.tries
        case RetryClass.PERMISSION | RetryClass.RESOURCE:
            most = SECOND_CHANCE
        case RetryClass.CONFIGURATION | RetryClass.LOGIC:
            most = 1
    return max(1, min(most, max_attempts))


def is_final(step: Step, failure: Failure) -> bool:
    """Whether the step, which has no other route, fails with this failure of its running attempt."""
    held = bool(step.messages)
    return step.tries + 1 >= tries_allowed(failure.code, step.spec.max_attempts, held=held)


def delay(tries: int, key: str) -> float:
    """Seconds to wait after `tries` failed tries: exponential, capped, with jitter fixed by `key`."""
    full = min(LONGEST_DELAY_S, FIRST_DELAY_S * 2.0 ** (tries - 1))
    fraction = zlib.crc32(f"{key}:{tries}".encode()) / 0xFFFFFFFF
    return full * (0.5 + fraction / 2)


def asked_until(failure: Failure | None, since: float) -> float:
    """Until when whoever failed asked to be left alone, in Unix seconds; `since` if nothing was asked.

    `since` is when the attempt ended.
    """
    if failure is None:
        return since
    if failure.retry_at is not None:
        return max(since, failure.retry_at)
    return since + max(0.0, failure.retry_after_s or 0.0)


def due_at(step: Step, key: str, until: float | None = None) -> float:
    """When the next attempt of a step may start, in Unix seconds; 0 for at once.

    It is not before the time that the last failure asks for, but that is waited for at most
    `LONGEST_WAIT_S` and not beyond `until`, the deadline: what follows a longer one is
    `core.fallback`'s to say.
    """
    last = step.attempt
    if step.tries == 0 or last is None or last.ended_at is None:
        return 0.0
    pause = delay(step.tries, f"{key}:{step.spec.id}")
    most = last.ended_at + LONGEST_WAIT_S
    if until is not None:
        most = min(most, until)
    asked = asked_until(last.failure, last.ended_at)
    return max(last.ended_at + pause, min(asked + pause, most))


def must_run_alone(step: Step) -> bool:
    """Whether the attempt under way or the next one is to have the machine to itself.

    So it is after an attempt that ran out of a resource.
    """
    failure = next((tried.failure for tried in reversed(step.attempts) if tried.failure), None)
    return step.tries > 0 and failure is not None and retry_class(failure.code) is RetryClass.RESOURCE
