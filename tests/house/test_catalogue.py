"""Every error code is raised somewhere, shown in a test, and stands in the guide."""

import re
from functools import cache

import pytest

from engine_mcp import errors
from engine_mcp.catalogue import CATALOGUE
from engine_mcp.errors import EngineError
from tests.house.sources import ROOT, python

CLASSES = {
    kind.__name__: kind.code
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, EngineError)
}


@cache  # it is asked for each code, and looks at every word of a folder
def mentioned(folder: str, *, but: str) -> set[str]:
    """The codes that these files use, by themselves or by the class that carries them."""
    words = {word for source in python(folder) if not source.name.startswith(but) for word in source.words()}
    return {*(words & CATALOGUE.keys()), *(code for name, code in CLASSES.items() if name in words)}


def test_every_exception_has_a_code_of_the_catalogue() -> None:
    assert {name for name, code in CLASSES.items() if code not in CATALOGUE} == set()


def test_every_exception_but_the_first_has_a_code_of_its_own() -> None:
    codes = [code for name, code in CLASSES.items() if name != "EngineError"]
    assert len(codes) == len(set(codes))


def test_an_exception_without_words_says_what_the_catalogue_says() -> None:
    told = errors.ExecutionNotFound()
    assert told.message == CATALOGUE["execution_not_found"].cause
    assert told.hint == CATALOGUE["execution_not_found"].remedy


@pytest.mark.parametrize("code", CATALOGUE)
def test_a_code_is_used_by_the_product(code: str) -> None:
    assert code in mentioned("src", but="src/engine_mcp/catalogue.py")


@pytest.mark.parametrize("code", CATALOGUE)
def test_a_code_is_shown_by_a_test(code: str) -> None:
    assert code in mentioned("tests", but="tests/house/")


@pytest.mark.req("000:7.4.4")
def test_the_guide_lists_exactly_the_codes_of_the_catalogue() -> None:
    guide = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| `(\w+)` \|", guide, re.MULTILINE) == list(CATALOGUE)
