"""Names of models: as the runtimes report them, and never the price of another model."""

import pytest

from engine_mcp.core.budget import Usage
from engine_mcp.prices.book import GenaiPrices
from engine_mcp.prices.names import Name, named, spellings, undated
from engine_mcp.prompts.catalog import models
from tests.prices.listing import MILLION, NOW

PROFILE = "arn:aws:bedrock:us-east-1:123456789012"


@pytest.mark.req("003:L46")
@pytest.mark.parametrize(
    ("model", "usd"),
    [
        ("claude-opus-5-5", "4"),
        ("claude-opus-5-5-20261001", "4"),
        ("claude-opus-5.5", "4"),
        ("Claude-Opus-5-5", "4"),
        (" claude-opus-5-5 ", "4"),
        ("claude-opus-4-20250514", "15"),
        ("claude-sonnet-4-20250514", "3"),
        ("claude-haiku-4-5-20251001", "1"),
        ("claude-3-5-haiku-latest", "0.8"),
        ("anthropic/claude-sonnet-5-5", "2"),
        ("claude-sonnet-5-5[1m]", "2"),
        ("anthropic/claude-sonnet-5-5[1m]", "2"),
        ("claude-opus-5-5@20261001", "4"),
        ("claude-opus-5-5@default", "4"),
        ("google-vertex-anthropic/claude-opus-5-5@default", "4"),
        ("us.anthropic.claude-opus-5-5-v1:0", "4.4"),
        ("us.anthropic.claude-opus-4-5-20251101-v1:0", "5.5"),
        ("eu.anthropic.claude-sonnet-5-5-20261001-v1:0", "2.2"),
        ("anthropic.claude-opus-5-5", "4.4"),
        ("global.anthropic.claude-opus-5-5", "4"),
        ("us.anthropic.claude-opus-5-5[1m]", "4.4"),
        ("amazon-bedrock/us.anthropic.claude-opus-5-5-v1:0", "4.4"),
        (f"{PROFILE}:inference-profile/us.anthropic.claude-opus-5-5-v1:0", "4.4"),
        ("arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-opus-5-5", "4.4"),
        ("claude-opus-5-5-fast", "8"),
        ("anthropic/claude-opus-4-8-fast", "10"),
        ("openai/gpt-5", "1.25"),
        ("gpt-5-2025-08-07", "1.25"),
        ("azure/gpt-5", "1.25"),
        ("google/gemini-2.5-pro", "2.5"),
        ("gemini-2.5-pro-preview-05-06", "2.5"),
        ("xai/grok-4", "3"),
        ("openrouter/anthropic/claude-opus-5.5", "4"),
        ("github-copilot/claude-opus-4.8-fast", "10"),
    ],
)
def test_a_name_finds_its_price(book: GenaiPrices, model: str, usd: str) -> None:
    assert book.quote(model, Usage(tokens_in=MILLION), NOW).micros == float(usd) * MILLION


@pytest.mark.parametrize(
    "model",
    [
        "",
        "/",
        "sonnet",
        "opus",
        "haiku",
        "opus[1m]",
        "claude-opus",
        "claude-opus-9",
        "claude-opus-4-10",  # its beginning is that of 4.1
        "claude-opus-4-8-turbo",
        "claude-opus-4-7-fast",  # which has no fast mode on the list
        "claude-opus-5-50",
        "claude-mythos-5-1",
        "my-claude-opus-5-5",
        "gpt-5-something-else",
        "gpt-oss-120b",  # many host it
        "kimi-k2",
        "llama-3.3-70b",
        "ca.anthropic.claude-opus-5-5",
        "xus.anthropic.claude-opus-4-5",
        "opencode/claude-opus-5-5",
        "my-proxy/claude-opus-5-5",
        "openai-compatible/gpt-5",
        "azure-claude/claude-opus-5-5",
        "anthropic/anthropic/claude-opus-5-5",
        "anthropic/",
        "/claude-opus-5-5",
        f"{PROFILE}:application-inference-profile/abc123",
        "arn:aws:sagemaker:us-east-1:1:endpoint/claude-opus-5-5",
    ],
)
def test_a_name_that_is_not_sure_has_no_price(book: GenaiPrices, model: str) -> None:
    assert book.quote(model, Usage(tokens_in=MILLION), NOW).micros is None


def test_providers_are_called_as_the_list_calls_them() -> None:
    assert named("xai/grok-4") == Name("x-ai", "grok-4")
    assert named("togetherai/moonshotai/Kimi-K2") == Name("together", "moonshotai/kimi-k2")
    assert named("somebody/something") == Name("somebody", "something")


@pytest.mark.parametrize(
    ("dated", "plain"),
    [
        ("claude-opus-5-5-20261001", "claude-opus-5-5"),
        ("gpt-5-2025-08-07", "gpt-5"),
        ("claude-opus-5-5@default", "claude-opus-5-5"),
        ("us.anthropic.claude-opus-5-5-20261001-v1:0", "us.anthropic.claude-opus-5-5-v1:0"),
        ("claude-opus-5-5-202610011", "claude-opus-5-5-202610011"),
    ],
)
def test_a_date_is_taken_off_a_name(dated: str, plain: str) -> None:
    assert undated(dated) == plain


def test_a_makers_model_is_the_same_with_and_without_its_maker() -> None:
    wanted = {"claude-opus-5-5", "anthropic/claude-opus-5-5"}
    assert set(spellings("claude-opus-5-5")) == wanted
    assert set(spellings("anthropic/claude-opus-5-5")) == wanted
    assert wanted < set(spellings("Claude-Opus-5-5-20261001[1m]"))


def test_a_model_elsewhere_is_not_that_of_its_maker() -> None:
    assert "claude-opus-5-5" not in spellings("azure/claude-opus-5-5")
    assert "claude-opus-5.5" not in spellings("openrouter/anthropic/claude-opus-5.5")


@pytest.mark.req("003:L46b")
def test_every_model_that_can_be_chosen_by_name_has_a_price(book: GenaiPrices) -> None:
    known = models({})
    for runtime in ("claude-code", "opencode", "api"):
        for name in sorted(known.ids(runtime)):
            assert book.quote(name, Usage(tokens_in=1_000), NOW).micros, name
