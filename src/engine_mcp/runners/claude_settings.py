"""Claude Code's settings: what is kept of the user's, which a step must not be widened by."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from glob import escape
from pathlib import Path
from typing import cast

from pydantic import JsonValue

from engine_mcp.runners.surroundings import surroundings

PASSED = (
    *("ANTHROPIC_*", "CLAUDE_CODE_USE_*", "CLAUDE_CODE_SKIP_*", "CLAUDE_CODE_OAUTH_TOKEN"),
    *("CLAUDE_CODE_API_KEY_HELPER_TTL_MS", "CLAUDE_CODE_CLIENT_*", "CLAUDE_CONFIG_DIR"),
    *("AWS_*", "CLOUD_ML_REGION", "VERTEX_REGION_*", "GOOGLE_*", "CLOUDSDK_*", "AZURE_*"),
    *("API_TIMEOUT_MS", "CLAUDE_CODE_MAX_OUTPUT_TOKENS", "MAX_THINKING_TOKENS"),
    *("DISABLE_*", "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "IS_SANDBOX"),
)
"""What Claude Code needs to log in and to reach its provider, and nothing of a session around us."""
_LOGIN = ("apiKeyHelper", "awsAuthRefresh", "awsCredentialExport", "gcpAuthRefresh", "model")
"""The settings that say who pays and for which model; the others (rules, hooks, plugins) stay outside."""


@dataclass(frozen=True, slots=True)
class UserSettings:
    """The part of the user's settings that a step keeps: environment and settings of the same names."""

    env: Mapping[str, str] = field(default_factory=dict[str, str])
    login: Mapping[str, JsonValue] = field(default_factory=dict[str, JsonValue])


def config_folder(environ: Mapping[str, str]) -> Path:
    """Where Claude Code keeps its settings and sessions."""
    given = environ.get("CLAUDE_CONFIG_DIR")
    return Path(given) if given else Path(environ.get("HOME", "/")) / ".claude"


def user_settings(environ: Mapping[str, str]) -> UserSettings:
    """Read them; none where the file is not there or cannot be read. Blocks."""
    try:
        found = json.loads((config_folder(environ) / "settings.json").read_bytes())
    except (OSError, ValueError, RecursionError):
        return UserSettings()
    if not isinstance(found, dict):
        return UserSettings()
    settings = cast("dict[str, JsonValue]", found)
    given = settings.get("env")
    texts = (
        {name: text for name, text in given.items() if isinstance(text, str)}
        if isinstance(given, dict)
        else {}
    )
    login = {name: settings[name] for name in _LOGIN if name in settings}
    return UserSettings(surroundings(texts, PASSED), login)


def has_session(environ: Mapping[str, str], session: str) -> bool:
    """Whether a transcript of the session is there, of whatever project. Blocks."""
    return next(config_folder(environ).glob(f"projects/*/{escape(session)}.jsonl"), None) is not None
