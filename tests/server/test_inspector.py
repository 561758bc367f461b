"""The MCP Inspector lists and calls the tools of the server that `mcp.json` names, as a user would."""

import fcntl
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.caches import user_cache
from tests.house.sources import ROOT

INSPECTOR, NODE = "@modelcontextprotocol/inspector@2.12.0", "node@22.23.3"
LAUNCHER = "node_modules/@modelcontextprotocol/inspector/clients/launcher/build/index.js"
INSTALL_S, RUN_S = 240, 60
TOOL_ERROR = 5

Inspect = Callable[..., subprocess.CompletedProcess[str]]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(INSTALL_S + RUN_S)]


def cache() -> Path:
    return user_cache() / "engine-mcp-tests" / "inspector"


def install(place: Path) -> str | None:
    """Install the Inspector and the Node it needs, unless they are there; why it cannot be done."""
    npm = shutil.which("npm")
    if npm is None:
        return "there is no npm"
    place.mkdir(parents=True, exist_ok=True)
    with (place / "lock").open("w") as lock:  # several processes may run these tests
        fcntl.flock(lock, fcntl.LOCK_EX)
        return None if (place / "complete").exists() else installed(npm, place)


def installed(npm: str, place: Path) -> str | None:
    options = ["--no-audit", "--no-fund", "--loglevel=error", "--fetch-retries=0"]
    command = [npm, "install", "--prefix", str(place), *options, INSPECTOR, NODE]
    try:
        ran = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_S, check=False)
    except subprocess.TimeoutExpired:
        return f"npm did not install it within {INSTALL_S} seconds"
    if ran.returncode != 0:
        return f"npm could not install it: {ran.stderr.strip()[-300:]}"
    (place / "complete").touch()
    return None


@pytest.fixture(scope="module")
def inspect(tmp_path_factory: pytest.TempPathFactory) -> Inspect:
    """Run the Inspector's command line beside a copy of `mcp.json`."""
    place = cache()
    if (reason := install(place)) is not None:
        pytest.skip(f"the MCP Inspector is not there: {reason}")
    project = tmp_path_factory.mktemp("project")
    shutil.copy(ROOT / "mcp.json", project)
    (project / ".venv").symlink_to(Path(sys.prefix))
    binaries = place / "node_modules/.bin"
    environ = {
        "HOME": str(project),
        "PATH": f"{binaries}{os.pathsep}{os.environ['PATH']}",
        "MCP_INSPECTOR_SECRET_STORE": "memory",
    }
    command = [str(binaries / "node"), str(place / LAUNCHER), "--cli", "--config", "mcp.json"]

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*command, "--server", "engine", "--format", "json", "-q", *arguments],
            cwd=project,
            env=environ,
            capture_output=True,
            text=True,
            timeout=RUN_S,
            check=False,
        )

    return run


def result(ran: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)["result"]


@pytest.mark.req("000:L304", "003:L52")
@pytest.mark.parametrize("era", ["legacy", "modern"])
def test_the_inspector_finds_nothing_to_complain_about(inspect: Inspect, era: str) -> None:
    ran = inspect("--protocol-era", era, "--method", "tools/list", "--strict")
    assert [tool["name"] for tool in result(ran)["tools"]] == [
        "engine_execute",
        "engine_status",
        "engine_budget",
        "engine_interrupt",
        "engine_resume",
    ]
    assert "Warning" not in ran.stderr
    assert "Error" not in ran.stderr


@pytest.mark.req("000:L304", "002:L187")
@pytest.mark.parametrize("era", ["legacy", "modern"])
def test_the_inspector_calls_the_tools(inspect: Inspect, era: str) -> None:
    def call(tool: str, **arguments: object) -> subprocess.CompletedProcess[str]:
        asked = ["--tool-name", tool, "--tool-args-json", json.dumps(arguments)]
        return inspect("--protocol-era", era, "--method", "tools/call", *asked)

    done = result(call("engine_execute", code="return input.n + 1", context={"n": 41}))["structuredContent"]
    assert (done["status"], done["output"]) == ("completed", 42)
    name = done["execution_id"]
    assert result(call("engine_status", execution_id=name, cursor=0))["structuredContent"]["cursor"] > 3
    assert name in json.dumps(result(call("engine_status")))
    account = result(call("engine_budget", execution_id=name))["structuredContent"]
    assert account["entries"][0]["status"] == "succeeded"
    if era == "legacy":  # how calls travel is what differs, not what they do
        return
    for tool in ("engine_interrupt", "engine_resume"):
        refused = call(tool, execution_id=name)
        assert refused.returncode == TOOL_ERROR
        assert json.loads(refused.stdout)["result"]["structuredContent"]["code"] == "execution_finished"
    slow = [{"id": "a", "code": "await sleep(60000)"}]
    begun = result(call("engine_execute", steps=slow, wait_s=1))["structuredContent"]
    assert begun["status"] == "running"
    again = result(
        call("engine_resume", execution_id=begun["execution_id"], steps=[{"id": "a", "code": "1"}])
    )
    assert again["structuredContent"]["status"] == "completed"
