"""What runtimes put into their routes alike, so that those on the same part of one share its name."""

import hashlib
from collections.abc import Mapping
from urllib.parse import urlsplit

ANTHROPIC = "api.anthropic.com"
FAMILY = "claude"
"""The runtimes that edit files on Claude's models and can replace each other."""
_SHOWN = 8


def endpoint_of(url: str | None) -> str:
    """The host of a base URL, with its port where one is named; Anthropic's without one."""
    try:
        parts = urlsplit((url or "").strip())
        host, port = parts.hostname, parts.port
    except ValueError:  # it is no URL
        return ANTHROPIC
    if host is None:
        return ANTHROPIC
    return host if port is None else f"{host}:{port}"


def key_pool(key: str) -> str:
    """The account that a key pays from, without telling the key."""
    return f"key {hashlib.sha256(key.encode(errors='surrogateescape')).hexdigest()[:_SHOWN]}"


def bedrock(environ: Mapping[str, str]) -> tuple[str, str]:
    """Endpoint and account of Anthropic's models in AWS."""
    region = environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION") or "us-east-1"
    return f"bedrock {region}", f"aws {region}"


def vertex(environ: Mapping[str, str], *names: str) -> tuple[str, str]:
    """Endpoint and account of Anthropic's models in Google's cloud; `names` may say the region."""
    region = next((environ[name] for name in names if environ.get(name)), "global")
    return f"vertex {region}", "gcp"


def bare(model: str | None) -> str | None:
    """The name of a model without that of its provider."""
    return None if model is None else model.rpartition("/")[2]
