"""Questions to OpenCode that cost nothing: its version, its models, and how it is configured."""

import json
import re
from collections.abc import Mapping
from typing import Any

import anyio

from engine_mcp.core.tool import Health
from engine_mcp.runners.child import Program, Stalled, started
from engine_mcp.runners.surroundings import found, surroundings

TESTED = ((1, 18), (2, 0))
"""The first version that was tested, and the first that is not."""
ANSWER_S = 15.0
KEEP_S = 60.0
INSTALL = "Install it with `npm install -g opencode-ai@1.18`."
LOG_IN = "Run `opencode auth login`, or set the key of a provider in the engine's environment."
PROVIDERS = (
    *("ANTHROPIC_*", "OPENAI_*", "GOOGLE_*", "GEMINI_*", "AWS_*", "OPENROUTER_*", "AZURE_*", "VERTEX_*"),
    *("GROQ_*", "MISTRAL_*", "DEEPSEEK_*", "XAI_*", "TOGETHER_*", "CEREBRAS_*", "FIREWORKS_*", "COHERE_*"),
    *("PERPLEXITY_*", "MOONSHOT_*", "ZHIPU_*", "DASHSCOPE_*", "NVIDIA_*", "CLOUDFLARE_*", "OLLAMA_*"),
    *("HF_TOKEN", "OPENCODE_API_KEY", "OPENCODE_CONFIG", "OPENCODE_CONFIG_DIR"),
    *("OPENCODE_DISABLE_*", "OPENCODE_MODELS_*"),
)
_OWN = "opencode"
_FREE = re.compile(r"opencode/(.+-free|big-pickle)")
"""What OpenCode lists for everybody, without any account."""
_VERSION = re.compile(r"(\d+)\.(\d+)\.\d+\S*")


class Asking:
    """Asks an OpenCode as the engine's environment has it; answers come within `ANSWER_S`."""

    def __init__(self, environ: Mapping[str, str], binary: str) -> None:
        self._given, self._binary = environ, binary
        self._lock = anyio.Lock()
        self._known: tuple[float, frozenset[str]] | None = None

    @property
    def environ(self) -> dict[str, str]:
        """The environment of every OpenCode: the user's settings and keys, and nothing of the project."""
        return {
            **surroundings(self._given, PROVIDERS),
            "OPENCODE_DISABLE_AUTOUPDATE": "1",
            "OPENCODE_DISABLE_LSP_DOWNLOAD": "1",
            "OPENCODE_DISABLE_PROJECT_CONFIG": "1",
        }

    @property
    def home(self) -> str:
        """The user's home."""
        return self._given.get("HOME", "/")

    async def servers(self) -> frozenset[str]:
        """The names of the MCP servers that the user has configured; asked again after a minute.

        Raises OSError where OpenCode cannot be started or does not tell: they would all be started.
        """
        async with self._lock:
            now = anyio.current_time()
            if self._known is None or now - self._known[0] >= KEEP_S:
                config = await self._config()
                if config is None:
                    raise OSError("It does not tell its configuration; see `opencode debug config`")
                self._known = (now, frozenset(config.get("mcp") or {}))
            return self._known[1]

    async def health(self) -> Health:
        """Whether there is an OpenCode of a tested version that has a provider."""
        path = found(self._binary, self._given)
        if path is None:
            return Health(usable=False, detail=f"There is no {self._binary} in the PATH.", remedy=INSTALL)
        version = (await self._answer("--version")).strip()
        match = _VERSION.fullmatch(version)
        if match is None or not TESTED[0] <= (int(match.group(1)), int(match.group(2))) < TESTED[1]:
            told = f"{path} has version {version or 'unknown'}; versions from 1.18 and below 2 are tested."
            return Health(usable=False, version=version, detail=told, remedy=INSTALL)
        providers = await self._providers()
        if not providers:
            told = f"{path} has no provider; without one it may wait for ever."
            return Health(usable=False, version=version, detail=told, remedy=LOG_IN)
        return Health(usable=True, version=version, detail=f"{path} with {', '.join(providers)}")

    async def _providers(self) -> tuple[str, ...]:
        """The providers that have models, without OpenCode's own where that is only what it gives away."""
        models = [line.strip() for line in (await self._answer("models")).splitlines() if "/" in line]
        names = {model.partition("/")[0] for model in models}
        chosen = str((await self._config() or {}).get("model") or "")
        paid = any(model.startswith(f"{_OWN}/") and not _FREE.fullmatch(model) for model in models)
        if not paid and not chosen.startswith(f"{_OWN}/"):
            names -= {_OWN}
        return tuple(sorted(names))

    async def _config(self) -> dict[str, Any] | None:
        """The user's configuration as OpenCode resolves it, its secrets masked; None if it is not told."""
        try:
            config = json.loads(await self._answer("debug", "config"))
        except (ValueError, RecursionError):
            return None
        return config if isinstance(config, dict) else None  # pyright: ignore[reportUnknownVariableType] - its keys are looked up one by one

    async def _answer(self, *arguments: str) -> str:
        """What a command writes to stdout; empty where it fails or takes too long. Raises OSError."""
        program = Program(
            argv=(self._binary, *arguments),
            cwd=self.home,
            env={**self.environ, "OPENCODE_DISABLE_MODELS_FETCH": "1"},
            mark=f"opencode {' '.join(arguments)}",
        )
        async with started(program) as child:
            with anyio.move_on_after(ANSWER_S):
                await child.end_input()
                try:
                    lines = [line.text async for line in child.lines(ANSWER_S)]
                except Stalled:
                    return ""
                return b"\n".join(lines).decode(errors="replace") if await child.wait() == 0 else ""
        return ""
