"""Models are found by name, by id or by pattern; an unknown one is told with its nearest neighbour."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine_mcp.core.choice import Tier
from engine_mcp.core.models import Models
from engine_mcp.errors import UnknownModel

MODELS = Models(
    tiers={Tier.FAST: {"api": "small-9", "opencode": "a/small-9"}, Tier.STRONG: {"api": "large-9"}},
    names={
        "small": {"api": "small-9", "opencode": "a/small-9"},
        "large": {"api": "large-9"},
        "other": {"opencode": "b/other"},
    },
    patterns={"api": (r"large-\d+",), "command": (r".+",)},
)


@pytest.mark.parametrize(
    ("wanted", "runtime", "found"),
    [
        ("small", "api", "small-9"),
        ("SMALL", "api", "small-9"),
        ("small", "opencode", "a/small-9"),
        ("small-9", "api", "small-9"),
        ("a/small-9", "opencode", "a/small-9"),
        ("large-12", "api", "large-12"),
        ("anything", "command", "anything"),
        ("anything", "command:codex", "anything"),
    ],
)
def test_a_model_is_found_by_name_id_or_pattern(wanted: str, runtime: str, found: str) -> None:
    assert MODELS.named(wanted, runtime) == found


@pytest.mark.parametrize(
    ("wanted", "runtime", "hint"),
    [
        ("smal", "api", "Did you mean 'small'?"),
        ("LARGR", "api", "Did you mean 'large'?"),
        ("other", "api", "There are large, small."),
        ("xyz", "opencode", "There are other, small."),
        ("large", "opencode", "There are other, small."),
        ("xlarge-12", "api", "Did you mean 'large'?"),
        ("large-12x", "api", "Did you mean 'large'?"),
        ("a/small-9", "api", "Did you mean 'small'?"),
        ("small", "unheard-of", "There are none."),
        ("", "api", "There are large, small."),
    ],
)
def test_an_unknown_model_is_told_with_the_nearest_name(wanted: str, runtime: str, hint: str) -> None:
    with pytest.raises(UnknownModel, match="No model of") as caught:
        MODELS.named(wanted, runtime)
    assert caught.value.field == "model"
    assert caught.value.hint.startswith(hint)


@pytest.mark.parametrize(
    ("tier", "runtime", "found"),
    [
        (Tier.FAST, "api", "small-9"),
        (Tier.FAST, "opencode", "a/small-9"),
        (Tier.STRONG, "opencode", None),
        (Tier.STANDARD, "api", None),
        (Tier.FAST, "command:codex", None),
    ],
)
def test_a_tier_has_a_model_or_leaves_it_to_the_runtime(tier: Tier, runtime: str, found: str | None) -> None:
    assert MODELS.of_tier(tier, runtime) == found


def test_the_ids_of_a_runtime_are_those_of_its_tiers_and_names() -> None:
    assert MODELS.ids("api") == {"small-9", "large-9"}
    assert MODELS.ids("opencode") == {"a/small-9", "b/other"}
    assert MODELS.ids("command") == set()


@given(st.text(max_size=20))
def test_a_name_is_found_or_refused_and_never_made_up(wanted: str) -> None:
    try:
        found = MODELS.named(wanted, "api")
    except UnknownModel:
        return
    assert found in {"small-9", "large-9", wanted}
