"""The catalog names the models of each runtime; the settings may change every line of it."""

import re

import pytest
from pydantic import JsonValue

from engine_mcp.core.choice import Tier
from engine_mcp.errors import InvalidArgument, UnknownModel
from engine_mcp.prompts.catalog import RUNTIMES, models

STOCK = models({})
TIERS = {Tier.FAST: "claude-haiku-5-5", Tier.STANDARD: "claude-sonnet-5-5", Tier.STRONG: "claude-opus-5-5"}
IDS = (
    *("claude-fable-5-2", "claude-mythos-5-2", "claude-fable-5-1", "claude-fable-5", "claude-opus-5-5"),
    *("claude-opus-5", "claude-opus-4-8", "claude-opus-4-7", "claude-opus-4-6", "claude-opus-4-5"),
    *("claude-opus-4-1", "claude-opus-4-0", "claude-sonnet-5-5", "claude-sonnet-5", "claude-sonnet-4-6"),
    *("claude-sonnet-4-5", "claude-haiku-5-5", "claude-haiku-4-5"),
)


@pytest.mark.req("003:L12b")
@pytest.mark.parametrize("tier", Tier)
def test_every_tier_has_a_model_on_every_runtime_of_ours(tier: Tier) -> None:
    assert STOCK.of_tier(tier, "claude-code") == TIERS[tier]
    assert STOCK.of_tier(tier, "api") == TIERS[tier]
    assert STOCK.of_tier(tier, "opencode") == f"anthropic/{TIERS[tier]}"
    assert STOCK.of_tier(tier, "command:codex") is None


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("haiku", "claude-haiku-5-5"),
        ("Sonnet", "claude-sonnet-5-5"),
        ("OPUS", "claude-opus-5-5"),
        ("fable", "claude-fable-5-2"),
        *zip(IDS, IDS, strict=True),
    ],
)
def test_a_model_has_one_name_on_every_runtime(name: str, model: str) -> None:
    assert STOCK.named(name, "claude-code") == STOCK.named(name, "api") == model
    assert (
        STOCK.named(name, "opencode") == STOCK.named(f"anthropic/{model}", "opencode") == f"anthropic/{model}"
    )


@pytest.mark.parametrize(
    ("runtime", "wanted"),
    [
        ("claude-code", "claude-sonnet-5-5[1m]"),
        ("claude-code", "opus[1m]"),
        ("claude-code", "claude-opus-4-5-20251101"),
        ("claude-code", "us.anthropic.claude-opus-5-5-v1:0"),
        ("claude-code", "us-gov.anthropic.claude-sonnet-4-5-20250929-v1:0[1m]"),
        ("claude-code", "claude-opus-4-5@20251101"),
        ("api", "anthropic.claude-haiku-4-5-20251001-v1:0"),
        ("api", "global.anthropic.claude-opus-5-5-v1"),
        ("api", "claude-sonnet-5-5[1m]"),
        (
            "api",
            "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc123",
        ),
        ("opencode", "anthropic/claude-haiku-4-5-20251001"),
        ("opencode", "anthropic/claude-opus-5-5-fast"),
        ("opencode", "openai/gpt-5.2-codex"),
        ("opencode", "openrouter/qwen/qwen3-coder:free"),
        ("opencode", "amazon-bedrock/us.anthropic.claude-opus-5-5-v1:0"),
        ("command", "gpt-5"),
        ("command:gemini", "whatever it takes"),
    ],
)
def test_ids_of_other_kinds_are_taken_as_they_are(runtime: str, wanted: str) -> None:
    assert STOCK.named(wanted, runtime) == wanted


@pytest.mark.parametrize(
    ("runtime", "wanted", "hint"),
    [
        ("claude-code", "gpt-5", "There are"),
        ("claude-code", "sonet", "Did you mean 'sonnet'?"),
        ("claude-code", "claude-opus-5-6-7", "Did you mean 'claude-opus-5-5'?"),
        ("claude-code", "--dangerously-skip-permissions", "There are"),
        ("api", "opus[1m]", "Did you mean 'opus'?"),
        ("api", "anthropic/claude-opus-5-5", "Did you mean 'claude-opus-5-5'?"),
        ("opencode", "anthropic/claude-oups-5-5", "Did you mean 'claude-opus-5-5'?"),
        ("opencode", "gpt-5", "There are"),
        ("command", "--help", "There are none"),
        ("command", "", "There are none"),
    ],
)
def test_an_unknown_model_is_an_error_with_the_nearest_name(runtime: str, wanted: str, hint: str) -> None:
    with pytest.raises(UnknownModel) as caught:
        STOCK.named(wanted, runtime)
    assert caught.value.hint.startswith(hint)


def test_the_settings_change_a_line_and_leave_the_others() -> None:
    changed = models(
        {
            "tiers": {"fast": {"api": "mine-1"}, "strong": {"command": "big"}},
            "names": {"Mine": {"api": "mine-1"}, "opus": {"api": "claude-opus-5"}},
            "patterns": {"api": [r"mine-\d+"]},
        }
    )
    assert changed.of_tier(Tier.FAST, "api") == "mine-1"
    assert changed.of_tier(Tier.FAST, "claude-code") == "claude-haiku-5-5"
    assert changed.of_tier(Tier.STRONG, "command:x") == "big"
    assert changed.named("mine", "api") == "mine-1"
    assert changed.named("opus", "api") == "claude-opus-5"
    assert changed.named("opus", "claude-code") == "claude-opus-5-5"
    assert changed.named("mine-77", "api") == "mine-77"
    assert changed.named("claude-opus-4-5-20251101", "api") == "claude-opus-4-5-20251101"
    assert models({}) == STOCK
    assert models({"tiers": None}) == STOCK


@pytest.mark.parametrize(
    ("overrides", "key", "hint"),
    [
        ({"tier": {}}, "models.tier", "Did you mean 'tiers'?"),
        ({"tiers": []}, "models.tiers", ""),
        ({"tiers": {"fats": {}}}, "models.tiers.fats", "Did you mean 'fast'?"),
        ({"tiers": {"fast": "x"}}, "models.tiers.fast", ""),
        ({"tiers": {"fast": {"claude": "x"}}}, "models.tiers.fast.claude", "Did you mean 'claude-code'?"),
        ({"tiers": {"fast": {"command:codex": "x"}}}, "models.tiers.fast.command:codex", "Did you"),
        ({"tiers": {"fast": {"api": 5}}}, "models.tiers.fast.api", ""),
        ({"names": {"n": {"api": ""}}}, "models.names.n.api", ""),
        ({"names": {"n": {"api": "--x"}}}, "models.names.n.api", ""),
        ({"names": {"n": {"api": "a b"}}}, "models.names.n.api", ""),
        ({"names": {"n": {"api": "x" * 201}}}, "models.names.n.api", ""),
        ({"names": {"n": ["x"]}}, "models.names.n", ""),
        ({"patterns": {"api": "x"}}, "models.patterns.api", ""),
        ({"patterns": {"api": ["a", 1]}}, "models.patterns.api[1]", ""),
        ({"patterns": {"api": ["a", "("]}}, "models.patterns.api[1]", ""),
        ({"patterns": {"x": []}}, "models.patterns.x", "There are claude-code, opencode, api, command."),
    ],
)
def test_an_override_that_cannot_be_taken_is_named_by_its_key(
    overrides: dict[str, JsonValue], key: str, hint: str
) -> None:
    with pytest.raises(InvalidArgument) as caught:
        models(overrides)
    assert caught.value.field == key
    assert caught.value.message.startswith(key)
    assert caught.value.hint.startswith(hint)


def test_every_name_of_the_file_is_small_and_every_line_complete() -> None:
    assert all(name == name.casefold() for name in STOCK.names)
    assert all(ids.keys() == {"claude-code", "api", "opencode"} for ids in STOCK.names.values())
    assert STOCK.patterns.keys() == set(RUNTIMES)
    assert all(re.compile(pattern) for patterns in STOCK.patterns.values() for pattern in patterns)
