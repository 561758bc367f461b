"""Arguments as callers give them → values of the core. Parsed once, here; errors name the field."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from difflib import get_close_matches
from pathlib import Path
from typing import TypeVar

from pydantic import JsonValue, ValidationError
from pydantic_core import ErrorDetails

from engine_mcp.core.budget import Limits, OnExceed
from engine_mcp.core.permission import GRANTS, within
from engine_mcp.core.plan import Draft, Mode, Permissions, StepSpec, StrategyName
from engine_mcp.core.request import Resume
from engine_mcp.core.script import ScriptLimits
from engine_mcp.core.window import WindowLimits
from engine_mcp.errors import InvalidArgument, PathOutsideRoots
from engine_mcp.server.schemas import (
    Arguments,
    BudgetArgument,
    ChangeArguments,
    LimitsArgument,
    PermissionsArgument,
    PlanArguments,
    StepArgument,
    WindowArgument,
)

_TYPE = re.compile(r"(literal|constrained-str)\b|list\[")
_FLAG = "bool"
Parsed = TypeVar("Parsed", bound=Arguments)
_NESTED = {
    name
    for model in (StepArgument, BudgetArgument, LimitsArgument, PermissionsArgument, WindowArgument)
    for name in model.model_fields
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """What the operator allows at the edge.

    `roots` are resolved directories, the first of them the default project; `ceilings` the most a
    script may ask for; `on_exceed` what happens at a limit where the request does not say. `mode` is the
    widest a step may have, `refused` what it may not be granted of `shell` and `web`.
    """

    roots: tuple[Path, ...]
    ceilings: ScriptLimits
    on_exceed: OnExceed
    mode: Mode = Mode.WRITE
    refused: frozenset[str] = frozenset()


def parsed(model: type[Parsed], arguments: Mapping[str, JsonValue]) -> Parsed:
    """The arguments as a checked value; raises InvalidArgument that names the field."""
    try:
        return model.model_validate_json(_encoded(arguments))
    except ValidationError as error:
        raise _explained(_foremost(error.errors(include_url=False)), model) from None


def draft(arguments: Mapping[str, JsonValue], edge: Edge) -> Draft:
    """The draft that the arguments of `engine_execute` but for `wait_s`, or a plan file, describe.

    Raises InvalidArgument or PathOutsideRoots, naming the field.
    """
    return drafted(parsed(PlanArguments, arguments), edge)


def drafted(plan: PlanArguments, edge: Edge) -> Draft:
    """The draft of parsed arguments."""
    project = project_of(plan.path, edge)
    for index, file in enumerate(plan.files):
        _inside(project / file, (project,), f"files[{index}]")
    return Draft(
        path=str(project),
        task=plan.task,
        code=plan.code,
        tool=plan.tool,
        arguments=plan.arguments,
        steps=_steps(plan.steps, edge),
        strategy=None if plan.strategy == "auto" else StrategyName(plan.strategy),
        task_type=plan.task_type,
        files=tuple(plan.files),
        context=plan.context,
        agent=plan.agent,
        model=plan.model,
        runtime=plan.runtime,
        permissions=_permissions(plan.permissions, edge, "permissions"),
        limits=_script_limits(plan.limits, edge.ceilings, "limits"),
        budget=_with_default(limited(plan.budget), edge.on_exceed),
        parallelism=plan.parallelism,
        on_cancel=plan.on_cancel,
        idempotency_key=plan.idempotency_key,
        fallback=tuple(dict.fromkeys(plan.fallback)),
        auto_resume=plan.auto_resume,
        window=windowed(plan.window, "window"),
        pins=_pins(plan.pins),
    )


def resume(arguments: Mapping[str, JsonValue], edge: Edge) -> Resume:
    """The changes that the arguments of `engine_resume`, but for its id and `wait_s`, ask for."""
    return resumption(parsed(ChangeArguments, arguments), edge)


def resumption(change: ChangeArguments, edge: Edge) -> Resume:
    """The changes of parsed arguments."""
    if both := sorted({*change.approve} & {*change.deny}):
        raise InvalidArgument(f"Both approved and denied: {', '.join(both)}.", field="deny")
    return Resume(
        budget=limited(change.budget),
        approve=tuple(change.approve),
        deny=tuple(change.deny),
        runtime=change.runtime,
        model=change.model,
        steps=_steps(change.steps, edge),
        from_step=change.from_step,
        step_budgets={name: limited(given) for name, given in change.step_budgets.items()},
        window=windowed(change.window, "window"),
        summarize=_named(change.summarize),
        restore=_named(change.restore),
    )


def limits(arguments: Mapping[str, JsonValue]) -> Limits:
    """The limits that a `budget` argument asks for; what it leaves out is None."""
    return limited(parsed(BudgetArgument, arguments))


def limited(given: BudgetArgument) -> Limits:
    """The limits of a parsed budget."""
    return Limits(
        max_tokens=given.max_tokens,
        max_cost_usd=given.max_cost_usd,
        max_seconds=given.max_seconds,
        max_requests=given.max_requests,
        on_exceed=given.on_exceed,
    )


def windowed(given: WindowArgument, where: str) -> WindowLimits:
    """The limits of a parsed window; raises InvalidArgument where its target is not below its trigger."""
    if given.trigger is not None and given.target is not None and given.target >= given.trigger:
        text = f"The target, {given.target:g}, has to be below the trigger, {given.trigger:g}."
        raise InvalidArgument(text, field=f"{where}.target")
    return WindowLimits(
        trigger=given.trigger,
        max_tokens=given.max_tokens,
        target=given.target,
        model=given.model,
        price_cliffs=given.price_cliffs,
    )


def _pins(given: list[str]) -> tuple[str, ...]:
    for index, pin in enumerate(given):
        if not pin.strip():
            field = f"pins[{index}]"
            raise InvalidArgument(f"{field}: this says nothing.", field=field, hint="Leave it out.")
    return tuple(dict.fromkeys(pin.strip() for pin in given))


def _named(given: bool | list[str]) -> tuple[str, ...] | None:  # noqa: FBT001 - the argument as it was given
    """The steps that are named, none of them for all; None where none is meant."""
    if isinstance(given, bool):
        return () if given else None
    return tuple(dict.fromkeys(given)) or None


def project_of(path: str | None, edge: Edge) -> Path:
    """The project directory, absolute and resolved; raises PathOutsideRoots."""
    if path is None:
        return edge.roots[0]
    found = _inside(edge.roots[0] / path, edge.roots, "path")
    if not found.is_dir():
        raise PathOutsideRoots(f"{path} is not a directory.", field="path")
    return found


def _inside(path: Path, roots: tuple[Path, ...], field: str) -> Path:
    try:
        found = path.resolve(strict=True)
    except (OSError, ValueError, RuntimeError):  # absent; a NUL byte; a circle of links
        raise PathOutsideRoots(f"{path} does not exist.", field=field) from None
    if not any(found.is_relative_to(root) for root in roots):
        allowed = ", ".join(str(root) for root in roots)
        raise PathOutsideRoots(f"{found} is outside of {allowed}.", field=field)
    return found


def _steps(steps: list[StepArgument], edge: Edge) -> tuple[StepSpec, ...]:
    return tuple(_step(step, edge, f"steps[{index}]") for index, step in enumerate(steps))


def _step(step: StepArgument, edge: Edge, where: str) -> StepSpec:
    return StepSpec(
        id=step.id,
        task=step.task,
        code=step.code,
        tool=step.tool,
        arguments=step.arguments,
        depends_on=tuple(step.depends_on),
        agent=step.agent,
        model=step.model,
        runtime=step.runtime,
        skills=tuple(step.skills),
        permissions=_permissions(step.permissions, edge, f"{where}.permissions"),
        output_schema=step.output_schema,
        optional=step.optional,
        requires_approval=step.requires_approval,
        approval_timeout_s=step.approval_timeout_s,
        if_unanswered=step.if_unanswered,
        timeout_s=step.timeout_s,
        max_attempts=step.max_attempts,
        budget=_with_default(limited(step.budget), edge.on_exceed),
        limits=_script_limits(step.limits, edge.ceilings, f"{where}.limits"),
        window=windowed(step.window, f"{where}.window"),
    )


def _permissions(given: PermissionsArgument, edge: Edge, where: str) -> Permissions:
    """The permissions asked for; raises InvalidArgument where they pass the operator's."""
    mode = given.mode if "mode" in given.model_fields_set or within(given.mode, edge.mode) else edge.mode
    if not within(mode, edge.mode):
        hint = f"Ask for {edge.mode} at most."
        raise InvalidArgument("The operator allows no such mode.", field=f"{where}.mode", hint=hint)
    for name in given.allowed_tools or ():
        if (grant := GRANTS.fullmatch(name)) is not None and grant.group(1) in edge.refused:
            text = f"The operator does not allow {grant.group(1)!r}."
            raise InvalidArgument(text, field=f"{where}.allowed_tools", hint="Leave it out.")
    names = given.allowed_tools
    return Permissions(mode=mode, allowed_tools=None if names is None else tuple(names))


def _with_default(budget: Limits, on_exceed: OnExceed) -> Limits:
    """With a word on what happens at the limits, if there are any; without them the operator's word holds."""
    return budget if budget == Limits() else Limits(on_exceed=on_exceed).merged(budget)


def _script_limits(given: LimitsArgument, most: ScriptLimits, where: str) -> ScriptLimits:
    """The limits asked for; raises InvalidArgument where they pass the operator's."""
    chosen = ScriptLimits()
    for field in fields(ScriptLimits):
        ceiling, wanted = getattr(most, field.name), getattr(given, field.name)
        if wanted is not None and wanted > ceiling:
            raise InvalidArgument(
                f"{wanted:g} is more than the operator allows.",
                field=f"{where}.{field.name}",
                hint=f"Ask for at most {ceiling:g}.",
            )
        value = min(field.default, ceiling) if wanted is None else wanted
        chosen = replace(chosen, **{field.name: value})
    return chosen


def _encoded(arguments: Mapping[str, JsonValue]) -> str:
    members: list[str] = []
    for name, value in arguments.items():
        try:
            members.append(f"{json.dumps(str(name))}:{json.dumps(value, allow_nan=False)}")
        except (TypeError, ValueError, RecursionError) as error:
            text = f"This is not JSON: {str(error) or 'nested too deeply'}."
            raise InvalidArgument(text, field=str(name)) from None
    return f"{{{','.join(members)}}}"


def _foremost(errors: list[ErrorDetails]) -> ErrorDetails:
    """The error to tell: of an argument that is a flag or a list, what is wrong with it as it was given."""
    first = errors[0]
    if first["loc"][-1:] != (_FLAG,) or not first["type"].startswith(_FLAG):
        return first
    place = first["loc"][:-1]
    # Next to it stands what keeps the same value from being a list.
    for other in errors[1:]:
        if other["loc"][: len(place)] == place and other["type"] != "list_type":
            return other
    return {**first, "loc": place, "msg": "Input should be true, false or a list of ids of steps"}


def _explained(error: ErrorDetails, model: type[Arguments]) -> InvalidArgument:
    place = error["loc"]
    field = _path(place) or None
    match error["type"]:
        case "extra_forbidden":
            known = sorted(model.model_fields if len(place) == 1 else _NESTED)
            near = get_close_matches(str(place[-1]), known, n=1)
            hint = f"Did you mean {near[0]!r}?" if near else f"There are {', '.join(known)}."
            return InvalidArgument(f"There is no argument {field!r}.", field=field, hint=hint)
        case "missing":
            return InvalidArgument(f"The argument {field!r} is missing.", field=field)
        case _:
            name = field or "The arguments"
            return InvalidArgument(f"{name}: {_lowered(error['msg'])}.", field=field)


def _path(place: tuple[int | str, ...]) -> str:
    # Of a choice between two types pydantic adds the type, which is no part of the argument.
    place = tuple(part for part in place if isinstance(part, int) or not _TYPE.match(part))
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place)
    return text.removeprefix(".")


def _lowered(text: str) -> str:
    return text[:1].lower() + text[1:]
