"""Glob patterns: what they fit, and that none of them takes for ever."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine_mcp.errors import InvalidArgument
from engine_mcp.tools.glob import compiled


@pytest.mark.parametrize(
    ("pattern", "fitting", "others"),
    [
        ("*.py", ["a.py", "src/a.py", ".py", ".a.py"], ["a.pyc", "a.py/b"]),
        ("a?c", ["abc", "x/a.c"], ["ac", "abbc", "a/c"]),
        ("[a-c]*", ["a", "cx"], ["d", "A"]),
        ("[!a-c]*", ["d"], ["a"]),
        ("src/*.py", ["src/a.py"], ["a.py", "src/b/a.py", "x/src/a.py"]),
        ("/src/*.py", ["src/a.py"], ["x/src/a.py"]),
        ("./src/*", ["src/a"], ["src", "src/a/b"]),
        ("**/a", ["a", "x/a", "x/y/a"], ["a/x", "xa"]),
        ("src/**", ["src", "src/a", "src/a/b"], ["a/src"]),
        ("a/**/b", ["a/b", "a/x/b", "a/x/y/b"], ["b", "a", "x/a/b"]),
        ("**/x/**/y", ["x/y", "a/x/b/x/y"], ["x", "y/x"]),
        ("*.{js,ts}", ["a.js", "x/a.ts"], ["a.{js,ts}", "a.jsx"]),
        ("{src,test}/{a,b}/*", ["src/a/x", "test/b/x"], ["src/x"]),
        ("a{b{c,d},e}", ["abc", "abd", "ae"], ["ab"]),
        ("a{b", ["a{b"], ["ab"]),
        ("{}", [], ["{}"]),
        ("[", ["["], ["]"]),
        ("Ä*", ["Äx"], ["A"]),
    ],
)
def test_a_pattern_fits(pattern: str, fitting: list[str], others: list[str]) -> None:
    fits = compiled(pattern)
    assert [path for path in fitting if not fits(path.split("/"))] == []
    assert [path for path in others if fits(path.split("/"))] == []


@pytest.mark.timeout(20)
@pytest.mark.parametrize("pattern", ["*a" * 100 + "b", "**/a/" * 100 + "b", "**/**/" * 100 + "*b"])
def test_no_pattern_takes_exponential_time(pattern: str) -> None:
    assert not compiled(pattern)(["a" * 250] * 200)


def test_a_pattern_that_stands_for_too_many_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="more than 64") as caught:
        compiled("{a,b}" * 100)
    assert caught.value.field == "pattern"


@given(st.text(alphabet="ab*?[]!-{},./\\^é", max_size=20))
def test_every_pattern_can_be_asked(pattern: str) -> None:
    with suppress(InvalidArgument):  # for what stands for too many others
        compiled(pattern)(["a", "b"])
