"""What Claude Code used, by model, and its cost: each token once, whatever its lines tell twice."""

import json
from collections.abc import Sequence

from pydantic import JsonValue

from engine_mcp.core.agent import AgentReport
from engine_mcp.core.budget import Usage
from engine_mcp.runners.calls import called
from engine_mcp.runners.claude_lines import Reading
from tests.runners.host import RecordingHost

Said = dict[str, JsonValue]
OPUS, HAIKU = "claude-opus-5-5", "claude-haiku-5-5"


def streamed(**event: JsonValue) -> Said:
    return {"type": "stream_event", "event": event, "parent_tool_use_id": None}


def answer(message: str, model: str, tokens_in: int, tokens_out: int, **more: JsonValue) -> list[Said]:
    """An answer of a model as it streams."""
    usage: Said = {"input_tokens": tokens_in, **more}
    begun: Said = {"id": message, "model": model, "usage": {**usage, "output_tokens": 1}}
    return [
        streamed(type="message_start", message=begun),
        streamed(type="message_delta", usage={**usage, "output_tokens": tokens_out}),
    ]


def billed(tokens_in: int, tokens_out: int, cost: float, **more: JsonValue) -> Said:
    return {
        "inputTokens": tokens_in,
        "outputTokens": tokens_out,
        "costUSD": cost,
        "costBasis": "list",
        **more,
    }


def result(**models: JsonValue) -> Said:
    since: Said = {name.replace("_", "-"): used for name, used in models.items()}
    return {"type": "result", "subtype": "success", "is_error": False, "model_usage_since_last_result": since}


def read(*said: Said) -> list[AgentReport]:
    reading = Reading(fresh=True)
    return [news for line in said for news in reading.take(json.dumps(line).encode())]


def by_model(news: Sequence[AgentReport]) -> dict[str, tuple[int, int]]:
    found: dict[str, tuple[int, int]] = {}
    for report in news:
        before = found.get(report.model, (0, 0))
        found[report.model] = before[0] + report.usage.tokens_in, before[1] + report.usage.tokens_out
    return found


def costs(news: Sequence[AgentReport]) -> list[int]:
    return [report.usage.cost_micros for report in news if report.usage.cost_micros]


def total(news: Sequence[AgentReport]) -> Usage:
    host = RecordingHost()
    host.reports += news
    return host.used()


def test_tokens_are_told_by_model_as_they_stream_and_the_cost_comes_once() -> None:
    news = read(
        *answer("1", OPUS, 1000, 200),
        *answer("2", HAIKU, 50, 5),
        result(claude_opus_5_5=billed(1000, 200, 0.008)),
    )
    assert by_model(news) == {OPUS: (1000, 200), HAIKU: (50, 5)}
    assert costs(news) == [8000]
    assert [report.usage.cost_basis for report in news] == [
        "none",
        "unpriced",
        "none",
        "unpriced",
        "reported",
    ]
    assert total(news).cost_basis == "reported"


def test_the_rest_of_every_model_is_told_apart() -> None:
    news = read(
        *answer("1", OPUS, 1000, 200),
        result(claude_opus_5_5=billed(1500, 220, 0.01), claude_haiku_5_5=billed(70, 7, 0.001)),
    )
    assert by_model(news) == {OPUS: (1500, 220), HAIKU: (70, 7)}
    assert costs(news) == [11_000]
    assert news[-1].usage.cost_basis == "reported"


def test_a_model_that_the_result_names_otherwise_is_not_counted_twice() -> None:
    dated = "claude-opus-5-5-20260901"
    news = read(*answer("1", dated, 1000, 200), result(claude_opus_5_5=billed(1100, 200, 0.008)))
    assert by_model(news) == {dated: (1000, 200), OPUS: (100, 0)}
    several = read(
        *answer("1", dated, 1000, 200),
        result(claude_opus_5_5=billed(1000, 200, 0.008), claude_haiku_5_5=billed(70, 7, 0.001)),
    )
    assert total(several) == Usage(
        tokens_in=1070, tokens_out=207, requests=1, cost_micros=9000, cost_basis="reported"
    )


def test_a_second_result_line_adds_what_is_new() -> None:
    turn = result(claude_opus_5_5=billed(1000, 200, 0.008))
    news = read(*answer("1", OPUS, 1000, 200), turn, *answer("2", OPUS, 1000, 200), turn)
    assert total(news) == Usage(
        tokens_in=2000, tokens_out=400, requests=2, cost_micros=16_000, cost_basis="reported"
    )
    assert costs(news) == [8000, 8000]


def test_a_result_without_models_is_that_of_the_only_one_that_spoke() -> None:
    line: Said = {
        **result(),
        "model_usage_since_last_result": None,
        "usage": {"input_tokens": 1100, "output_tokens": 200},
        "total_cost_usd": 0.01,
    }
    news = read(*answer("1", OPUS, 1000, 200), line)
    assert by_model(news) == {OPUS: (1100, 200)}
    assert costs(news) == [10_000]


def test_what_is_kept_for_an_hour_is_told_as_such() -> None:
    written: Said = {
        "cache_creation_input_tokens": 300,
        "cache_creation": {"ephemeral_5m_input_tokens": 100, "ephemeral_1h_input_tokens": 200},
    }
    more: Said = {"cacheCreationInputTokens": 300, "cacheCreationEphemeral1hInputTokens": 200}
    news = read(*answer("1", OPUS, 10, 2, **written), result(claude_opus_5_5=billed(10, 2, 0.001, **more)))
    used = total(news)
    assert (used.cache_write, used.cache_write_1h) == (300, 200)


def test_a_total_that_leaves_out_what_is_kept_for_an_hour_is_completed() -> None:
    start, end = answer("1", OPUS, 10, 2, cache_creation_input_tokens=300)
    begun = streamed(
        type="message_start",
        message={
            "id": "1",
            "model": OPUS,
            "usage": {
                "cache_creation_input_tokens": 300,
                "cache_creation": {"ephemeral_1h_input_tokens": 200},
            },
        },
    )
    assert start != begun
    used = total(read(begun, end))
    assert (used.cache_write, used.cache_write_1h) == (300, 200)


def call(identifier: str, name: str, **arguments: JsonValue) -> Said:
    return {"type": "tool_use", "id": identifier, "name": name, "input": arguments}


def spoken(*calls: JsonValue) -> Said:
    return {"type": "assistant", "message": {"id": "1", "model": OPUS, "content": list(calls)}}


def test_every_tool_call_is_told_once_by_its_digest() -> None:
    first, again = call("a", "Bash", command="make", timeout=1), call("b", "Bash", timeout=1, command="make")
    other = call("c", "Bash", command="make test")
    news = read(spoken(first), spoken(first), spoken(again, other))
    told = [report.called for report in news if report.called]
    assert told[0] == told[1] == called("Bash", {"command": "make", "timeout": 1})
    assert len(told) == 3
    assert told[2] != told[0]
