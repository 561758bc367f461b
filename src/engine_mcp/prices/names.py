"""Names of models: whose price list holds a model, and under which name, by what a runtime calls it."""

import re
from dataclasses import dataclass

_WINDOW = re.compile(r"\[1m\]$")
"""The long window, which is a tier of the price and no other model."""
_ARN = re.compile(r"arn:aws[a-z-]*:bedrock:[^/]*:(?:foundation-model|inference-profile)/([^/]+)")
_BEDROCK = re.compile(r"(?:[a-z]{2,6}(?:-gov)?\.)?anthropic\.claude-.+")
_VERTEX = re.compile(r"claude-[^/]+@(?:20\d{6}|default)")
_RELEASED = re.compile(r"[-@](?:20\d{6}|20\d\d-\d\d-\d\d|default)(?=-v\d|:|$)")
_CLOSED = (
    (re.compile(r"claude-[^/]+"), "anthropic"),
    (re.compile(r"(?:gpt-(?!oss)[^/]+|o\d[^/]*|codex-[^/]+)"), "openai"),
    (re.compile(r"gemini-[^/]+"), "google"),
    (re.compile(r"grok-[^/]+"), "x-ai"),
)
"""Models that only their maker names so; open weights have as many prices as hosts and are left out."""
_PROVIDERS = {
    "amazon-bedrock": "aws",
    "azure-cognitive-services": "azure",
    "cloudflare-workers-ai": "cloudflare",
    "fireworks-ai": "fireworks",
    "google-vertex": "google",
    "google-vertex-anthropic": "google",
    "novita-ai": "novita",
    "togetherai": "together",
    "xai": "x-ai",
}
"""What OpenCode calls a provider, where genai-prices calls it something else."""


@dataclass(frozen=True, slots=True)
class Name:
    """A model on the price list of a provider, both in lower case; neither need exist there."""

    provider: str
    model: str


def named(reported: str) -> Name | None:
    """Where the price of a model stands; None where its name does not say who is paid for it.

    An alias such as `sonnet` says so as little as the name of a model that many providers host.
    """
    text = _plain(reported)
    if text.startswith("arn:"):
        found = _ARN.fullmatch(text)
        return Name("aws", found[1]) if found else None
    if _BEDROCK.fullmatch(text):
        return Name("aws", text)
    if _VERTEX.fullmatch(text):
        return Name("google", text)
    provider, slash, model = text.partition("/")
    if slash:
        return Name(_PROVIDERS.get(provider, provider), model) if provider and model else None
    return next((Name(maker, text) for closed, maker in _CLOSED if closed.fullmatch(text)), None)


def undated(model: str) -> str:
    """A model without the date of its release: `claude-opus-5-5` for `claude-opus-5-5-20261001`."""
    return _RELEASED.sub("", model)


def spellings(reported: str) -> tuple[str, ...]:
    """What else a user may call a model, the nearest first: plain, with and without its provider, undated.

    A model of its maker is the same with and without the maker's name before it; one of another
    provider is not.
    """
    plain, name = _plain(reported), named(reported)
    found = [reported.strip().casefold(), plain]
    if name is not None:
        found.append(f"{name.provider}/{name.model}")
        if named(name.model) == name:
            found.append(name.model)
    return tuple(dict.fromkeys([*found, *map(undated, found)]))


def _plain(reported: str) -> str:
    return _WINDOW.sub("", reported.strip().casefold())
