"""What every runner promises, shown on a fake of its runtime; `stands/stand.py` says how to take part."""

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from importlib import import_module
from pathlib import Path

import anyio
import psutil
import pytest

from engine_mcp.core.agent import AgentResult
from engine_mcp.core.budget import Usage
from engine_mcp.ports import Runner
from engine_mcp.runners.control import END_S
from engine_mcp.runners.orphans import MARK, MarkSweeper
from tests.runners.driving import PROGRAM, arguments
from tests.runners.host import RecordingHost
from tests.runners.processes import alive, engine, until
from tests.runners.stands.stand import PIECES, PROMPT, REASON, Place, Scenario, Stand, task

STALL_S = 0.5
PATIENCE_S = 20.0
LONGEST_S = 30.0
STOP_S = 12.0
MUTE_S = 2.0
ON_LINUX = Path("/proc/self").exists()
FOUND = sorted(Path(__file__).parent.joinpath("stands").glob("*.py"))
STANDS: list[Stand] = [
    stand
    for path in FOUND
    for stand in getattr(import_module(f"tests.runners.stands.{path.stem}"), "STANDS", ())
]

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("warm_uvloop", "no_leaks")]


def able(*scenarios: Scenario, where: Callable[[Stand], bool] = lambda _: True) -> pytest.MarkDecorator:
    """One case for each stand that can play all the scenarios and of which `where` is true."""
    chosen = [stand for stand in STANDS if stand.scenarios.issuperset(scenarios) and where(stand)]
    return pytest.mark.parametrize("stand", chosen, ids=lambda stand: stand.name)


def programs(stand: Stand) -> bool:
    return stand.program


async def played(
    stand: Stand, scenario: Scenario, place: Place, host: RecordingHost, stall_s: float = PATIENCE_S
) -> AgentResult:
    runner = stand.runner(scenario, place, stall_s)
    with anyio.fail_after(LONGEST_S):
        return await runner.run(task(place, session=stand.session), host)


def left(place: Place) -> list[psutil.Process]:
    """What lives of the attempt, with the sleeper that it started."""
    return alive(task(place).mark, place.note("sleeper"))


# --- what goes in


@able(Scenario.SAYS)
@pytest.mark.both_loops
async def test_the_prompt_arrives_whole(stand: Stand, place: Place, anyio_backend: object) -> None:
    assert anyio_backend
    await played(stand, Scenario.SAYS, place, RecordingHost())
    assert PROMPT.system in place.note("prompt")
    assert PROMPT.text in place.note("prompt")
    assert PROMPT.again not in place.note("prompt")


@able(Scenario.SAYS, where=lambda stand: stand.session is not None)
async def test_a_session_that_was_begun_goes_on(stand: Stand, place: Place) -> None:
    runner, first = stand.runner(Scenario.SAYS, place, PATIENCE_S), RecordingHost()
    with anyio.fail_after(LONGEST_S):
        await runner.run(task(place, session=stand.session), first)
        session = first.sessions[-1] if first.sessions else stand.session
        second = RecordingHost(memory=first.memory)
        result = await runner.run(task(place, session=session, begun=True), second)
    assert result.failure is None
    assert PROMPT.again in place.note("prompt")
    assert PROMPT.text not in place.note("prompt")


@able(Scenario.SAYS, where=lambda stand: stand.session is not None)
async def test_a_session_that_was_only_announced_is_begun(stand: Stand, place: Place) -> None:
    runner = stand.runner(Scenario.SAYS, place, PATIENCE_S)
    with anyio.fail_after(LONGEST_S):
        result = await runner.run(task(place, session=stand.session, begun=True), RecordingHost())
    assert result.failure is None
    assert PROMPT.text in place.note("prompt")


@able(Scenario.SAYS, where=programs)
async def test_a_program_works_in_the_project_and_sees_nothing_of_the_engines_secrets(
    stand: Stand, place: Place
) -> None:
    await played(stand, Scenario.SAYS, place, RecordingHost())
    assert place.note("cwd") == str(place.project.resolve())
    environ = dict(line.split("=", 1) for line in place.note("environ").splitlines())
    assert environ[MARK] == task(place).mark
    assert environ["HOME"] == str(place.home)
    assert not environ.keys() & {"ENGINE_SECRET", "CLAUDECODE", "CLAUDE_CODE_SESSION_ID"}


# --- what comes out


@pytest.mark.req("003:L4", "002:L182")
@able(Scenario.SAYS)
async def test_the_answer_comes_back_with_its_session_and_use(stand: Stand, place: Place) -> None:
    host = RecordingHost()
    result = await played(stand, Scenario.SAYS, place, host)
    assert result.failure is None
    assert result.output == "".join(PIECES)
    assert host.sessions == ([] if stand.opens is None else [stand.opens])
    assert replace(host.used(result), seconds=0.0) == stand.used


@able(Scenario.SAYS, where=lambda stand: stand.streams)
async def test_text_is_told_as_it_is_written(stand: Stand, place: Place) -> None:
    host = RecordingHost()
    await played(stand, Scenario.SAYS, place, host)
    assert host.text == "".join(PIECES)


@able(Scenario.CHATTY)
async def test_much_text_in_a_short_time_is_told_in_order(stand: Stand, place: Place) -> None:
    host = RecordingHost()
    result = await played(stand, Scenario.CHATTY, place, host)
    assert result.failure is None
    told = [word for word in host.text.split() if word.isdigit()]
    assert told == [str(number) for number in range(2000)]


@able(Scenario.HUGE)
async def test_a_huge_line_is_cut_and_harms_nothing_else(stand: Stand, place: Place) -> None:
    before = psutil.Process().memory_info().rss
    result = await played(stand, Scenario.HUGE, place, RecordingHost())
    assert (result.failure.code if result.failure else None) == stand.huge
    assert psutil.Process().memory_info().rss - before < 200 << 20


# --- what goes wrong


@able(Scenario.DIES)
async def test_a_runtime_that_fails_says_why_and_keeps_what_it_wrote(stand: Stand, place: Place) -> None:
    result = await played(stand, Scenario.DIES, place, RecordingHost())
    assert result.failure is not None
    assert result.failure.code == "runtime_failed"
    assert REASON in result.failure.message
    assert result.failure.hint
    if stand.streams:
        assert result.output == PIECES[0]


@able(Scenario.GARBAGE)
async def test_garbage_is_a_failure(stand: Stand, place: Place) -> None:
    result = await played(stand, Scenario.GARBAGE, place, RecordingHost())
    assert result.failure is not None
    assert result.failure.code == "runtime_failed"


@able(Scenario.TRUNCATED)
async def test_an_output_that_breaks_off_is_a_failure(stand: Stand, place: Place) -> None:
    result = await played(stand, Scenario.TRUNCATED, place, RecordingHost())
    assert result.failure is not None
    assert result.failure.code == "runtime_failed"


@able(Scenario.SILENT)
async def test_silence_ends_in_a_stall_and_leaves_no_process(stand: Stand, place: Place) -> None:
    began = time.monotonic()
    result = await played(stand, Scenario.SILENT, place, RecordingHost(), STALL_S)
    assert result.failure is not None
    assert result.failure.code == "runtime_stalled"
    assert time.monotonic() - began < STOP_S
    assert left(place) == []


@able(Scenario.MISSING)
async def test_a_missing_program_is_told_as_missing(stand: Stand, place: Place) -> None:
    result = await played(stand, Scenario.MISSING, place, RecordingHost())
    assert result.failure is not None
    assert result.failure.code == "runtime_missing"
    assert result.usage == Usage()
    assert await unusable(stand.runner(Scenario.MISSING, place, PATIENCE_S))


@able(Scenario.WRONG_VERSION)
async def test_an_untested_version_is_told_with_a_remedy(stand: Stand, place: Place) -> None:
    assert await unusable(stand.runner(Scenario.WRONG_VERSION, place, PATIENCE_S))


async def unusable(runner: Runner) -> bool:
    with anyio.fail_after(LONGEST_S):
        health = await runner.health()
    return not health.usable and bool(health.detail) and bool(health.remedy)


def guard_of(place: Place) -> int:
    """The guard of the attempt: of its processes the one that this process started."""
    mine = {child.pid for child in psutil.Process().children()}
    return next(process.pid for process in left(place) if process.pid in mine)


# --- how it ends


@able(Scenario.SLOW)
@pytest.mark.both_loops
async def test_a_stop_is_quick_and_leaves_no_process_behind(
    stand: Stand, place: Place, anyio_backend: object
) -> None:
    assert anyio_backend
    host = RecordingHost()
    runner = stand.runner(Scenario.SLOW, place, PATIENCE_S)
    began = 0.0
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(runner.run, task(place, session=stand.session), host)
        await until(partial(place.note, "prompt"))
        if stand.streams:
            with anyio.fail_after(LONGEST_S):
                await host.told.wait()
        if stand.program:
            await until(partial(place.note, "sleeper"))
        began = time.monotonic()
        tasks.cancel_scope.cancel()
    assert time.monotonic() - began < STOP_S
    assert left(place) == []
    if stand.streams:
        assert host.text == PIECES[0]


@able(Scenario.SLOW)
async def test_a_stop_at_any_moment_of_the_start_leaves_no_process_behind(stand: Stand, place: Place) -> None:
    for moment_s in (0.0, 0.01, 0.02, 0.04, 0.08, 0.16):
        runner = stand.runner(Scenario.SLOW, place, PATIENCE_S)
        with anyio.move_on_after(moment_s):
            await runner.run(task(place, session=stand.session), RecordingHost())
        assert left(place) == []


@able(Scenario.DEAF)
async def test_a_program_that_is_deaf_to_signals_is_ended_in_time(stand: Stand, place: Place) -> None:
    runner, began = stand.runner(Scenario.DEAF, place, PATIENCE_S), 0.0
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(runner.run, task(place, session=stand.session), RecordingHost())
        await until(partial(place.note, "sleeper"))
        began = time.monotonic()
        tasks.cancel_scope.cancel()
    assert time.monotonic() - began < STOP_S
    assert left(place) == []


@able(Scenario.MUTE)
async def test_a_program_that_closes_its_output_and_lives_on_is_ended(stand: Stand, place: Place) -> None:
    result = await played(stand, Scenario.MUTE, place, RecordingHost(), MUTE_S)
    assert result.failure is not None
    assert result.failure.code in {"runtime_failed", "runtime_stalled"}
    assert left(place) == []


@able(Scenario.HELD)
async def test_an_output_that_another_holds_open_and_writes_to_ends(stand: Stand, place: Place) -> None:
    host = RecordingHost()
    result = await played(stand, Scenario.HELD, place, host)
    assert result.failure is None
    assert result.output == "".join(PIECES)
    assert left(place) == []


@pytest.mark.crash
@able(Scenario.SLOW, where=lambda stand: stand.program and ON_LINUX)
async def test_a_guard_that_is_stopped_does_not_keep_a_runner(stand: Stand, place: Place) -> None:
    runner, began = stand.runner(Scenario.SLOW, place, PATIENCE_S), 0.0
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(runner.run, task(place, session=stand.session), RecordingHost())
        await until(partial(place.note, "sleeper"))
        psutil.Process(guard_of(place)).suspend()
        began = time.monotonic()
        tasks.cancel_scope.cancel()
    assert time.monotonic() - began < STOP_S + END_S
    assert left(place) == []


@pytest.mark.crash
@able(Scenario.SLOW, where=programs)
async def test_no_process_outlives_an_engine_that_was_killed(stand: Stand, place: Place) -> None:
    with engine(PROGRAM, *arguments(stand, place)):
        await until(partial(place.note, "sleeper"))
        assert len(left(place)) >= 3
    await until(lambda: not left(place), STOP_S)


@pytest.mark.crash
@able(Scenario.SLOW, where=programs)
async def test_after_a_sweep_nothing_is_left_of_a_killed_engine(stand: Stand, place: Place) -> None:
    with engine(PROGRAM, *arguments(stand, place)):
        await until(partial(place.note, "sleeper"))
    await MarkSweeper().sweep(place.execution)
    assert left(place) == []


def test_every_stand_has_a_name_of_its_own() -> None:
    names = [stand.name for stand in STANDS]
    assert len(names) == len(set(names)) > 0
