"""Hypothesis strategies for the frozen shapes of the core, made from their annotations."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import cache
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from hypothesis import strategies as st
from pydantic import JsonValue

NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
TEXTS = st.text(max_size=12)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
SIMPLE: dict[Any, st.SearchStrategy[Any]] = {
    bool: st.booleans(),
    int: st.integers(),
    float: NUMBERS,
    str: TEXTS,
    NoneType: st.none(),
    JsonValue: VALUES,
}


@cache
def values(shape: Any) -> st.SearchStrategy[Any]:  # noqa: ANN401 - any annotation of the core
    """A strategy for whatever the annotation allows."""
    if shape in SIMPLE:
        return SIMPLE[shape]
    if isinstance(shape, type) and issubclass(shape, Enum):
        return st.sampled_from(list(shape))
    if isinstance(shape, type) and is_dataclass(shape):
        hints = get_type_hints(shape)
        return st.builds(shape, **{field.name: values(hints[field.name]) for field in fields(shape)})
    return _generic(get_origin(shape), get_args(shape))


def _generic(origin: Any, inner: tuple[Any, ...]) -> st.SearchStrategy[Any]:  # noqa: ANN401
    if origin in {Union, UnionType}:
        return st.one_of(*map(values, inner))
    if origin is Literal:
        return st.sampled_from(inner)
    if origin is tuple:
        return st.lists(values(inner[0]), max_size=2).map(tuple)
    if origin is frozenset:
        return st.frozensets(values(inner[0]), max_size=2)
    if origin is Mapping:
        return st.dictionaries(values(inner[0]), values(inner[1]), max_size=2)
    raise TypeError(f"nothing is known of {origin}")
