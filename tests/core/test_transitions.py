"""The two tables of legal changes are complete, and nothing but them decides."""

import pytest

from engine_mcp.core.execution import ExecutionStatus, StepStatus
from engine_mcp.core.transitions import EXECUTION, STEP, change
from engine_mcp.errors import IllegalTransition

E, S = ExecutionStatus, StepStatus

pytestmark = pytest.mark.req("004:L30", "004:L66", "004:L269", "004:L272", "000:6.4.1")


@pytest.mark.req("004:L29")
@pytest.mark.parametrize("new", E)
@pytest.mark.parametrize("old", E)
def test_an_execution_changes_as_the_table_says(old: ExecutionStatus, new: ExecutionStatus) -> None:
    if new in EXECUTION[old]:
        assert change(EXECUTION, old, new) is new
    else:
        with pytest.raises(IllegalTransition, match=f"from {old} to {new}") as caught:
            change(EXECUTION, old, new)
        assert caught.value.code == "illegal_transition"


@pytest.mark.parametrize("new", S)
@pytest.mark.parametrize("old", S)
def test_a_step_changes_as_the_table_says(old: StepStatus, new: StepStatus) -> None:
    if new in STEP[old]:
        assert change(STEP, old, new) is new
    else:
        with pytest.raises(IllegalTransition, match=f"from {old} to {new}"):
            change(STEP, old, new)


def test_every_status_has_a_row() -> None:
    assert set(EXECUTION) == set(E)
    assert set(STEP) == set(S)


def test_no_status_changes_into_itself() -> None:
    assert [old for old in E if old in EXECUTION[old]] == []
    assert [old for old in S if old in STEP[old]] == []


def test_only_a_cancelled_execution_is_over_for_good() -> None:
    assert [old for old in E if not EXECUTION[old]] == [E.CANCELLED]
    assert [old for old in S if not STEP[old]] == []


def test_every_way_back_to_running_leads_through_pending() -> None:
    assert [old for old in E if E.RUNNING in EXECUTION[old]] == [E.PENDING]
    assert [old for old in S if S.RUNNING in STEP[old]] == [S.PENDING]
    resting = {E.PAUSED, E.INTERRUPTED, E.FAILED, E.COMPLETED}
    assert {old for old in E if E.PENDING in EXECUTION[old]} == resting
