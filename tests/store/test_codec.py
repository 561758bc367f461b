"""Every event and every state survives the way through JSON."""

import json
import math
from typing import Any, get_args

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import JsonValue

from engine_mcp.core.event import AttemptSucceeded, Event, ProgressReported
from engine_mcp.core.evolve import fold
from engine_mcp.core.execution import Execution, Progress
from engine_mcp.errors import StorageError
from engine_mcp.store import snapshot
from engine_mcp.store.codec import KINDS, decode_event, decode_state, encode_event, encode_state, parsed
from tests.store.plans import AT, attempt, created, started, succeeded
from tests.store.shapes import values

many = settings(suppress_health_check=(HealthCheck.too_slow, HealthCheck.data_too_large), max_examples=15)


def through_json(event: Event) -> Event:
    text = encode_event(event)
    assert json.loads(text)["kind"] == event.kind
    return decode_event(parsed(text))


def through_snapshot(execution: Execution) -> Execution:
    content = snapshot.render(execution, 1, "0.0.0")
    found = snapshot.read(content)
    assert found is not None
    return found.execution()


def test_every_event_has_a_kind_of_its_own() -> None:
    assert set(KINDS.values()) == set(get_args(Event))


@pytest.mark.req("000:4.1.4", "003:L6")
@pytest.mark.parametrize("kind", KINDS)
def test_an_event_is_the_same_after_a_round_trip(kind: str) -> None:
    @many
    @given(values(KINDS[kind]))
    def check(event: Any) -> None:  # noqa: ANN401 - an event of this kind
        assert through_json(event) == event

    check()


@pytest.mark.req("000:4.1.1", "000:4.1.2", "003:L85")
@settings(suppress_health_check=(HealthCheck.too_slow, HealthCheck.data_too_large), max_examples=40)
@given(values(Execution))
def test_a_state_is_the_same_after_a_round_trip(execution: Execution) -> None:
    assert decode_state(parsed(encode_state(execution))) == execution
    assert through_snapshot(execution) == execution


def test_a_state_has_the_types_of_the_core_again() -> None:
    before = fold(None, [created(), started(), attempt(), succeeded(value={"a": [1, 2.5, None, True]})])
    after = through_snapshot(before)
    assert after == before
    assert type(after.status) is type(before.status)
    assert isinstance(after.plan.steps, tuple)
    assert isinstance(after.warned, frozenset)


@pytest.mark.parametrize(
    "value", ["half a pair: \ud83d", {"\udc00": ["\ud800"]}, "\x00\x1f\x7f\u2028\ufeff", "\\ud83d", 10**40]
)
def test_text_as_javascript_can_make_it_is_kept(value: JsonValue) -> None:
    event = succeeded(value=value)
    assert through_json(event) == event
    state = fold(None, [created(), started(), attempt(), event])
    assert decode_state(parsed(encode_state(state))) == state
    assert through_snapshot(state) == state


def nested(depth: int) -> JsonValue:
    value: JsonValue = "deep"
    for _ in range(depth):
        value = [value]
    return value


def test_a_value_nested_deep_is_kept_in_its_event_and_in_every_state() -> None:
    event = succeeded(value=nested(150))
    state = fold(None, [created(), started(), attempt(), event])
    assert through_json(event) == event
    assert through_snapshot(state) == state


@pytest.mark.parametrize("depth", [*range(180, 204), 240, 260, 2000])
@pytest.mark.parametrize("core", ["deep", "\ud800"])
def test_what_an_event_may_hold_fits_a_snapshot_too(depth: int, core: str) -> None:
    event = succeeded(value=[nested(depth), core])
    try:
        text = encode_event(event)
    except StorageError:
        return
    assert decode_event(parsed(text)) == event
    state = fold(None, [created(), started(), attempt(), event])
    assert through_snapshot(state) == state


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_a_number_that_json_does_not_have_is_refused(number: float) -> None:
    with pytest.raises(StorageError, match="progress_reported"):
        encode_event(ProgressReported(at=AT, step="s0", progress=Progress(done=number)))


def test_a_field_that_was_added_later_takes_its_default() -> None:
    raw = parsed(encode_event(succeeded()))
    del raw["usage"]
    assert decode_event(raw) == succeeded()


@given(st.dictionaries(st.text(max_size=5), st.integers(), max_size=3))
def test_what_is_no_event_is_no_event(raw: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="There is no event"):
        decode_event(raw)


@pytest.mark.parametrize("value", [-0.0, 1e308, 5e-324, True, 1, 1.0, "", [], {}])
def test_a_value_keeps_its_type(value: JsonValue) -> None:
    back = through_json(succeeded(value=value))
    assert isinstance(back, AttemptSucceeded)
    assert repr(back.output.value) == repr(value)
