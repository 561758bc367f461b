"""A thousand turns in a window that a fiftieth of them would fill."""

from dataclasses import replace
from pathlib import Path

import pytest

from engine_mcp.core.conversation import SummaryFinished
from engine_mcp.core.execution import ExecutionStatus
from engine_mcp.core.plan import StrategyName
from engine_mcp.core.window import WindowLimits
from engine_mcp.testing import FixedWindows
from tests.context.rig import Room, Talk, summaries
from tests.wire.received import Received
from tests.wire.server import Wire
from tests.wire.turns import Turn

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(300)]
WINDOW, ANSWERS, TURNS = 20_000, 2_000, 1_000
USABLE = WINDOW - ANSWERS - WINDOW // 50
RULE = "You must never open page 13 twice."


@pytest.mark.slow
@pytest.mark.req("000:7.2.2", "000:7.2.3", "000:7.2.4", "000:2.3.4", "001:L11", "001:L37", "000:L291")
async def test_a_thousand_turns_never_make_a_request_that_is_too_long_and_never_lose_what_matters(
    tmp_path: Path,
) -> None:
    talk = Talk(turns=TURNS, thinks=True)
    with Wire(window=WINDOW) as wire:
        wire.otherwise(talk.answer)
        windows = FixedWindows(WINDOW)
        place = Room(project=tmp_path, wire=wire, talk=talk, windows=windows, answers=ANSWERS)
        # Reduced sooner than by default: shorter requests take less of the tests' time.
        sooner = WindowLimits(trigger=0.5, target=0.25)
        task = f"Look at all pages. {RULE}"
        execution = await place.run(task=task, pins=("The key is K-4711.",), window=sooner)
        assert not wire.violations
    assert execution.status is ExecutionStatus.COMPLETED, execution.steps["a"].failure
    chain = summaries(await place.events(execution))
    assert [made.level for made in chain] == list(range(1, len(chain) + 1))
    assert len(chain) >= 3
    assert len(chain) <= TURNS // 15  # never twice in a row
    assert all(made.tokens_after <= made.tokens_before * 0.6 for made in chain)
    assert len(talk.asked) == TURNS + 1
    assert max(request.tokens + request.body["max_tokens"] for request in talk.asked) <= WINDOW
    for request in talk.asked:
        assert RULE in request.text
    assert "K-4711" in talk.asked[-1].text


STEPS, LONG_ONE = 50, 25


@pytest.mark.req("000:7.2.1", "000:L58", "003:L81")
async def test_fifty_steps_of_which_one_is_long_are_carried_out_within_the_window(tmp_path: Path) -> None:
    talks = {f"task {number}.": Talk(turns=40 if number == LONG_ONE else 1) for number in range(STEPS)}
    asked: list[Received] = []

    def answer(request: Received) -> Turn:
        asked.append(request)
        return next(talk for task, talk in talks.items() if task in request.text).answer(request)

    with Wire(window=8_000) as wire:
        wire.otherwise(answer)
        windows = FixedWindows(8_000)
        place = Room(project=tmp_path, wire=wire, talk=Talk(turns=0), windows=windows, answers=800)
        (step,) = place.draft().steps
        steps = tuple(
            replace(step, id=f"s{number}", task=task, depends_on=(f"s{number - 1}",) if number else ())
            for number, task in enumerate(talks)
        )
        execution = await place.run(steps=steps, strategy=StrategyName.PARALLEL)
    assert execution.status is ExecutionStatus.COMPLETED, execution.reason
    events = await place.events(execution)
    assert {one.step for one in events if isinstance(one, SummaryFinished)} == {f"s{LONG_ONE}"}
    assert max(request.tokens + request.body["max_tokens"] for request in asked) <= 8_000
