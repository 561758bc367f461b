"""Where OpenCode's attempts go, by the model's provider and the environment; no file is read."""

from collections.abc import Mapping

from engine_mcp.core.route import Route
from engine_mcp.runners import routes

_ANTHROPIC = "anthropic"
_LOGIN = "opencode login"


def route(runtime: str, env: Mapping[str, str], model: str | None) -> Route:
    """The route of an attempt in the environment `env`; without a model it is taken for one of Anthropic's.

    What a user's configuration says otherwise of a provider is not seen.
    """
    provider = _ANTHROPIC if model is None else model.partition("/")[0]
    endpoint, pool = _goes_to(provider, env)
    return Route(
        runtime=runtime, family=routes.FAMILY, endpoint=endpoint, pool=pool, model=routes.bare(model)
    )


def _goes_to(provider: str, env: Mapping[str, str]) -> tuple[str, str]:
    match provider:
        case "anthropic":
            key = env.get("ANTHROPIC_API_KEY")
            return routes.endpoint_of(env.get("ANTHROPIC_BASE_URL")), routes.key_pool(key) if key else _LOGIN
        case "amazon-bedrock":
            return routes.bedrock(env)
        case "google-vertex-anthropic":
            return routes.vertex(env, "GOOGLE_VERTEX_LOCATION", "GOOGLE_CLOUD_LOCATION", "VERTEX_LOCATION")
        case _:
            return provider, _LOGIN
