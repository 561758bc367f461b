"""Doubt: the requests of a lost attempt of which nobody knows whether they were made."""

import pytest

from engine_mcp.core import event as ev
from engine_mcp.core.budget import Usage
from engine_mcp.core.doubt import in_doubt
from engine_mcp.core.evolve import fold
from engine_mcp.core.execution import Output, RecordedCall, Step
from engine_mcp.core.plan import StepSpec
from tests.core.story import AT, created, driven, spec

AGENT, SCRIPT, TOOL = spec("s", task="t"), spec("s"), spec("s", tool="t")


def lost(step: StepSpec, *events: ev.Event, share: int = 0) -> Step:
    """The step whose attempt began with a share of so many requests, and is gone after these events."""
    reserved = Usage(requests=share)
    start = ev.AttemptStarted(at=AT, step="s", number=1, seed=7, clock_ms=8, reserved=reserved)
    return fold(None, [created(step), driven(), start, *events]).steps["s"]


def asked(ordinal: int) -> ev.CallStarted:
    """A call that was about to be made."""
    return ev.CallStarted(at=AT, step="s", number=1, ordinal=ordinal, name="t", digest=f"d{ordinal}")


def answered(ordinal: int) -> ev.CallRecorded:
    """The answer to a call, which is one request."""
    call = RecordedCall(ordinal=ordinal, name="t", digest=f"d{ordinal}", at_ms=0, output=Output())
    return ev.CallRecorded(at=AT, step="s", number=1, call=call, requests=1)


def turn() -> ev.UsageReported:
    return ev.UsageReported(at=AT, step="s", number=1, usage=Usage(requests=1, tokens_in=10))


@pytest.mark.parametrize("count", [0, 1, 3])
def test_a_script_may_have_made_every_call_that_has_no_answer(count: int) -> None:
    events = [asked(9), answered(9), *(asked(ordinal) for ordinal in range(count))]
    assert in_doubt(lost(SCRIPT, *events)) == Usage(requests=count)


def test_a_script_has_no_doubt_beyond_its_calls_though_it_holds_a_share() -> None:
    assert in_doubt(lost(SCRIPT, asked(0), answered(0), share=5)) == Usage()


def test_a_tool_step_may_have_made_its_call() -> None:
    assert in_doubt(lost(TOOL, share=1)) == Usage(requests=1)


@pytest.mark.parametrize("calls", [0, 2])
def test_an_agent_may_have_asked_once_more_and_made_what_has_no_answer(calls: int) -> None:
    events = [turn(), *(asked(ordinal) for ordinal in range(calls))]
    assert in_doubt(lost(AGENT, *events)).requests == 1 + calls


@pytest.mark.parametrize(("share", "doubt"), [(1, 0), (2, 0), (3, 1), (4, 2), (9, 3)])
def test_the_doubt_about_an_agent_keeps_to_its_share_of_requests(share: int, doubt: int) -> None:
    events = [turn(), asked(0), answered(0), asked(1), asked(2)]
    assert in_doubt(lost(AGENT, *events, share=share)).requests == doubt


def test_a_step_without_an_attempt_is_in_no_doubt() -> None:
    assert in_doubt(Step(spec=AGENT)) == Usage()
