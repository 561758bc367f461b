"""The retry policy: how many tries an error allows, and when the next one is due."""

import zlib

from engine_mcp.catalogue import CATALOGUE, RetryClass
from engine_mcp.core.execution import Failure, Step

FIRST_DELAY_S = 1.0
LONGEST_DELAY_S = 60.0
SECOND_CHANCE = 2


def retry_class(code: str) -> RetryClass:
    """The class of an error code; codes outside the catalogue are not tried again."""
    entry = CATALOGUE.get(code)
    return entry.retry if entry else RetryClass.LOGIC


def tries_allowed(code: str, max_attempts: int) -> int:
    """How often a step that fails with this code may be tried in all, at least once."""
    match retry_class(code):
        case RetryClass.TRANSIENT:
            return max(1, max_attempts)
        case RetryClass.PERMISSION | RetryClass.RESOURCE:
            return max(1, min(SECOND_CHANCE, max_attempts))
        case RetryClass.CONFIGURATION | RetryClass.LOGIC:
            return 1


def is_final(step: Step, failure: Failure) -> bool:
    """Whether the step fails with this failure of its running attempt."""
    return step.tries + 1 >= tries_allowed(failure.code, step.spec.max_attempts)


def delay(tries: int, key: str) -> float:
    """Seconds to wait after `tries` failed tries: exponential, capped, with jitter fixed by `key`."""
    full = min(LONGEST_DELAY_S, FIRST_DELAY_S * 2.0 ** (tries - 1))
    fraction = zlib.crc32(f"{key}:{tries}".encode()) / 0xFFFFFFFF
    return full * (0.5 + fraction / 2)


def due_at(step: Step, key: str) -> float:
    """When the next attempt of a step may start, in Unix seconds; 0 for at once."""
    last = step.attempt
    if step.tries == 0 or last is None or last.ended_at is None:
        return 0.0
    return last.ended_at + delay(step.tries, f"{key}:{step.spec.id}")


def must_run_alone(step: Step) -> bool:
    """Whether the attempt under way or the next one is to have the machine to itself.

    So it is after an attempt that ran out of a resource.
    """
    failure = next((tried.failure for tried in reversed(step.attempts) if tried.failure), None)
    return step.tries > 0 and failure is not None and retry_class(failure.code) is RetryClass.RESOURCE
