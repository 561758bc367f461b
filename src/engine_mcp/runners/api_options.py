"""The settings of the api runtime, and its way to the provider as the environment gives it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Literal

from engine_mcp.core.route import Route
from engine_mcp.runners.routes import endpoint_of, key_pool

Provider = Literal["anthropic", "bedrock", "bedrock-classic"]
ANTHROPIC_URL = "https://api.anthropic.com"
MANTLE_URL = "https://bedrock-mantle.{region}.api.aws/anthropic"
CLASSIC_URL = "https://bedrock-runtime.{region}.amazonaws.com"
_EXTRA = "pip install engine-mcp[bedrock]"


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiOptions:
    """How the api runtime works.

    `base_url` and `region` None: as the environment says. `max_tokens` bounds one answer, `max_turns`
    the requests of one attempt. `stall_s` is how long a connection may be silent, `streams` how many
    answers may come in at once.
    """

    provider: Provider = "anthropic"
    base_url: str | None = None
    region: str | None = None
    max_tokens: int = 16_000
    max_turns: int = 100
    stall_s: float = 120.0
    streams: int = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """A way to the provider: where it is and what it is shown; `source` is where the latter was found."""

    base_url: str
    source: str
    region: str | None = None
    api_key: str | None = field(default=None, repr=False)
    auth_token: str | None = field(default=None, repr=False)
    aws_access_key: str | None = field(default=None, repr=False)
    aws_secret_key: str | None = field(default=None, repr=False)
    aws_session_token: str | None = field(default=None, repr=False)
    aws_profile: str | None = None


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Why there is no way to the provider, with a code of the catalogue, and what to do about it."""

    code: str
    detail: str
    remedy: str


def access(options: ApiOptions, environ: Mapping[str, str]) -> Access | Obstacle:
    """The way to the provider; nothing but `environ` is looked at, least of all files."""
    if options.provider == "anthropic":
        return _anthropic(options, environ)
    classic = options.provider == "bedrock-classic"
    if classic and find_spec("botocore") is None:
        return Obstacle("runtime_missing", "Classic Bedrock needs botocore, which is not installed.", _EXTRA)
    return _bedrock(options, environ, classic=classic)


def route(options: ApiOptions, environ: Mapping[str, str], way: Access | Obstacle) -> Route:
    """Where attempts go, without their model."""
    if options.provider == "anthropic":
        key = (way.api_key or way.auth_token) if isinstance(way, Access) else None
        endpoint = endpoint_of(_anthropic_url(options, environ))
        pool = key_pool(key) if key else "none"
    else:
        region = _region(options, environ) or "nowhere"
        endpoint, pool = f"bedrock {region}", f"aws {region}"
    return Route(runtime="api", family="api", endpoint=endpoint, pool=pool)


def _anthropic_url(options: ApiOptions, environ: Mapping[str, str]) -> str:
    return options.base_url or environ.get("ANTHROPIC_BASE_URL") or ANTHROPIC_URL


def _region(options: ApiOptions, environ: Mapping[str, str]) -> str | None:
    return options.region or environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION")


def _anthropic(options: ApiOptions, environ: Mapping[str, str]) -> Access | Obstacle:
    base_url = _anthropic_url(options, environ)
    if key := environ.get("ANTHROPIC_API_KEY"):
        return Access(base_url=base_url, source="ANTHROPIC_API_KEY", api_key=key)
    if token := environ.get("ANTHROPIC_AUTH_TOKEN"):
        return Access(base_url=base_url, source="ANTHROPIC_AUTH_TOKEN", auth_token=token)
    return Obstacle(
        "unauthorized",
        "The environment has neither ANTHROPIC_API_KEY nor ANTHROPIC_AUTH_TOKEN.",
        "Set ANTHROPIC_API_KEY where the engine is started.",
    )


def _bedrock(options: ApiOptions, environ: Mapping[str, str], *, classic: bool) -> Access | Obstacle:
    region = _region(options, environ)
    variable = "ANTHROPIC_BEDROCK_BASE_URL" if classic else "ANTHROPIC_BEDROCK_MANTLE_BASE_URL"
    base_url = options.base_url or environ.get(variable)
    if region is None:
        return Obstacle("runtime_unavailable", "No AWS region is set.", "Set AWS_REGION, or the region.")
    url = base_url or (CLASSIC_URL if classic else MANTLE_URL).format(region=region)
    if key := environ.get("AWS_BEARER_TOKEN_BEDROCK"):
        return Access(base_url=url, source="AWS_BEARER_TOKEN_BEDROCK", region=region, api_key=key)
    signed = _signed(url, region, environ)
    if signed is None:
        return Obstacle(
            "unauthorized",
            "The environment has no AWS credentials.",
            "Set AWS_BEARER_TOKEN_BEDROCK, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE.",
        )
    if find_spec("boto3") is None:
        detail = f"Signing requests with {signed.source} needs boto3, which is not installed."
        return Obstacle("runtime_missing", detail, f"{_EXTRA}, or set AWS_BEARER_TOKEN_BEDROCK.")
    return signed


def _signed(url: str, region: str, environ: Mapping[str, str]) -> Access | None:
    key, secret = environ.get("AWS_ACCESS_KEY_ID"), environ.get("AWS_SECRET_ACCESS_KEY")
    if key and secret:
        return Access(
            base_url=url,
            source="AWS_ACCESS_KEY_ID",
            region=region,
            aws_access_key=key,
            aws_secret_key=secret,
            aws_session_token=environ.get("AWS_SESSION_TOKEN"),
        )
    if profile := environ.get("AWS_PROFILE"):
        return Access(base_url=url, source="AWS_PROFILE", region=region, aws_profile=profile)
    return None
