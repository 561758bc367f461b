"""The retry policy: which error is tried again, how often, and when."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine_mcp.catalogue import CATALOGUE, RetryClass
from engine_mcp.core.execution import Attempt, AttemptStatus, Failure, Step
from engine_mcp.core.plan import StepSpec
from engine_mcp.core.retry import (
    FIRST_DELAY_S,
    LONGEST_DELAY_S,
    LONGEST_WAIT_S,
    asked_until,
    delay,
    due_at,
    is_final,
    must_run_alone,
    retry_class,
    tries_allowed,
)

TIMES = {
    RetryClass.TRANSIENT: [1, 1, 2, 3, 9],
    RetryClass.PERMISSION: [1, 1, 2, 2, 2],
    RetryClass.RESOURCE: [1, 1, 2, 2, 2],
    RetryClass.CONFIGURATION: [1, 1, 1, 1, 1],
    RetryClass.LOGIC: [1, 1, 1, 1, 1],
}
FEWER = {code: [1, 1, 2, 3, 3] for code in ("host_network", "truncated", "turn_limit")} | {
    "context_overflow": [1, 1, 2, 2, 2]
}
"""Codes of a class with many tries for which that many would be of no use."""


def step(*codes: str, ended_at: float = 50.0, most: int = 3, retry_at: float | None = None) -> Step:
    """A step whose attempts failed with these codes and asked to be left alone until `retry_at`."""
    attempts = tuple(
        Attempt(
            number=number,
            started_at=0,
            epoch=1,
            ended_at=ended_at,
            status=AttemptStatus.FAILED,
            failure=Failure(code, "it failed", retry_at=retry_at),
        )
        for number, code in enumerate(codes, 1)
    )
    return Step(spec=StepSpec(id="a", code="c", max_attempts=most), attempts=attempts, tries=len(attempts))


@pytest.mark.req("002:L104", "002:L165", "002:L166", "002:L168", "002:L169", "004:L70")
@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("tool_transient", RetryClass.TRANSIENT),
        ("crash", RetryClass.TRANSIENT),
        ("attempt_lost", RetryClass.TRANSIENT),
        ("runtime_unavailable", RetryClass.CONFIGURATION),
        ("unknown_tool", RetryClass.CONFIGURATION),
        ("permission", RetryClass.PERMISSION),
        ("storage", RetryClass.RESOURCE),
        ("sandbox_unavailable", RetryClass.RESOURCE),
        ("js_error", RetryClass.LOGIC),
        ("denied", RetryClass.LOGIC),
        ("a code that nobody knows", RetryClass.LOGIC),
    ],
)
def test_one_table_says_what_another_attempt_could_change(code: str, kind: RetryClass) -> None:
    assert retry_class(code) is kind


@pytest.mark.req("002:L46", "002:L172", "002:L173", "002:L176", "002:L183")
@pytest.mark.parametrize("code", CATALOGUE)
def test_the_class_of_an_error_says_how_often_it_is_tried(code: str) -> None:
    allowed = [tries_allowed(code, most) for most in (0, 1, 2, 3, 9)]
    assert allowed == FEWER.get(code, TIMES[CATALOGUE[code].retry])


@pytest.mark.parametrize(
    ("before", "code", "most", "final"),
    [
        ([], "crash", 3, False),
        (["crash"], "crash", 3, False),
        (["crash", "crash"], "crash", 3, True),
        ([], "crash", 1, True),
        ([], "js_error", 3, True),
        ([], "storage", 9, False),
        (["storage"], "storage", 9, True),
        (["crash"], "storage", 9, True),
        (["storage"], "crash", 9, False),
    ],
)
def test_a_failure_is_final_when_no_try_is_left(before: list[str], code: str, most: int, final: bool) -> None:  # noqa: FBT001 - a case
    assert is_final(step(*before, most=most), Failure(code, "again")) is final


@pytest.mark.req("002:L91")
@given(st.integers(1, 40), st.text(max_size=20))
def test_a_delay_doubles_up_to_a_longest_one_with_a_jitter_that_is_fixed(tries: int, key: str) -> None:
    full = min(LONGEST_DELAY_S, FIRST_DELAY_S * 2 ** (tries - 1))
    assert full / 2 <= delay(tries, key) <= full
    assert delay(tries, key) == delay(tries, key)


def test_different_steps_do_not_try_again_at_the_same_time() -> None:
    assert len({delay(1, f"e:{name}") for name in range(100)}) > 90


def test_the_first_attempt_is_due_at_once_and_the_next_after_the_delay() -> None:
    assert due_at(step(), "e") == 0.0
    assert due_at(step("crash"), "e") == 50.0 + delay(1, "e:a")
    assert due_at(step("crash", "crash"), "e") == 50.0 + delay(2, "e:a")


def test_an_attempt_that_was_stopped_makes_the_next_one_wait_for_nothing() -> None:
    stopped = Attempt(number=1, started_at=0, epoch=1, ended_at=50.0, status=AttemptStatus.INTERRUPTED)
    assert due_at(Step(spec=StepSpec(id="a", code="c"), attempts=(stopped,)), "e") == 0.0


@pytest.mark.req("002:L91")
def test_whoever_asks_to_be_left_alone_is_left_alone_for_that_long_and_a_little_more() -> None:
    assert due_at(step("rate_limited", retry_at=90.0), "e") == 90.0 + delay(1, "e:a")
    assert due_at(step("rate_limited", "rate_limited", retry_at=90.0), "e") == 90.0 + delay(2, "e:a")


def test_a_time_that_is_over_changes_nothing() -> None:
    assert due_at(step("rate_limited", retry_at=20.0), "e") == due_at(step("rate_limited"), "e")


@pytest.mark.parametrize(
    ("retry_at", "until", "due"),
    [
        (50.0 + 10 * LONGEST_WAIT_S, None, 50.0 + LONGEST_WAIT_S),
        (500.0, 300.0, 300.0),
        (500.0, 5000.0, 500.0 + delay(1, "e:a")),
        (500.0, 10.0, 50.0 + delay(1, "e:a")),
    ],
)
def test_a_long_pause_is_slept_neither_without_end_nor_beyond_the_deadline(
    retry_at: float, until: float | None, due: float
) -> None:
    assert due_at(step("rate_limited", retry_at=retry_at), "e", until) == due


@given(st.floats(-1e9, 1e10), st.none() | st.floats(0, 1e10), st.integers(1, 4))
def test_the_next_attempt_is_never_due_before_its_delay_nor_after_the_longest_wait(
    retry_at: float, until: float | None, tries: int
) -> None:
    due = due_at(step(*["rate_limited"] * tries, retry_at=retry_at), "e", until)
    assert 50.0 + delay(tries, "e:a") <= due <= 50.0 + LONGEST_WAIT_S


@pytest.mark.parametrize(
    ("failure", "until"),
    [
        (None, 50.0),
        (Failure("rate_limited", "wait"), 50.0),
        (Failure("rate_limited", "wait", retry_after_s=7.0), 57.0),
        (Failure("rate_limited", "wait", retry_after_s=-7.0), 50.0),
        (Failure("rate_limited", "wait", retry_after_s=7.0, retry_at=60.0), 60.0),
        (Failure("rate_limited", "wait", retry_at=40.0), 50.0),
    ],
)
def test_what_was_asked_for_is_read_as_a_time_or_a_number_of_seconds(
    failure: Failure | None, until: float
) -> None:
    assert asked_until(failure, 50.0) == until


@pytest.mark.req("002:L175")
@pytest.mark.parametrize(
    ("codes", "alone"),
    [
        ([], False),
        (["crash"], False),
        (["storage"], True),
        (["resource_exceeded"], True),
        (["storage", "crash"], False),
        (["crash", "storage"], True),
    ],
)
def test_after_a_lack_of_resources_a_step_has_the_machine_to_itself(codes: list[str], alone: bool) -> None:  # noqa: FBT001 - a case
    assert must_run_alone(step(*codes)) is alone


def test_a_step_that_is_asked_for_anew_shares_the_machine_again() -> None:
    assert not must_run_alone(replace(step("storage"), tries=0))
