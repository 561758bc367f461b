"""What a sandbox makes of a machine that gives it less: it says so, and goes on as soon as it can."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

REPORT = """
import anyio
from engine_mcp.core.script import Script
from engine_mcp.sandbox.pool import SandboxPool
from tests.sandbox.hosts import Host

async def main():
    async with SandboxPool() as pool:
        result = await pool.run(Script(code="return 1+1"), Host())
        print(result.value, result.isolation.uid, result.isolation.seccomp)

anyio.run(main)
"""

NO_DESCRIPTORS = """
import os, resource
import anyio
from engine_mcp.core.script import Script
from engine_mcp.errors import SandboxUnavailable
from engine_mcp.sandbox.pool import SandboxOptions, SandboxPool
from engine_mcp.sandbox.stock import StockOptions
from tests.sandbox.hosts import Host

async def attempt(pool):
    try:
        return (await pool.run(Script(code="return 1+1"), Host())).value
    except SandboxUnavailable as error:
        return error.code

async def main():
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    none = (max(int(name) for name in os.listdir("/dev/fd")), limit[1])
    async with SandboxPool(SandboxOptions(stock=StockOptions(ready=0))) as pool:
        for allowed in (none, limit, none, limit):
            resource.setrlimit(resource.RLIMIT_NOFILE, allowed)
            print(await attempt(pool))

anyio.run(main)
"""


def said(program: str, *before: str) -> list[str]:
    """The lines that a program prints which uses the sandbox in a process of its own."""
    ran = subprocess.run(
        [*before, sys.executable, "-c", program],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=40,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.splitlines()


def namespaces() -> bool:
    """Whether this user may make a user namespace with the tool for it."""
    tool = shutil.which("unshare")
    return tool is not None and subprocess.run([tool, "-Ur", "true"], check=False).returncode == 0


@pytest.mark.crash
@pytest.mark.skipif(not namespaces(), reason="needs user namespaces")
def test_a_root_that_cannot_become_another_user_runs_scripts_and_reports_it() -> None:
    assert said(REPORT, "unshare", "-Ur") == ["2 0 True"]


@pytest.mark.crash
@pytest.mark.skipif(not Path("/dev/fd").is_dir(), reason="needs a way to see descriptors")
def test_without_descriptors_it_is_unavailable_and_works_again_with_them() -> None:
    assert said(NO_DESCRIPTORS) == ["sandbox_unavailable", "2", "sandbox_unavailable", "2"]
