"""Outputs: what a step or a call results in, kept inline or beside the snapshot."""

from dataclasses import dataclass

from pydantic import JsonValue


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """A large value kept beside the snapshot: sha256 in hex, size, media type, name and first characters."""

    digest: str
    size: int
    media_type: str = "application/json"
    name: str | None = None
    excerpt: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """A result: JSON kept inline, or the artifact that holds the JSON."""

    value: JsonValue = None
    artifact: Artifact | None = None
