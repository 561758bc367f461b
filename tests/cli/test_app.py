"""The composition root: a running engine with a control socket that is its user's alone."""

import os
import socket
import stat
from pathlib import Path

import anyio
import pytest

from engine_mcp.app import edge, running
from engine_mcp.core.budget import Limits, OnExceed
from engine_mcp.core.execution import ExecutionStatus
from engine_mcp.core.plan import Draft
from engine_mcp.errors import StorageError
from engine_mcp.settings import Settings, load
from tests.cli.shell import Shell

WITHIN_S = 20
LONG_AGO = 1_000_000_000

pytestmark = pytest.mark.anyio


@pytest.fixture
def settings(shell: Shell) -> Settings:
    """Settings with short paths and a budget."""
    variables = {"XDG_RUNTIME_DIR": str(shell.home), "ENGINE_MCP_BUDGET_MAX_SECONDS": "50"}
    return load(shell.project, environ=variables)


async def test_what_runs_obeys_the_settings(settings: Settings) -> None:
    with anyio.fail_after(WITHIN_S):
        async with running(settings) as app:
            started = await app.engine.execute(Draft(path=str(settings.project), code="return 1;"))
            ended = await app.engine.wait(started.id, WITHIN_S)
    assert ended.status is ExecutionStatus.COMPLETED
    assert ended.budget == Limits(max_seconds=50)
    assert Path(app.engine.place(started.id)).is_relative_to(settings.state)


async def test_the_control_socket_is_ours_alone_and_gone_afterwards(settings: Settings) -> None:
    settings.runtime.mkdir(mode=0o777)
    settings.runtime.chmod(0o777)
    with anyio.fail_after(WITHIN_S):
        async with running(settings):
            [address] = settings.runtime.iterdir()
            assert stat.S_ISSOCK(address.lstat().st_mode)
            assert stat.S_IMODE(settings.runtime.stat().st_mode) == 0o700
    assert list(settings.runtime.iterdir()) == []


async def test_who_only_looks_needs_no_control_socket(settings: Settings) -> None:
    with anyio.fail_after(WITHIN_S):
        async with running(settings, work=False):
            assert not settings.runtime.exists()


async def test_a_socket_that_a_killed_process_left_is_removed_and_a_live_one_kept(settings: Settings) -> None:
    settings.runtime.mkdir(mode=0o700)
    left, live, fresh = (settings.runtime / f"{number}-x.sock" for number in (1, 2, 3))
    with socket.socket(socket.AF_UNIX) as gone, socket.socket(socket.AF_UNIX) as listening:
        gone.bind(str(left))
        listening.bind(str(live))
        listening.listen()
        with socket.socket(socket.AF_UNIX) as new:
            new.bind(str(fresh))
        for file in (left, live):
            os.utime(file, (LONG_AGO, LONG_AGO))
        with anyio.fail_after(WITHIN_S):
            async with running(settings):
                assert not left.exists()
                assert live.exists()
                assert fresh.exists()


async def test_a_file_where_the_sockets_belong_is_an_error(settings: Settings) -> None:
    settings.runtime.touch()
    with pytest.raises(StorageError, match="The control socket needs"):
        async with running(settings):
            raise AssertionError


async def test_a_link_where_the_sockets_belong_is_not_followed(settings: Settings, tmp_path: Path) -> None:
    settings.runtime.symlink_to(tmp_path)
    with pytest.raises(StorageError, match="belongs to somebody else"):
        async with running(settings):
            raise AssertionError


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a directory to somebody else")
async def test_somebody_else_s_directory_is_not_used(settings: Settings) -> None:
    settings.runtime.mkdir()
    os.chown(settings.runtime, 12345, 12345)
    with pytest.raises(StorageError, match="belongs to somebody else"):
        async with running(settings):
            raise AssertionError


async def test_the_edge_has_the_operator_s_ceilings_and_the_caller_s_default(shell: Shell) -> None:
    plain = edge(load(shell.project, environ={"ENGINE_MCP_SCRIPT_WALL_S": "7"}), OnExceed.WARN)
    assert (plain.ceilings.wall_s, plain.on_exceed) == (7, OnExceed.WARN)
    strict = load(shell.project, environ={"ENGINE_MCP_BUDGET_ON_EXCEED": "pause"})
    assert edge(strict, OnExceed.WARN).on_exceed is OnExceed.PAUSE
