"""The wire server says what the Messages API says, as the real SDK understands it."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from typing import Any, Literal, cast

import anthropic
import anyio
import httpx2
import pytest
from anthropic import Anthropic
from anthropic.lib.bedrock import AnthropicBedrockMantle
from anthropic.types import Message, RawMessageStreamEvent

from tests.wire.received import Received
from tests.wire.server import Wire
from tests.wire.turns import Block, Thinking, ToolUse, Trouble, Turn

ASKED: dict[str, Any] = {
    "model": "claude-opus-5-5",
    "max_tokens": 100,
    "messages": [{"role": "user", "content": "Good day"}],
}
LONG = "A word and another. " * 10
EVERYTHING = Turn(
    "I look",
    [Thinking("Where could it be?"), ToolUse("read", {"path": "a/b", "deep": [1, None]}), ToolUse("list")],
    input_tokens=11,
    output_tokens=7,
    cache_read=5,
    cache_write=3,
)


@pytest.fixture(scope="module")
def sdk() -> Iterator[Anthropic]:
    """One client for all tests: to build one takes a tenth of a second."""
    with Anthropic(api_key="test", max_retries=0, timeout=10) as client:
        yield client


@pytest.fixture
def wire() -> Iterator[Wire]:
    with Wire() as server:
        yield server


@pytest.fixture
def client(sdk: Anthropic, wire: Wire) -> Anthropic:
    return sdk.with_options(base_url=wire.url)


def answered(client: Anthropic, content: object = "Good day", **more: object) -> Message:
    """The answer to one message, not streamed."""
    asked: dict[str, Any] = {**ASKED, "messages": [{"role": "user", "content": content}], **more}
    return cast("Message", client.messages.create(**asked))


def said(message: Message) -> str:
    return "".join(block.text for block in message.content if block.type == "text")


def streamed(client: Anthropic, into: list[RawMessageStreamEvent] | None = None) -> list[str]:
    """The types of the events of a stream; the events are put into a list as they come."""
    kept: list[RawMessageStreamEvent] = [] if into is None else into
    with client.messages.create(stream=True, **ASKED) as stream:
        kept.extend(stream)
    return [event.type for event in kept]


def texts(events: list[RawMessageStreamEvent]) -> str:
    return "".join(
        event.delta.text
        for event in events
        if event.type == "content_block_delta" and event.delta.type == "text_delta"
    )


@pytest.mark.parametrize("chunk", [1, 7, 100_000])
def test_a_turn_is_the_same_in_a_stream_of_any_chunks_and_as_a_whole(
    client: Anthropic, wire: Wire, chunk: int
) -> None:
    calls: list[Block] = [
        ToolUse("read", {"path": "a/b", "deep": [1, None]}, id="first"),
        ToolUse("list", id="second"),
    ]
    wire.otherwise(Turn("I look", [Thinking("Where could it be?"), *calls], chunk=chunk))
    whole = answered(client)
    with client.messages.stream(**ASKED) as stream:
        pieced = stream.get_final_message()
    told = [block.to_dict(exclude_none=True) for block in whole.content]
    assert [block["type"] for block in told] == ["text", "thinking", "tool_use", "tool_use"]
    assert told[2]["input"] == {"path": "a/b", "deep": [1, None]}
    assert [block.to_dict(exclude_none=True) for block in pieced.content] == told
    assert whole.stop_reason == pieced.stop_reason == "tool_use"


def test_each_call_of_a_tool_gets_an_id_of_its_own(client: Anthropic, wire: Wire) -> None:
    wire.otherwise(EVERYTHING)
    messages = [answered(client) for _ in range(2)]
    calls = [block.id for message in messages for block in message.content if block.type == "tool_use"]
    assert len(set(calls)) == 4


def test_usage_is_told_at_the_start_and_at_the_end(client: Anthropic, wire: Wire) -> None:
    wire.answer(EVERYTHING)
    events: list[RawMessageStreamEvent] = []
    streamed(client, events)
    first, last = events[0], events[-2]
    assert first.type == "message_start"
    assert last.type == "message_delta"
    begun, ended = first.message.usage, last.usage
    assert (begun.input_tokens, begun.cache_read_input_tokens, begun.cache_creation_input_tokens) == (
        11,
        5,
        3,
    )
    assert (ended.input_tokens, ended.output_tokens) == (11, 7)


def test_a_stream_has_the_events_of_the_api_in_their_order(client: Anthropic, wire: Wire) -> None:
    wire.answer(Turn("ab", [Thinking("c", "sig")], chunk=1))
    raw = client.messages.with_raw_response.create(stream=True, **ASKED).http_response.read().decode()
    named = [line.removeprefix("event: ") for line in raw.splitlines() if line.startswith("event: ")]
    block = ["content_block_start", "content_block_delta", "content_block_delta", "content_block_stop"]
    assert named == ["message_start", "ping", *block, *block, "message_delta", "message_stop"]
    assert '"signature_delta", "signature": "sig"' in raw


@pytest.mark.parametrize("reason", ["max_tokens", "pause_turn", "refusal", "model_context_window_exceeded"])
def test_a_turn_stops_for_the_reason_given(client: Anthropic, wire: Wire, reason: Any) -> None:  # noqa: ANN401 - one of a Literal
    wire.answer(Turn("partly", stop_reason=reason, model="claude-other"))
    message = answered(client)
    assert (message.stop_reason, message.model) == (reason, "claude-other")


def test_an_input_that_is_a_text_goes_out_as_it_is(client: Anthropic, wire: Wire) -> None:
    wire.answer(Turn(blocks=[ToolUse("read", '{"path": "a', id="mine")], stop_reason="max_tokens"))
    events: list[RawMessageStreamEvent] = []
    streamed(client, events)
    deltas = [event.delta for event in events if event.type == "content_block_delta"]
    assert "".join(d.partial_json for d in deltas if d.type == "input_json_delta") == '{"path": "a'
    starts = [event.content_block for event in events if event.type == "content_block_start"]
    assert [block.id for block in starts if block.type == "tool_use"] == ["mine"]


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    ("status", "kind", "error"),
    [
        (400, "invalid_request_error", anthropic.BadRequestError),
        (401, "authentication_error", anthropic.AuthenticationError),
        (403, "permission_error", anthropic.PermissionDeniedError),
        (404, "not_found_error", anthropic.NotFoundError),
        (429, "rate_limit_error", anthropic.RateLimitError),
        (500, "api_error", anthropic.InternalServerError),
        (529, "overloaded_error", anthropic.InternalServerError),
    ],
)
def test_an_error_has_its_status_type_message_and_request_id(
    client: Anthropic,
    wire: Wire,
    status: int,
    kind: str,
    error: type[anthropic.APIStatusError],
    *,
    stream: bool,
) -> None:
    details = {"error_code": "because"}
    wire.answer(Turn(trouble=Trouble(status=status, kind=kind, message="No.", details=details)))
    with pytest.raises(error, match=r"No\.") as caught:
        client.messages.create(stream=stream, **ASKED)
    assert (caught.value.status_code, caught.value.type) == (status, kind)
    assert (caught.value.request_id, caught.value.error_code) == ("req_000001", "because")
    assert wire.billed.turns == 0


@pytest.mark.parametrize("wait", ["7", None])
def test_a_rate_limit_says_when_to_come_again_or_does_not(
    client: Anthropic, wire: Wire, wait: str | None
) -> None:
    wire.answer(Turn(trouble=Trouble(status=429, kind="rate_limit_error", retry_after=wait)))
    with pytest.raises(anthropic.RateLimitError) as caught:
        client.messages.create(**ASKED)
    assert caught.value.response.headers.get("retry-after") == wait


def test_an_error_may_come_in_the_middle_of_a_stream(client: Anthropic, wire: Wire) -> None:
    wire.answer(Turn(LONG, trouble=Trouble(at="middle")))
    events: list[RawMessageStreamEvent] = []
    with pytest.raises(anthropic.APIStatusError) as caught:
        streamed(client, events)
    assert (caught.value.status_code, caught.value.type) == (200, "overloaded_error")
    assert texts(events) == LONG[:100]


@pytest.mark.parametrize(
    ("cut", "error"),
    [
        ("close", httpx2.RemoteProtocolError),
        ("reset", httpx2.ReadError),
    ],
)
def test_a_connection_may_be_cut_in_the_middle(
    client: Anthropic, wire: Wire, cut: Literal["close", "reset"], error: type[Exception]
) -> None:
    wire.answer(Turn(LONG, trouble=Trouble(cut=cut)))
    events: list[RawMessageStreamEvent] = []
    with pytest.raises(error):
        streamed(client, events)
    assert texts(events) == LONG[:100]
    assert wire.billed.turns == 0


def test_a_stream_may_end_before_its_message(client: Anthropic, wire: Wire) -> None:
    wire.answer(Turn(LONG, trouble=Trouble(cut="end")))
    assert streamed(client)[-1] == "content_block_delta"


@pytest.mark.parametrize("cut", ["close", "reset"])
def test_a_connection_may_be_cut_before_any_answer(
    client: Anthropic, wire: Wire, cut: Literal["close", "reset"]
) -> None:
    wire.answer(Turn(trouble=Trouble(cut=cut, at="start")))
    with pytest.raises(anthropic.APIConnectionError):
        client.messages.create(**ASKED)


def test_a_stream_may_stall_until_the_client_leaves(client: Anthropic, wire: Wire) -> None:
    wire.answer(Turn(LONG, trouble=Trouble(stall=True)))
    events: list[RawMessageStreamEvent] = []
    with pytest.raises(httpx2.ReadTimeout):
        streamed(client.with_options(timeout=0.5), events)
    assert texts(events) == LONG[:100]
    assert said(answered(client)) == "done"


def test_an_answer_may_stall_before_it_begins(client: Anthropic, wire: Wire) -> None:
    wire.answer(Turn(trouble=Trouble(stall=True, at="start")))
    with pytest.raises(anthropic.APITimeoutError):
        client.with_options(timeout=0.5).messages.create(**ASKED)


@pytest.mark.usefixtures("no_leaks")
def test_the_server_ends_while_an_answer_stalls_and_leaves_nothing_behind(sdk: Anthropic) -> None:
    with ThreadPoolExecutor(1) as pool:
        with Wire() as wire, sdk.copy(http_client=anthropic.DefaultHttpxClient(base_url=wire.url)) as own:
            wire.answer(Turn(LONG, trouble=Trouble(stall=True)))
            stalled = pool.submit(streamed, own.with_options(base_url=wire.url))
            wire.wait_for(1)
        assert isinstance(stalled.exception(10), httpx2.TransportError | anthropic.APIConnectionError)


@pytest.mark.parametrize("stream", [True, False])
def test_the_rest_of_a_turn_waits_for_its_gate(client: Anthropic, wire: Wire, *, stream: bool) -> None:
    gate = threading.Event()
    wire.answer(Turn(LONG, gate=gate))
    if stream:
        with client.messages.create(stream=True, **ASKED) as events:
            first = [next(events) for _ in range(7)]
            assert (texts(first), wire.billed.turns) == (LONG[:100], 0)
            gate.set()
            assert texts([*first, *events]) == LONG
    else:
        with ThreadPoolExecutor(1) as pool:
            answer = pool.submit(answered, client)
            wire.wait_for(1)
            assert not answer.done()
            gate.set()
            assert said(answer.result(10)) == LONG


def test_turns_are_served_in_order_and_an_empty_queue_says_done(client: Anthropic, wire: Wire) -> None:
    wire.answer(Turn("one"), Turn("two"))
    wire.answer(Turn("three"))
    answers = [said(answered(client)) for _ in range(5)]
    assert answers == ["one", "two", "three", "done", "done"]
    wire.otherwise(Turn("again"))
    assert [said(answered(client)) for _ in range(2)] == ["again", "again"]


def test_a_queue_of_its_own_serves_the_requests_that_contain_its_text(client: Anthropic, wire: Wire) -> None:
    wire.answer(Turn("for anybody"))
    wire.answer(Turn('for "builder"'), to='a "builder"')
    wire.otherwise(Turn("always for the tester"), to="tester")
    ask = ['you, a "builder"', "a tester", "nobody", 'a "builder" again']
    answers = [said(answered(client, text)) for text in ask]
    assert answers == ['for "builder"', "always for the tester", "for anybody", "done"]
    assert len(wire.wait_for(2, to='a "builder"')) == 2


def test_a_turn_may_be_made_of_the_request_that_it_answers(client: Anthropic, wire: Wire) -> None:
    def echo(request: Received) -> Turn:
        return Turn(" ".join(f"{call}={result}" for call, result in request.results.items()))

    wire.answer(echo)
    results = [
        {"type": "tool_result", "tool_use_id": "a", "content": "plain"},
        {"type": "tool_result", "tool_use_id": "b", "content": [{"type": "text", "text": "in a block"}]},
    ]
    calls = [{"type": "tool_use", "id": name, "name": "read", "input": {"n": 1}} for name in ("a", "b")]
    messages: list[dict[str, Any]] = [
        *ASKED["messages"],
        {"role": "assistant", "content": calls},
        {"role": "user", "content": results},
    ]
    assert said(answered(client, messages=messages)) == "a=plain b=in a block"


def test_what_goes_wrong_in_making_a_turn_is_raised_at_the_end(sdk: Anthropic) -> None:
    def broken(_: Received) -> Turn:
        raise LookupError("no such result")

    with ExitStack() as stack:
        wire = stack.enter_context(Wire())
        wire.answer(broken)
        with pytest.raises(anthropic.BadRequestError, match="no such result"):
            answered(sdk.with_options(base_url=wire.url))
        with pytest.raises(LookupError, match="no such result"):
            stack.close()


def test_a_title_is_answered_outside_the_queues(client: Anthropic, wire: Wire) -> None:
    wire.answer(Turn("for the work"))
    assert said(answered(client, system="You are a title generator.")) == "A short title"
    assert said(answered(client)) == "for the work"
    assert (len(wire.requests), len(wire.others), wire.billed.turns) == (1, 1, 1)


def test_everything_received_is_recorded(client: Anthropic, wire: Wire) -> None:
    client.messages.create(system="Be kind", **ASKED)
    client.with_options(default_headers={"x-api-key": "another"}).messages.create(**ASKED)
    first, second = wire.requests
    assert (first.method, first.path, first.body["model"]) == ("POST", "/v1/messages", "claude-opus-5-5")
    assert first.headers["authorization"] == "Bearer test"
    assert second.headers["x-api-key"] == "another"
    assert (first.system, "Good day" in first.text) == ("Be kind", True)
    assert first.at <= second.at


def test_tokens_are_counted_and_models_listed(client: Anthropic, wire: Wire) -> None:
    counted = client.messages.count_tokens(model="m", messages=ASKED["messages"])
    assert counted.input_tokens == wire.others[0].tokens > 0
    model = next(iter(client.models.list()))
    assert (model.max_input_tokens, model.max_tokens) == (1_000_000, 128_000)
    assert client.models.retrieve(model.id) == model
    with pytest.raises(anthropic.NotFoundError):
        client.models.retrieve("claude-of-nowhere")
    assert [request.path for request in wire.others][-1] == "/v1/models/claude-of-nowhere"
    assert wire.requests == []


def test_a_place_unknown_is_told_and_recorded(wire: Wire) -> None:
    with httpx2.Client() as plain:
        assert plain.head(f"{wire.url}/api/hello").status_code == 200
        lost = plain.get(f"{wire.url}/nowhere")
    assert (lost.status_code, lost.json()["error"]["type"]) == (404, "not_found_error")
    assert [request.path for request in wire.others] == ["/api/hello", "/nowhere"]


@pytest.mark.req("000:2.2.3")
def test_a_request_beyond_the_window_is_refused_and_counts_as_a_violation(sdk: Anthropic) -> None:
    with Wire(window=1_000) as wire:
        client = sdk.with_options(base_url=wire.url)
        assert said(answered(client, "short")) == "done"
        assert wire.violations == []
        with pytest.raises(anthropic.BadRequestError, match="prompt is too long: "):
            answered(client, "x " * 9_000)
        assert [request.body["messages"][0]["content"] for request in wire.violations] == ["x " * 9_000]
        assert len(wire.forgiven()) == 1
        assert client.models.retrieve("claude-opus-5-5").max_input_tokens == 1_000


@pytest.mark.req("000:2.2.3")
def test_the_window_holds_the_answer_too(sdk: Anthropic) -> None:
    asked = "one word and another " * 20
    with Wire(window=1_000) as wire:
        client = sdk.with_options(base_url=wire.url)
        messages: list[Any] = [{"role": "user", "content": asked}]
        tokens = client.messages.count_tokens(model="m", messages=messages).input_tokens
        assert answered(client, asked, max_tokens=1_000 - tokens).usage.input_tokens == tokens
        with pytest.raises(anthropic.BadRequestError, match=rf"exceed context limit: {tokens} \+ "):
            answered(client, asked, max_tokens=1_001 - tokens)
        assert (len(wire.violations), len(wire.forgiven())) == (1, 1)


def test_bedrock_finds_the_same_under_its_prefix(wire: Wire) -> None:
    wire.answer(EVERYTHING)
    with AnthropicBedrockMantle(
        skip_auth=True, aws_region="us-east-1", base_url=f"{wire.url}/anthropic", max_retries=0
    ) as client:
        message = client.messages.create(stream=True, **ASKED)
        assert [event.type for event in message][-1] == "message_stop"
    assert wire.requests[0].path == "/anthropic/v1/messages"


def test_only_turns_sent_to_their_end_are_billed(client: Anthropic, wire: Wire) -> None:
    wire.answer(EVERYTHING, Turn(LONG, trouble=Trouble(cut=True)), EVERYTHING)
    streamed(client)
    with pytest.raises(httpx2.RemoteProtocolError):
        streamed(client)
    client.messages.create(**ASKED)
    billed = wire.billed
    assert (billed.turns, billed.input_tokens, billed.output_tokens) == (2, 22, 14)
    assert (billed.cache_read, billed.cache_write) == (10, 6)


def test_what_an_answer_tells_of_its_use_is_counted_however_it_ends(client: Anthropic, wire: Wire) -> None:
    wire.answer(
        EVERYTHING,
        Turn(LONG, input_tokens=7, trouble=Trouble(cut=True)),
        Turn(trouble=Trouble()),
        replace(EVERYTHING, model="another"),
    )
    streamed(client)
    with pytest.raises(httpx2.RemoteProtocolError):
        streamed(client)
    with pytest.raises(anthropic.InternalServerError):
        streamed(client)
    client.messages.create(**ASKED)
    first, cut, last = (wire.told[number] for number in (1, 2, 4))
    assert 3 not in wire.told
    assert (first.tokens_in, first.tokens_out, first.cache_read, first.whole) == (11, 7, 5, True)
    assert (cut.tokens_in, cut.tokens_out, cut.whole) == (7, 1, False)
    assert (first.model, last) == ("claude-opus-5-5", replace(first, model="another"))


def test_requests_that_do_not_come_are_not_waited_for_for_ever(client: Anthropic, wire: Wire) -> None:
    client.messages.create(**ASKED)
    with pytest.raises(TimeoutError, match=r"1 of 2 requests came in 0\.05 s"):
        wire.wait_for(2, timeout_s=0.05)


@pytest.mark.anyio
async def test_many_streams_are_served_side_by_side(wire: Wire) -> None:
    gate, ends = threading.Event(), list[str]()
    wire.otherwise(Turn(LONG, chunk=3, gate=gate))

    async def one(client: anthropic.AsyncAnthropic) -> None:
        async with await client.messages.create(stream=True, **ASKED) as stream:
            ends.append([event.type async for event in stream][-1])

    async with anthropic.AsyncAnthropic(api_key="test", base_url=wire.url, max_retries=0) as client:
        with anyio.fail_after(30):
            async with anyio.create_task_group() as group:
                for _ in range(16):
                    group.start_soon(one, client)
                await wire.received(16)
                gate.set()
    assert ends == ["message_stop"] * 16
