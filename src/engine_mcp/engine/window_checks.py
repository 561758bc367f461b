"""Windows checked before anything is recorded or spent: limits that fit together, a model that there is."""

from engine_mcp.core.plan import Plan, StepSpec
from engine_mcp.core.shrinking import RUNTIME
from engine_mcp.core.window import DEFAULTS, WindowLimits, fault
from engine_mcp.engine.parts import Parts
from engine_mcp.errors import InvalidPlan, UnknownModel

_NONE = WindowLimits()


def check_window(plan: Plan, spec: StepSpec, model: str | None, parts: Parts, where: str = "") -> None:
    """Refuse what a plan says of the windows of a step that is carried out by `model`.

    Raises InvalidPlan or UnknownModel, naming the field; `where` is the place of the step in the request.
    """
    own = plan.window.merged(spec.window)
    operators = _NONE if parts.windows is None else parts.windows.limits(model)
    if wrong := fault(own, DEFAULTS.merged(operators)):
        raise InvalidPlan(wrong.why, field=_field(wrong.field, spec.window, where))
    _check_model(own, parts, _field("model", spec.window, where))
    if own.model is None:
        setting = "context.model" if operators.model == _of_all(parts).model else "context.models"
        _check_model(operators, parts, setting, f"The setting {setting}: ")


def _of_all(parts: Parts) -> WindowLimits:
    """What the operator chose for all models."""
    return _NONE if parts.windows is None else parts.windows.limits(None)


def _check_model(limits: WindowLimits, parts: Parts, field: str, said: str = "") -> None:
    if limits.model is None:
        return
    try:
        parts.models().named(limits.model, RUNTIME)
    except UnknownModel as error:
        raise UnknownModel(f"{said}{error.message}", field=field, hint=error.hint) from error


def _field(name: str, own: WindowLimits, where: str) -> str:
    """The argument that is wrong: of the step where it says any of it, else of the plan."""
    if where and getattr(own, name) is not None:
        return f"{where}.window.{name}"
    return f"{where}.window.trigger" if where and own.trigger is not None else f"window.{name}"
