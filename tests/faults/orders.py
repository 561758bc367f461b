"""What the engines of a chaotic run are asked for, drawn from a seed."""

import random
import re
from dataclasses import dataclass, replace

from engine_mcp.core.budget import Limits, OnExceed
from engine_mcp.core.execution import Execution
from engine_mcp.core.plan import Draft, Mode, Permissions, StepSpec, StrategyName

MODEL = "claude-haiku-5-5"
PROGRAM = "command:flaky"
READS = Permissions(mode=Mode.READ, allowed_tools=("files.read",))
PATIENT = 9
"""Attempts of a step: more than its faults are, so that none of those that pass is the last."""
_MARK = re.compile(r"\[\[(\w+/\w+)/(\d)\]\]")


@dataclass(frozen=True, slots=True)
class Mark:
    """What tells in a prompt which step it is of, and in how many turns it is to be answered."""

    step: str
    turns: int

    def __str__(self) -> str:
        return f"[[{self.step}/{self.turns}]]"


def mark_in(text: str) -> Mark | None:
    """The mark of a prompt; None where there is none, as in a trial."""
    found = _MARK.search(text)
    return None if found is None else Mark(found[1], int(found[2]))


@dataclass(frozen=True, slots=True)
class Order:
    """A plan and the key under which it is asked for, again and again."""

    name: str
    steps: tuple[StepSpec, ...]
    budget: Limits

    def draft(self, project: str) -> Draft:
        """The request."""
        return Draft(
            path=project,
            steps=self.steps,
            strategy=StrategyName.PARALLEL,
            budget=self.budget,
            idempotency_key=self.name,
        )


def orders(seed: int, count: int) -> list[Order]:
    """Plans of one to six steps in chains, side by side and mixed; every third has a budget that pauses."""
    return [_order(f"o{index}", random.Random(f"{seed} {index}")) for index in range(count)]  # noqa: S311 - chance that repeats


def _order(name: str, chance: random.Random) -> Order:
    budget = _budget(chance) if chance.random() < 0.33 else Limits()
    chained = chance.random()
    steps: list[StepSpec] = []
    for index in range(chance.randint(1, 6)):
        needs = [step.id for step in steps[-2:] if chance.random() < chained]
        steps.append(_step(name, index, tuple(needs), chance))
    if budget.max_cost_usd is not None:  # what has no price cannot run under it
        steps = [replace(step, runtime="api", model=MODEL, permissions=READS) for step in steps]
    return Order(name, tuple(steps), budget)


def _step(name: str, index: int, needs: tuple[str, ...], chance: random.Random) -> StepSpec:
    mark = Mark(f"{name}/s{index}", chance.choice([1, 1, 2]))
    runs = chance.random() < 0.1
    return StepSpec(
        id=f"s{index}",
        task=f"{mark} Say what there is to say.",
        depends_on=needs,
        agent="developer",
        runtime=PROGRAM if runs else "api",
        model=None if runs else MODEL,
        max_attempts=PATIENT,
        permissions=Permissions(mode=Mode.READ) if runs else READS,
    )


def _budget(chance: random.Random) -> Limits:
    match chance.randrange(3):
        case 0:
            return Limits(max_tokens=chance.randint(2000, 6000), on_exceed=OnExceed.PAUSE)
        case 1:
            return Limits(max_cost_usd=chance.randint(20, 80) / 1e5, on_exceed=OnExceed.PAUSE)
        case _:
            return Limits(max_requests=chance.randint(1, 4), on_exceed=OnExceed.PAUSE)


def more(execution: Execution) -> Limits:
    """The budget with which an execution that ran out of it goes on."""
    now = execution.budget
    return Limits(
        max_tokens=None if now.max_tokens is None else now.max_tokens + 2500,
        max_cost_usd=None if now.max_cost_usd is None else round(now.max_cost_usd + 0.0003, 6),
        max_requests=None if now.max_requests is None else now.max_requests + 2,
    )
