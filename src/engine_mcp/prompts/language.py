"""The language of templates: the part of Jinja that always ends and never leaves its values.

Output, `if`, `for`, `include`, `set`, `with`, comparisons, tests, and the filters of `FILTERS` and `default`.
There are no calls, no arithmetic, no macros and no lists of values, so that nothing grows beyond what it was
given; loops, filters and includes are counted by the meter of the rendering.
"""

from collections.abc import Callable, Mapping, Sized
from contextlib import suppress
from functools import lru_cache
from types import CodeType

from jinja2 import StrictUndefined, TemplateSyntaxError, Undefined, nodes, pass_context
from jinja2.runtime import Context, LoopContext
from jinja2.sandbox import SandboxedEnvironment

from engine_mcp.prompts.filters import FILTERS
from engine_mcp.prompts.meter import Meter, bounded

METER = " meter"
"""The name of the meter among the values; no template can spell it."""
DEFAULT = "default"
_EACH, _PART = " each", " part"
_KNOWN = (
    *(nodes.Template, nodes.Output, nodes.TemplateData, nodes.For, nodes.If, nodes.Include, nodes.Assign),
    *(nodes.With, nodes.Name, nodes.Const, nodes.Getattr, nodes.Getitem, nodes.Slice, nodes.Filter),
    *(nodes.Test, nodes.Compare, nodes.Operand, nodes.And, nodes.Or, nodes.Not, nodes.Neg, nodes.CondExpr),
    *(nodes.Keyword, nodes.List, nodes.Tuple, nodes.Scope),
)


class Language(SandboxedEnvironment):
    """Jinja's sandbox with the filters of the language, and with attributes of mappings and loops alone."""

    def __init__(self) -> None:
        """Set it up as every template needs it."""
        super().__init__(
            undefined=StrictUndefined,
            autoescape=False,
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=True,
        )
        self.globals.clear()
        self.filters.clear()
        for name, function in _filters().items():
            self.filters[name] = function

    def getattr(self, obj: object, attribute: str) -> object:
        """A key of a mapping, or what a loop tells of itself; nothing else has attributes."""
        if isinstance(obj, LoopContext):
            return super().getattr(obj, attribute)
        return self.getitem(obj, attribute)

    def getitem(self, obj: object, argument: object) -> object:
        """An item of a mapping, a list or a text."""
        if isinstance(obj, Undefined):
            return obj  # the first thing that is missing is the one to tell
        with suppress(LookupError, TypeError):
            if isinstance(obj, Mapping | list | tuple | str):
                return obj[argument]  # pyright: ignore - whatever is asked for, it is there or it is not
        return self.undefined(obj=obj, name=str(argument))


@lru_cache(maxsize=256)
def compiled(source: str, name: str, filename: str) -> CodeType:
    """The code of a template; raises TemplateSyntaxError where it is not of the language."""
    language = Language()
    tree = language.parse(source, name, filename)
    for node in tree.find_all(nodes.Node):
        if why := _objection(node):
            raise TemplateSyntaxError(why, node.lineno, name, filename)
    for loop in list(tree.find_all(nodes.For)):
        loop.iter = _through(loop.iter, _EACH)
    for part in list(tree.find_all(nodes.Include)):
        part.template = _through(part.template, _PART)
    tree.set_environment(language)
    return language.compile(tree, name, filename)


def _filters() -> dict[str, Callable[..., object]]:
    counted = {name: _counted(function) for name, function in FILTERS.items()}
    return {**counted, DEFAULT: _default, _EACH: _each, _PART: _counted(str)}


def _objection(node: nodes.Node) -> str:
    """Why a part of a template is not of the language; empty if it is."""
    if not isinstance(node, _KNOWN) or (isinstance(node, nodes.Name) and node.name == "self"):
        return f"templates have no {type(node).__name__.lower()}"
    if isinstance(node, nodes.Filter) and node.name not in {*FILTERS, DEFAULT}:
        return f"there is no filter {node.name!r}; there are {', '.join((*FILTERS, DEFAULT))}"
    if isinstance(node, nodes.For) and node.recursive:
        return "templates have no recursive loops"
    if isinstance(node, nodes.List | nodes.Tuple) and not all(_plain(item) for item in node.items):
        return "a list in a template holds nothing but constants"
    return ""


def _plain(item: nodes.Expr) -> bool:
    """Whether an item of a list is a constant, or a name that a loop gives to what it takes apart."""
    return isinstance(item, nodes.Const) or (isinstance(item, nodes.Name) and item.ctx == "store")


def _through(expression: nodes.Node, name: str) -> nodes.Filter:
    return nodes.Filter(expression, name, [], [], None, None, lineno=expression.lineno)


def _counted(function: Callable[..., object]) -> Callable[..., object]:
    @pass_context
    def filtered(context: Context, value: object, *args: object, **named: object) -> object:
        _meter(context).step()
        _given(value)
        result = function(value, *args, **named)
        bounded(len(result) if isinstance(result, str) else 0)
        return result

    return filtered


@pass_context
def _each(context: Context, value: object) -> object:
    _given(value)
    if isinstance(value, str) or not isinstance(value, Sized):
        raise TypeError("a loop goes through a list")
    _meter(context).step(len(value))
    return value


@pass_context
def _default(context: Context, value: object, otherwise: object = "") -> object:
    _meter(context).step()
    return otherwise if isinstance(value, Undefined) else value


def _given(value: object) -> None:
    if isinstance(value, Undefined):
        str(value)  # which raises the error that names it


def _meter(context: Context) -> Meter:
    meter = context.resolve(METER)
    assert isinstance(meter, Meter)  # noqa: S101 - whoever renders puts it there
    return meter
