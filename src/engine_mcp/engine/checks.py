"""What a plan needs of this engine, checked before anything is recorded or spent."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from pydantic import JsonValue

from engine_mcp.core.permission import GRANTS, allows_step
from engine_mcp.core.plan import Plan, StepKind, StepSpec
from engine_mcp.engine.parts import Parts
from engine_mcp.engine.schema import defect, mismatch
from engine_mcp.engine.script_tool import NAME as SCRIPT
from engine_mcp.errors import InvalidArgument, InvalidPlan, PathOutsideRoots, UnknownTool


def check_project(path: str) -> None:
    """Raise PathOutsideRoots if the project directory is not there."""
    if not Path(path).is_dir():
        raise PathOutsideRoots(f"There is no directory {path}.", field="path")


def asking(plan: Plan, ask: frozenset[str]) -> Plan:
    """The plan with every tool step waiting for approval whose tool the operator wants to be asked about."""
    steps = tuple(replace(spec, requires_approval=True) if spec.tool in ask else spec for spec in plan.steps)
    return plan if steps == plan.steps else replace(plan, steps=steps)


def check_needs(steps: Iterable[StepSpec], parts: Parts) -> None:
    """Raise the EngineError that names the first step this engine could not carry out."""
    for index, spec in enumerate(steps):
        where = f"steps[{index}]"
        _check_allowed(spec, parts, where)
        _check_schema(spec.output_schema, f"{where}.output_schema")
        if spec.kind is StepKind.TOOL:
            _check_tool(spec, parts, where)


def _check_allowed(spec: StepSpec, parts: Parts, where: str) -> None:
    agent = spec.kind is StepKind.AGENT
    for name in spec.permissions.allowed_tools or ():
        if agent and (name == SCRIPT or GRANTS.fullmatch(name)):
            continue
        if name not in parts.tools:
            raise _unknown(name, parts, f"{where}.permissions.allowed_tools")


def _unknown(name: str | None, parts: Parts, field: str) -> UnknownTool:
    known = ", ".join(sorted(parts.tools)) or "none"
    return UnknownTool(f"No tool is named {name!r}; there are: {known}.", field=field)


def _check_schema(schema: JsonValue, field: str) -> None:
    if schema is not None and (wrong := defect(schema)):
        raise InvalidArgument(f"The output schema is not a JSON Schema: {wrong}", field=field)


def _check_tool(spec: StepSpec, parts: Parts, where: str) -> None:
    tool = parts.tools.get(spec.tool or "")
    if tool is None:
        raise _unknown(spec.tool, parts, f"{where}.tool")
    if not allows_step(spec.permissions, tool.spec):
        text = f"The permissions of the step {spec.id!r} do not allow {spec.tool!r}."
        raise InvalidPlan(text, field=f"{where}.permissions")
    arguments = {} if spec.arguments is None else spec.arguments
    if wrong := mismatch(tool.spec.input_schema, arguments):
        raise InvalidArgument(f"{spec.tool}: {wrong}", field=f"{where}.arguments")
