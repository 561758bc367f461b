"""Templates that come with the engine, as `ready.yaml` declares them; `{package}` is its directory."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path

import yaml

from engine_mcp.runners.command_template import Template, load

READY = Path(__file__).with_name("ready.yaml")


@cache
def ready() -> Mapping[str, Template]:
    """The templates by name; blocks for the reading of one small file."""
    text = READY.read_text(encoding="utf-8").replace("{package}", str(READY.parent))
    declared: dict[str, object] = yaml.safe_load(text)
    return {name: load(raw) for name, raw in declared.items()}
