"""The house numbers: nothing grows past what one reading can hold."""

import ast

import pytest

from tests.house.sources import python

FILE_LINES = 400
TEST_FILE_LINES = 600
FUNCTION_LINES = 50
PARAMETERS = 6


def parameters(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    arguments = function.args
    named = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    own = [argument for argument in named if argument.arg not in {"self", "cls"}]
    return len(own) + bool(arguments.vararg) + bool(arguments.kwarg)


@pytest.mark.parametrize(
    ("folders", "limit"),
    [(("src", "scripts", "bench"), FILE_LINES), (("tests",), TEST_FILE_LINES)],
    ids=["product", "tests"],
)
def test_no_file_is_longer_than_its_limit(folders: tuple[str, ...], limit: int) -> None:
    assert {source.name: source.lines for source in python(*folders) if source.lines > limit} == {}


def test_no_function_is_longer_than_its_limit() -> None:
    lengths = {
        f"{source.name}:{node.lineno} {node.name}": (node.end_lineno or node.lineno) - node.lineno + 1
        for source in python("src", "scripts", "bench", "tests")
        for node in source.functions()
    }
    assert {name: length for name, length in lengths.items() if length > FUNCTION_LINES} == {}


def test_no_function_takes_more_parameters_than_its_limit() -> None:
    counts = {
        f"{source.name}:{node.lineno} {node.name}": parameters(node)
        for source in python("src", "scripts", "bench")
        for node in source.functions()
    }
    assert {name: count for name, count in counts.items() if count > PARAMETERS} == {}
