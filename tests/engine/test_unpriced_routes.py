"""A step that changes to a route whose cost nobody will know keeps to the limits in dollars all the same."""

import pytest

from engine_mcp.core.budget import Limits, OnExceed
from engine_mcp.core.execution import ExecutionStatus
from engine_mcp.core.route import Allowed
from engine_mcp.testing import ListedPrices, ScriptedRunner
from tests.engine.rig import Rig, agent, asked, failing

pytestmark = pytest.mark.anyio


@pytest.fixture
def switching(rig: Rig) -> Rig:
    """Give a rig whose first runtime fails, and whose second one tells no cost and has no price."""
    rig.prices = ListedPrices()
    rig.runner.replies = {"a": [failing("runtime_failed")]}
    rig.others = [ScriptedRunner(name="spare", tells_cost=False)]
    return rig


async def test_under_a_limit_in_dollars_it_pauses_before_the_route_without_a_price(switching: Rig) -> None:
    draft = switching.draft(agent("a"), budget=Limits(max_cost_usd=9.0), fallback=(Allowed.FAMILY,))
    execution = await switching.run(draft)
    assert (execution.status, execution.reason) == (ExecutionStatus.PAUSED, "unpriced")
    assert asked(switching.others[0]) == []
    choice = execution.steps["a"].choice
    assert choice is not None
    assert (choice.runtime, choice.priced) == ("spare", False)


@pytest.mark.parametrize(
    "limits", [Limits(), Limits(max_tokens=99), Limits(max_cost_usd=9.0, on_exceed=OnExceed.WARN)]
)
async def test_where_no_dollars_stop_it_the_step_goes_on_without_a_price(
    switching: Rig, limits: Limits
) -> None:
    draft = switching.draft(agent("a"), budget=limits, fallback=(Allowed.FAMILY,))
    execution = await switching.run(draft)
    assert execution.status is ExecutionStatus.COMPLETED
    assert asked(switching.others[0]) == ["a"]
