"""Names say what a thing is; an empty noun says nothing."""

import re
from pathlib import PurePath

from tests.house.sources import Source, python

EMPTY = "manager handler helper util common misc base service processor data info"
BANNED = {form for noun in EMPTY.split() for form in (noun, f"{noun}s")}
WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")


def words(name: str) -> set[str]:
    return {word.lower() for word in WORD.findall(name)}


def names(source: Source) -> set[str]:
    parts = PurePath(source.name).with_suffix("").parts
    return {*parts, *(node.name for node in source.functions()), *(node.name for node in source.classes())}


def test_words_are_found_in_snake_and_camel_case() -> None:
    assert words("HTTPBaseHandler_of_data2") == {"http", "base", "handler", "of", "data", "2"}


def test_no_module_class_or_function_is_named_with_an_empty_noun() -> None:
    found = {
        f"{source.name}: {name}"
        for source in python("src", "scripts", "bench")
        for name in names(source)
        if words(name) & BANNED
    }
    assert found == set()


def test_no_test_module_is_named_with_an_empty_noun() -> None:
    found = {source.name for source in python("tests") if words(PurePath(source.name).stem) & BANNED}
    assert found == set()
