"""Choosing: what carries out each agent step, decided and explained before anything is recorded or spent."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from types import MappingProxyType

from engine_mcp.core.brief import Role, Skill
from engine_mcp.core.choice import TIERS, Choice, Tier, Weighed, matched, weigh
from engine_mcp.core.execution import Execution, Failure, Step
from engine_mcp.core.plan import Plan, StepKind, StepSpec
from engine_mcp.core.request import Resume
from engine_mcp.core.tool import Health
from engine_mcp.engine.parts import Parts
from engine_mcp.engine.routing import Wanted, other_routes, routed
from engine_mcp.engine.window_checks import check_window
from engine_mcp.errors import EngineError, InvalidPlan, RuntimeUnavailable, UnknownRole, UnknownSkill
from engine_mcp.ports import Runner

_FIELD = re.compile(r"steps\[(\d+)\](.*)")
_NONE: Mapping[str, Choice] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shelf:
    """What there is to choose from, and for what plan; `kept` are choices whose runtime stays, by step id."""

    parts: Parts
    plan: Plan
    roles: Mapping[str, Role]
    skills: Mapping[str, Skill]
    kept: Mapping[str, Choice]


@dataclass(frozen=True, slots=True)
class Chosen:
    """The choices by step id, and why there are none for optional steps that nothing can carry out."""

    choices: dict[str, Choice] = field(default_factory=dict[str, Choice])
    missing: dict[str, Failure] = field(default_factory=dict[str, Failure])


async def choices(
    plan: Plan, specs: Iterable[StepSpec], parts: Parts, kept: Mapping[str, Choice] = _NONE
) -> Chosen:
    """The choice for each agent step; raises the EngineError that names the first that cannot be made.

    The runtimes of those in `kept`, by step id, stay.
    """
    listed = list(enumerate(specs))
    if not any(spec.kind is StepKind.AGENT for _, spec in listed):
        return Chosen()
    roles = await parts.library.roles(plan.path)
    skills = await parts.library.skills(plan.path)
    shelf = _Shelf(parts=parts, plan=plan, roles=roles, skills=skills, kept=kept)
    found = Chosen()
    for index, spec in listed:
        if spec.kind is not StepKind.AGENT:
            continue
        try:
            found.choices[spec.id] = await _choice(spec, shelf, f"steps[{index}]")
        except RuntimeUnavailable as error:
            if not spec.optional:
                raise
            found.missing[spec.id] = Failure(error.code, error.message, error.hint)
    return found


async def rechosen(after: Execution, request: Resume, parts: Parts) -> Chosen:
    """The choices that change as an execution goes on; raises the EngineError that keeps it from that."""
    open_steps = [step for step in after.steps.values() if not step.settled]
    agents = [step for step in open_steps if step.spec.kind is StepKind.AGENT]
    rerouted = request.runtime is not None or request.model is not None
    fresh = [step.spec for step in agents if step.choice is None or rerouted]
    kept = {} if request.runtime is not None else _choices_of(agents)
    gone: dict[str, Failure] = {}
    for step in agents:
        if step.choice is None or rerouted:
            continue
        check_window(after.plan, step.spec, step.choice.model, parts)
        try:
            await _usable(step.choice.runtime, step.spec, parts)
        except RuntimeUnavailable as error:
            if not step.spec.optional:
                raise
            gone[step.spec.id] = Failure(error.code, error.message, error.hint)
    try:
        chosen = await choices(after.plan, fresh, parts, kept)
    except EngineError as error:
        error.field = _as_asked(error.field, fresh, request)
        raise
    return replace(chosen, missing={**gone, **chosen.missing})


def _choices_of(steps: Iterable[Step]) -> dict[str, Choice]:
    return {step.spec.id: step.choice for step in steps if step.choice is not None}


def _as_asked(field: str | None, specs: Sequence[StepSpec], request: Resume) -> str | None:
    """The argument of the request that a field of one of the steps comes from."""
    found = _FIELD.fullmatch(field or "")
    if found is None:
        return field
    ids, name = [spec.id for spec in request.steps], specs[int(found[1])].id
    if name in ids:
        return f"steps[{ids.index(name)}]{found[2]}"
    return found[2].removeprefix(".") or "runtime"


async def _choice(spec: StepSpec, shelf: _Shelf, where: str) -> Choice:
    weighed = weigh(spec.task or "", shelf.plan.task_type, len(shelf.plan.files))
    role = _role(spec, weighed, shelf, where)
    tier = Tier(role.tier) if role.tier is not None else TIERS[weighed.level]
    runner, because, passed = await _runner(spec, shelf, where)
    model, named = _model(spec, tier, runner.name, shelf, where)
    check_window(shelf.plan, spec, model, shelf.parts, where)
    route = await routed(runner, model, tier, shelf.parts)
    wanted = Wanted(spec=spec, tier=tier, runtime=runner.name, model=model)
    skills, why_skills = _skills(spec, shelf, where)
    said = f"role {role.name}: asked for" if spec.agent else weighed.reasons[-1]
    why_tier = f"tier {tier}: " + (f"the role {role.name} says so" if role.tier else "by the level")
    return Choice(
        runtime=runner.name,
        role=role.name,
        level=weighed.level,
        tier=tier,
        model=model,
        skills=skills,
        why=(*weighed.reasons[:-1], said, why_tier, because, named, why_skills),
        route=route,
        others=await other_routes(wanted, shelf.plan, shelf.parts),
        forced=spec.runtime is not None,
        priced=route.priced,
        passed=passed,
    )


def _role(spec: StepSpec, weighed: Weighed, shelf: _Shelf, where: str) -> Role:
    wanted = spec.agent if spec.agent is not None else weighed.role
    if wanted in shelf.roles:
        return shelf.roles[wanted]
    hint = _nearest(wanted, shelf.roles)
    raise UnknownRole(f"No role is named {wanted!r}.", field=f"{where}.agent", hint=hint)


def _skills(spec: StepSpec, shelf: _Shelf, where: str) -> tuple[tuple[str, ...], str]:
    for name in spec.skills:
        if name not in shelf.skills:
            hint = _nearest(name, shelf.skills)
            raise UnknownSkill(f"No skill is named {name!r}.", field=f"{where}.skills", hint=hint)
    found = spec.skills or matched(shelf.skills.values(), spec.task or "")
    how = "asked for" if spec.skills else "matched to the task"
    return found, f"skills {', '.join(found)}: {how}" if found else "skills: none fits the task"


def _nearest(wanted: str, known: Iterable[str]) -> str:
    names = sorted(known)
    near = get_close_matches(wanted, names, n=1)
    return f"Did you mean {near[0]!r}?" if near else f"There are {', '.join(names) or 'none'}."


def _model(spec: StepSpec, tier: Tier, runtime: str, shelf: _Shelf, where: str) -> tuple[str | None, str]:
    models = shelf.parts.models()
    if spec.model is None:
        found = models.of_tier(tier, runtime)
        return found, f"model {found or 'of the runtime'}: by the tier"
    try:
        return (name := models.named(spec.model, runtime)), f"model {name}: asked for"
    except EngineError as error:
        error.field = f"{where}.model"
        raise


async def _runner(spec: StepSpec, shelf: _Shelf, where: str) -> tuple[Runner, str, Mapping[str, str]]:
    parts = shelf.parts
    if (kept := shelf.kept.get(spec.id)) is not None:
        because = f"runtime {kept.runtime}: the session of the step is there"
        return await _usable(kept.runtime, spec, parts, where), because, kept.passed
    if spec.runtime is not None:
        return await _usable(spec.runtime, spec, parts, where), f"runtime {spec.runtime}: asked for", {}
    passed: dict[str, str] = {}
    for name in parts.order:
        runner = parts.runners.get(name)
        if runner is None:
            continue
        why_not = runner.objection(spec) or _unfit(await runner.health())
        if not why_not:
            before = f" ({_listed(passed)})" if passed else ""
            return runner, f"runtime {name}: the first usable of {', '.join(parts.order)}{before}", passed
        passed[name] = why_not
    known = _listed(passed) or parts.closed or "none is set up"
    raise RuntimeUnavailable(f"The step {spec.id!r} needs an agent runtime; {known}.", field=where)


def _listed(passed: Mapping[str, str]) -> str:
    return "; ".join(f"{name}: {why_not}" for name, why_not in passed.items())


async def _usable(name: str, spec: StepSpec, parts: Parts, where: str = "") -> Runner:
    field = f"{where}.runtime" if where else "runtime"
    runner = parts.runners.get(_meant(name, parts))
    if runner is None:
        known = parts.closed or f"there are: {', '.join(sorted(parts.runners)) or 'none'}"
        text = f"The step {spec.id!r} needs the runtime {name!r}; {known}."
        raise RuntimeUnavailable(text, field=field)
    if why_not := runner.objection(spec):
        raise InvalidPlan(f"The step {spec.id!r}: {why_not}", field=f"{where}.permissions" if where else None)
    health = await runner.health()
    if not health.usable:
        text = f"The step {spec.id!r} needs {name}, which cannot be used: {health.detail}"
        raise RuntimeUnavailable(text, field=field, hint=health.remedy or None)
    return runner


def _meant(name: str, parts: Parts) -> str:
    """The runner that is meant by `command`: the only one that is declared."""
    declared = [known for known in parts.runners if known.startswith(f"{name}:")]
    return declared[0] if name not in parts.runners and len(declared) == 1 else name


def _unfit(health: Health) -> str:
    return "" if health.usable else (health.detail or "it cannot be used")
