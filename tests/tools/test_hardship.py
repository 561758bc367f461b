"""Tools in a process that may not do what they are asked: no space, no right, no descriptors."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import JsonValue

from tests.house.sources import ROOT
from tests.tools.workplace import Workplace, workplace

CHILD = """
import json, os, resource, sys
import anyio, anyio.to_thread, anyio._backends._asyncio
from pathlib import Path
from engine_mcp.tools.stock import BUILT_IN
from tests.tools.workplace import Keeper

order = json.load(sys.stdin)
tools = {tool.spec.name: tool for tool in BUILT_IN}

async def main():
    # The loop and its threads are there before anything is taken away.
    await anyio.to_thread.run_sync(os.getpid)
    for name, limit in order["limits"].items():
        resource.setrlimit(getattr(resource, "RLIMIT_" + name), (limit, limit))
    if os.geteuid() == 0 and order["nobody"]:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
    result = await tools[order["tool"]].execute(order["arguments"], Keeper(Path(order["root"])))
    failure = result.failure
    print(json.dumps([failure.code, failure.message] if failure else ["", result.value]))

anyio.run(main)
"""


@pytest.fixture
def work() -> Iterator[Workplace]:
    """A project that a process without rights can find its way to."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield workplace(Path(folder))


def call(
    work: Workplace,
    tool: str,
    *,
    nobody: bool = False,
    limits: dict[str, int] | None = None,
    **arguments: JsonValue,
) -> tuple[str, JsonValue]:
    """The failure's code and message, or nothing and the value, of a call in a process of its own."""
    order = {
        "tool": tool,
        "arguments": arguments,
        "root": str(work.root),
        "limits": limits or {},
        "nobody": nobody,
    }
    told = subprocess.run(
        [sys.executable, "-c", CHILD],
        input=json.dumps(order),
        cwd=ROOT,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert told.returncode == 0, told.stderr
    code, said = json.loads(told.stdout)
    return code, said


@pytest.mark.req("002:L213")
def test_a_file_that_cannot_be_written_to_its_end_stays_what_it_was(work: Workplace) -> None:
    (work.root / "a").write_text("old")
    code, said = call(work, "files.write", limits={"FSIZE": 1 << 20}, path="a", content="x" * (3 << 20))
    assert code == "storage"
    assert "'a': " in str(said)
    assert (work.root / "a").read_text() == "old"
    assert list(work.everything()) == ["project/a", "outside/secret.txt"]


@pytest.mark.req("002:L215")
def test_a_folder_without_write_permission_says_so(work: Workplace) -> None:
    (work.root / "closed").mkdir(mode=0o555)
    for path in ("closed/new", "closed/in/new"):
        code, said = call(work, "files.write", nobody=True, path=path, content="new", make_dirs=True)
        assert code == "permission"
        assert repr(path) in str(said)
    assert list(work.everything()) == ["project/closed", "outside/secret.txt"]


@pytest.mark.req("002:L215")
def test_a_file_without_write_permission_is_not_replaced(work: Workplace) -> None:
    work.root.chmod(0o777)
    (work.root / "a").write_text("old")
    (work.root / "a").chmod(0o444)
    code, said = call(work, "files.write", nobody=True, path="a", content="new")
    assert (code, said) == ("permission", "'a': Permission denied.")
    assert (work.root / "a").read_text() == "old"


@pytest.mark.parametrize("tool", ["files.read", "files.list", "files.stat"])
def test_what_may_not_be_read_says_so(work: Workplace, tool: str) -> None:
    (work.root / "closed").mkdir()
    (work.root / "closed" / "a").mkdir()
    (work.root / "closed").chmod(0)
    code, said = call(work, tool, nobody=True, path="closed/a")
    assert (code, said) == ("permission", "'closed/a': Permission denied.")
    (work.root / "closed").chmod(0o700)


def test_folders_that_may_not_be_read_are_counted_and_the_others_listed(work: Workplace) -> None:
    (work.root / "closed").mkdir(mode=0)
    (work.root / "open").mkdir()
    assert call(work, "files.list", nobody=True, recursive=True) == (
        "",
        {
            "entries": [
                {"path": "closed", "type": "directory", "size": 0},
                {"path": "open", "type": "directory", "size": 0},
            ],
            "truncated": False,
            "skipped": 1,
        },
    )


def test_too_few_descriptors_is_a_failure_that_may_pass(work: Workplace) -> None:
    (work.root / "a").touch()
    code, said = call(work, "files.read", limits={"NOFILE": 3}, path="a")
    assert (code, said) == ("tool_transient", "'a': Too many open files.")
