"""Strategies: pure rules that turn a draft into the steps of a plan.

The rule of `auto` reads only what the draft says, so that the same draft always gives the same plan:

1. more than one step → parallel;
2. one step, a script or a tool → single;
3. a task of the types architecture or refactor, of more than 150 words, or with more than 5 files → multi;
4. any other task → single.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType

from engine_mcp.core.plan import Draft, Plan, StepSpec, StrategyName, TaskType, check_steps
from engine_mcp.core.strategy.multi import chain
from engine_mcp.core.strategy.parallel import graph
from engine_mcp.core.strategy.single import one
from engine_mcp.errors import InvalidPlan

LONG_TASK_WORDS = 150
MANY_FILES = 5
_WIDE = frozenset({TaskType.ARCHITECTURE, TaskType.REFACTOR})

STRATEGIES: Mapping[StrategyName, Callable[[Draft], tuple[StepSpec, ...]]] = MappingProxyType(
    {
        StrategyName.SINGLE: one,
        StrategyName.MULTI: chain,
        StrategyName.PARALLEL: graph,
    }
)


def plan(draft: Draft) -> Plan:
    """The plan of a draft; raises InvalidPlan, naming the field, where there is none."""
    _check_work(draft)
    strategy = draft.strategy or choose(draft)
    if draft.steps:
        check_steps(draft.steps)
    steps = tuple(_with_defaults(spec, draft) for spec in STRATEGIES[strategy](draft))
    if steps != draft.steps:
        check_steps(steps)
    return Plan(
        path=draft.path,
        steps=steps,
        strategy=strategy,
        task=draft.task,
        task_type=draft.task_type,
        files=draft.files,
        context=draft.context,
        budget=draft.budget,
        parallelism=draft.parallelism,
        on_cancel=draft.on_cancel,
        idempotency_key=draft.idempotency_key,
        fallback=draft.fallback,
        auto_resume=draft.auto_resume,
        window=draft.window,
        pins=draft.pins,
    )


def choose(draft: Draft) -> StrategyName:
    """The strategy of the rule `auto`."""
    if len(draft.steps) > 1:
        return StrategyName.PARALLEL
    if draft.steps or draft.code is not None or draft.tool is not None:
        return StrategyName.SINGLE
    words = len((draft.task or "").split())
    wide = draft.task_type in _WIDE or words > LONG_TASK_WORDS or len(draft.files) > MANY_FILES
    return StrategyName.MULTI if wide else StrategyName.SINGLE


def _check_work(draft: Draft) -> None:
    given = {"steps": draft.steps or None, "code": draft.code, "tool": draft.tool}
    said = [name for name, work in given.items() if work is not None]
    if len(said) > 1:
        raise InvalidPlan(
            f"Say the work in one of steps, code and tool, not in {' and '.join(said)}.", field=said[1]
        )
    if not said and not (draft.task or "").strip():
        raise InvalidPlan("There is no work: give a task, steps, code or a tool.", field="task")


def _with_defaults(spec: StepSpec, draft: Draft) -> StepSpec:
    if draft.agent is None and draft.model is None and draft.runtime is None:
        return spec
    return replace(
        spec,
        agent=spec.agent or draft.agent,
        model=spec.model or draft.model,
        runtime=spec.runtime or draft.runtime,
    )
