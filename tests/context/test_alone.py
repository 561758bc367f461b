"""The rules and the counter of context can be had without the engine around them."""

import subprocess
import sys

import pytest

PROGRAM = """
import sys
from engine_mcp.context.tokens import Tokens
from engine_mcp.core.context.pins import pins_of, standing
from engine_mcp.core.context.view import view
from engine_mcp.core.summary import Shape

messages = [{"role": "user", "content": "You must never touch vendor/."}]
assert view(messages, Shape(), "") == messages
assert [pin.text for pin in standing(pins_of(messages)).pins] == ["You must never touch vendor/."]
assert Tokens().count("some words") > 0
around = ("engine_mcp.engine", "engine_mcp.server", "anthropic")
loaded = [name for name in sys.modules if name.startswith(around)]
assert not loaded, loaded
"""


@pytest.mark.req("001:L25")
def test_context_works_without_engine_server_and_sdk() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
