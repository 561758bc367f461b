"""A thousand turns in a window that a fiftieth of them would fill."""

from pathlib import Path

import pytest

from engine_mcp.core.execution import ExecutionStatus
from engine_mcp.testing import FixedWindows
from tests.context.rig import Room, Talk, summaries
from tests.wire.server import Wire

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
        execution = await place.run(task=f"Look at all pages. {RULE}", pins=("The key is K-4711.",))
        assert not wire.violations
    assert execution.status is ExecutionStatus.COMPLETED, execution.steps["a"].failure
    chain = summaries(await place.events(execution))
    assert [made.level for made in chain] == list(range(1, len(chain) + 1))
    assert len(chain) >= 3
    assert len(chain) <= TURNS // 20  # never twice in a row
    assert all(made.tokens_after <= made.tokens_before // 2 for made in chain)
    assert len(talk.asked) == TURNS + 1
    assert max(request.tokens + request.body["max_tokens"] for request in talk.asked) <= WINDOW
    for request in talk.asked:
        assert RULE in request.text
    assert "K-4711" in talk.asked[-1].text
