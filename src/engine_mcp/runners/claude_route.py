"""Where Claude Code's attempts go, by the environment that it gets; nothing that keeps a login is read."""

from collections.abc import Mapping

from engine_mcp.core.route import Route
from engine_mcp.runners import routes
from engine_mcp.runners.claude_settings import UserSettings

_PLAN = "claude plan"
_OFF = frozenset({"", "0", "false", "no", "off"})


def route(runtime: str, env: Mapping[str, str], settings: UserSettings, model: str | None) -> Route:
    """The route of an attempt in the environment `env`; the clouds come before keys, these before a plan."""
    endpoint, pool = _cloud(env) or (routes.endpoint_of(env.get("ANTHROPIC_BASE_URL")), _pool(env, settings))
    return Route(
        runtime=runtime, family=routes.FAMILY, endpoint=endpoint, pool=pool, model=routes.bare(model)
    )


def _cloud(env: Mapping[str, str]) -> tuple[str, str] | None:
    if _switched_on(env, "CLAUDE_CODE_USE_BEDROCK"):
        return routes.bedrock(env)
    if _switched_on(env, "CLAUDE_CODE_USE_VERTEX"):
        return routes.vertex(env, "CLOUD_ML_REGION")
    if _switched_on(env, "CLAUDE_CODE_USE_FOUNDRY"):
        return "foundry", "azure"
    return None


def _pool(env: Mapping[str, str], settings: UserSettings) -> str:
    key = env.get("ANTHROPIC_API_KEY") or env.get("ANTHROPIC_AUTH_TOKEN")
    if key:
        return routes.key_pool(key)
    return "key helper" if settings.login.get("apiKeyHelper") else _PLAN


def _switched_on(env: Mapping[str, str], name: str) -> bool:
    return env.get(name, "").strip().lower() not in _OFF
