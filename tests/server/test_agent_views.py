"""What agents say and do is shown whole where it is small, and never in more than 8 KB."""

import json

import pytest

from engine_mcp.core import event as ev
from engine_mcp.core.budget import Limits
from engine_mcp.core.choice import Choice, Level, Tier
from engine_mcp.core.evolve import fold
from engine_mcp.core.execution import Execution
from engine_mcp.core.plan import Plan, StepSpec, StrategyName
from engine_mcp.server.events import page, shown_event
from engine_mcp.server.view import Answer, view

AT = 1_800_000_000.0
MOST = 8 << 10
CHOICE = Choice(
    runtime="api",
    role="r" * 64,
    level=Level.SIMPLE,
    tier=Tier.FAST,
    model="m" * 128,
    skills=("k" * 1000, "l" * 1000),
    why=tuple("w" * 3000 for _ in range(6)),
)


def working(steps: int, session: str) -> Execution:
    """An execution whose agents all have sessions of such a name."""
    specs = tuple(StepSpec(id=f"s{index}", task="do it") for index in range(steps))
    created = ev.ExecutionCreated(
        at=AT,
        execution_id="0" * 36,
        plan=Plan(path="/p", steps=specs, strategy=StrategyName.PARALLEL),
        budget=Limits(),
        choices={spec.id: CHOICE for spec in specs},
    )
    begun = (
        event
        for spec in specs
        for event in (
            ev.AttemptStarted(at=AT, step=spec.id, number=1, runtime="command:" + "c" * 64, session="s"),
            ev.SessionOpened(at=AT, step=spec.id, number=1, session=session),
        )
    )
    return fold(None, (created, ev.ExecutionStarted(at=AT, epoch=1, owner=""), *begun))


@pytest.mark.parametrize("steps", [1, 5, 100])
@pytest.mark.parametrize("session", ["ses_1", "S" * 100_000], ids=["short", "long"])
def test_an_execution_of_agents_is_shown_in_less_than_8_kb(steps: int, session: str) -> None:
    shown = view(working(steps, session), now=AT, snapshot="/p/" + "q" * 200)
    assert len(json.dumps(shown, ensure_ascii=False).encode()) < MOST


@pytest.mark.parametrize("character", ["w", "é", "漢", "😀"])
def test_streamed_text_is_shown_whole_in_any_script(character: str) -> None:
    text = character * 999
    told = ev.TextStreamed(at=AT, step="s0", number=1, text=text)
    assert shown_event(1, told)["text"] == text
    execution = working(100, "ses_1")
    shown = view(execution, now=AT, snapshot="/p/s", answer=Answer(page=page(((1, told), (2, told)), 0, 2)))
    assert len(json.dumps(shown, ensure_ascii=False).encode()) < MOST
