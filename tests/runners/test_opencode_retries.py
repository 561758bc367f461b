"""What OpenCode's log says of its own retries, and when they are not waited for any longer."""

import pytest

from engine_mcp.core.execution import Failure
from engine_mcp.runners.opencode_retries import LONGEST_PAUSE_S, Retries

BUSY = "This request would exceed your account's rate limit. Please try again later."


class Hand:
    """A clock that is set by hand."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def failed(second: float, told: str = BUSY) -> str:
    """A line of the log, as the real one writes it."""
    at = f"2026-11-21T15:23:{second:06.3f}Z"
    return (
        f'timestamp={at} level=ERROR run=1cf3ada4 message="stream error" providerID=fake modelID=m1 '
        f'session.id=ses_1 small=false agent=build mode=primary error.error="AI_APICallError: {told}"\n'
    )


def found(*lines: str, most: int = 2) -> Failure | None:
    return Retries(most, Hand()).excess("".join(lines))


def test_what_it_may_repeat_by_itself_is_waited_for() -> None:
    assert found() is None
    assert found("nothing of the kind\n") is None
    assert found(failed(1), failed(3.1)) is None


def test_one_failure_too_many_ends_the_wait_with_its_class() -> None:
    failure = found(failed(1), failed(3.1), failed(7.5))
    assert failure is not None
    assert (failure.code, failure.message, failure.retry_after_s) == ("rate_limited", BUSY, None)
    overloaded = found(failed(1, "Overloaded"), most=0)
    assert overloaded is not None
    assert overloaded.code == "overloaded"


def test_an_error_that_says_nothing_is_the_providers() -> None:
    failure = found(failed(1, 'Slow \\"down\\"'), most=0)
    assert failure is not None
    assert (failure.code, failure.message) == ("provider_error", 'Slow "down"')


@pytest.mark.parametrize(
    ("pause_s", "asked_s"), [(2.0, None), (2.6, None), (6.7, None), (1.0, 1.0), (20.0, 20.0)]
)
def test_a_pause_that_is_none_of_its_own_was_asked_for(pause_s: float, asked_s: float | None) -> None:
    failure = found(failed(1), failed(1 + pause_s), most=1)
    assert failure is not None
    assert failure.retry_after_s == asked_s


def test_a_second_pause_of_its_own_is_longer() -> None:
    failure = found(failed(1), failed(3.1), failed(3.1 + 13), most=2)
    assert failure is not None
    assert failure.retry_after_s is None
    shorter = found(failed(1), failed(3.1), failed(3.1 + 2), most=2)
    assert shorter is not None
    assert shorter.retry_after_s == 2.0


@pytest.mark.parametrize(
    ("told", "code"),
    [
        ("The socket connection was closed unexpectedly.", "unreachable"),
        ("invalid x-api-key", "unauthorized"),
        ("Your credit balance is too low to access the Anthropic API.", "credit_exhausted"),
    ],
)
def test_who_does_not_answer_or_never_will_asks_for_no_pause(told: str, code: str) -> None:
    failure = found(failed(1, told), failed(31, told), most=1)
    assert failure is not None
    assert (failure.code, failure.retry_after_s) == (code, None)


def test_an_error_inside_a_stream_is_known_by_its_type() -> None:
    head, _, _ = failed(1).partition("error.error=")
    for words in ("Later", '"Come later"'):
        failure = found(f"{head}error.error.type=overloaded_error error.error.message={words}\n", most=0)
        assert failure is not None
        assert (failure.code, failure.message) == ("overloaded", words.strip('"'))


def test_answers_that_break_off_without_a_word_in_the_log_count_too() -> None:
    retries = Retries(1, Hand())
    assert retries.excess("", 1) is None
    failure = retries.excess("", 2)
    assert failure is not None
    assert failure.code == "unreachable"
    told = Retries(1, Hand()).excess(failed(1) + failed(3), 2)
    assert told is not None
    assert told.code == "rate_limited"


def test_an_answer_makes_the_failures_before_it_forgotten() -> None:
    retries, log = Retries(1, Hand()), failed(1)
    assert retries.excess(log) is None
    retries.answered()
    log += failed(30)
    assert retries.excess(log) is None
    log += failed(32)
    assert retries.excess(log) is not None


def test_a_pause_of_more_than_a_minute_is_left_to_the_engine() -> None:
    clock = Hand()
    retries = Retries(2, clock)
    assert retries.excess(failed(1)) is None
    clock.now += LONGEST_PAUSE_S
    assert retries.excess(failed(1)) is None
    clock.now += 1
    failure = retries.excess(failed(1))
    assert failure is not None
    assert (failure.code, failure.retry_after_s) == ("rate_limited", LONGEST_PAUSE_S + 1)
