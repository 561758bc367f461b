"""A CLI that answers as a test tells it, declared as the runtime `command` of a shell."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path

from pydantic import JsonValue

from tests.cli.shell import Shell

PROGRAM = """\
import json, os, sys, time
if "--version" in sys.argv:
    sys.exit(print("1.0"))
sys.stdin.read()
here = os.path.dirname(os.path.abspath(__file__))
replies = json.load(open(os.path.join(here, "replies.json")))
asked = os.path.join(here, "asked")
turn = os.path.getsize(asked) if os.path.exists(asked) else 0
with open(asked, "a") as file:
    file.write(".")
reply = replies[min(turn, len(replies) - 1)]
if "error" in reply:
    at = int(time.time())
    sys.exit(reply["error"].replace("SOON", str(at + 5)).replace("LATER", str(at + 9000)))
print(json.dumps({"text": "fine", "in": 1000, "out": 100, **reply}))
"""
FINE = {"usd": 0.25}
UNTIL_SOON = {"error": "usage limit reached|SOON"}
UNTIL_LATER = {"error": "usage limit reached|LATER"}
NO_CREDIT = {"error": "Your credit balance is too low."}
NO_ACCESS = {"error": "Invalid API key. Please log in."}


def agent(shell: Shell, *replies: Mapping[str, JsonValue], tells_cost: bool = True) -> dict[str, str]:
    """Have the runtime `command` give these replies, the last one for ever; gives the variables for it.

    `command:other` is the same CLI by another name.
    """
    folder = shell.home / "agent"
    folder.mkdir(exist_ok=True)
    program = folder / "agent.py"
    program.write_text(PROGRAM)
    (folder / "replies.json").write_text(json.dumps(replies))
    usage: dict[str, JsonValue] = {"tokens_in": "in", "tokens_out": "out"}
    if tells_cost:
        usage["cost_usd"] = "usd"
    template: dict[str, JsonValue] = {
        "argv": [sys.executable, str(program)],
        "modes": {"read": [], "write": []},
        "output": "json",
        "answer": "text",
        "usage": usage,
    }
    config = shell.home / ".config" / "engine-mcp" / "config.yaml"
    config.parent.mkdir(parents=True, exist_ok=True)
    config.write_text(json.dumps({"commands": {"default": template, "other": template}}))
    return {"ENGINE_MCP_RUNTIMES_ORDER": "command"}


def turns(shell: Shell) -> int:
    """How often the CLI was asked."""
    asked: Path = shell.home / "agent" / "asked"
    return asked.stat().st_size if asked.exists() else 0
