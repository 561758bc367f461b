"""Where the attempts of the runtimes that replace each other go, by the environment alone."""

import json
from pathlib import Path

import pytest

from engine_mcp.core.route import Domain, Route
from engine_mcp.runners.claude_code import ClaudeCodeRunner
from engine_mcp.runners.opencode import OpenCodeRunner
from engine_mcp.runners.routes import endpoint_of, key_pool

KEY = "sk-ant-a-key-for-tests"
POOL = key_pool(KEY)


def claude(model: str | None = None, **environ: str) -> Route:
    return ClaudeCodeRunner(environ={"HOME": "/nowhere", **environ}).route(model)


def opencode(model: str | None = None, **environ: str) -> Route:
    return OpenCodeRunner(environ={"HOME": "/nowhere", **environ}).route(model)


def test_a_pool_is_named_after_its_key_without_telling_it() -> None:
    assert POOL == key_pool(KEY) != key_pool("another")
    assert POOL.startswith("key ")
    assert len(POOL) == len("key ") + 8
    assert KEY not in POOL


@pytest.mark.parametrize(
    ("url", "host"),
    [
        (None, "api.anthropic.com"),
        ("", "api.anthropic.com"),
        ("nonsense", "api.anthropic.com"),
        ("http://[", "api.anthropic.com"),
        ("https://Gateway.example/v1/", "gateway.example"),
        ("http://user:secret@127.0.0.1:8080", "127.0.0.1:8080"),
    ],
)
def test_an_endpoint_is_the_host_of_the_base_url(url: str | None, host: str) -> None:
    assert endpoint_of(url) == host


def test_two_runtimes_on_one_key_and_model_share_everything_but_the_harness() -> None:
    one = claude("claude-sonnet-5-5", ANTHROPIC_API_KEY=KEY)
    other = opencode("anthropic/claude-sonnet-5-5", ANTHROPIC_API_KEY=KEY)
    assert one.family == other.family
    shared = (Domain.ENDPOINT, Domain.POOL, Domain.MODEL)
    assert [one.part(domain) for domain in shared] == [other.part(domain) for domain in shared]
    assert one.part(Domain.HARNESS) != other.part(Domain.HARNESS)


def test_a_login_of_one_runtime_is_no_login_of_the_other() -> None:
    assert claude().pool == "claude plan"
    assert opencode().pool == "opencode login"
    assert claude().endpoint == opencode().endpoint == "api.anthropic.com"


def test_a_gateway_is_an_endpoint_of_its_own() -> None:
    environ = {"ANTHROPIC_BASE_URL": "https://gateway.example:8443/v1", "ANTHROPIC_API_KEY": KEY}
    assert claude("m", **environ).endpoint == "gateway.example:8443"
    assert opencode("anthropic/m", **environ).endpoint == "gateway.example:8443"


@pytest.mark.parametrize(
    ("environ", "endpoint", "pool"),
    [
        ({"CLAUDE_CODE_USE_BEDROCK": "1", "AWS_REGION": "eu-west-1"}, "bedrock eu-west-1", "aws eu-west-1"),
        ({"CLAUDE_CODE_USE_VERTEX": "true", "CLOUD_ML_REGION": "us-east5"}, "vertex us-east5", "gcp"),
        ({"CLAUDE_CODE_USE_VERTEX": "1"}, "vertex global", "gcp"),
        ({"CLAUDE_CODE_USE_FOUNDRY": "1"}, "foundry", "azure"),
        ({"CLAUDE_CODE_USE_BEDROCK": "0"}, "api.anthropic.com", POOL),
    ],
)
def test_claude_code_goes_through_a_cloud_where_it_is_switched_to_one(
    environ: dict[str, str], endpoint: str, pool: str
) -> None:
    route = claude("m", ANTHROPIC_API_KEY=KEY, **environ)
    assert (route.endpoint, route.pool) == (endpoint, pool)


@pytest.mark.parametrize(
    ("model", "endpoint", "pool"),
    [
        ("amazon-bedrock/anthropic.m", "bedrock us-west-2", "aws us-west-2"),
        ("google-vertex-anthropic/m", "vertex global", "gcp"),
        ("fake/m1", "fake", "opencode login"),
    ],
)
def test_opencode_goes_where_the_provider_of_its_model_is(model: str, endpoint: str, pool: str) -> None:
    route = opencode(model, ANTHROPIC_API_KEY=KEY, AWS_REGION="us-west-2")
    assert (route.endpoint, route.pool) == (endpoint, pool)
    assert route.model == model.partition("/")[2]


def test_a_token_pays_where_there_is_no_key_and_a_helper_where_there_is_neither(tmp_path: Path) -> None:
    assert claude(ANTHROPIC_AUTH_TOKEN=KEY).pool == POOL
    settings = {"apiKeyHelper": "print-key", "env": {"ANTHROPIC_BASE_URL": "http://gateway.example"}}
    (tmp_path / "settings.json").write_text(json.dumps(settings), encoding="utf-8")
    route = claude(CLAUDE_CONFIG_DIR=str(tmp_path))
    assert (route.endpoint, route.pool) == ("gateway.example", "key helper")


def test_who_tells_what_it_cost_and_keeps_to_its_share() -> None:
    runners = ClaudeCodeRunner(environ={}), OpenCodeRunner(environ={})
    assert [runner.tells_cost for runner in runners] == [True, False]
    assert [len(runner.bounds) for runner in runners] == [1, 0]
