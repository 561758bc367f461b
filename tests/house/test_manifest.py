"""Promises and tests are tied both ways."""

import subprocess
import sys
from collections.abc import Mapping

import pytest

from scripts.manifest import MANIFEST, disagreements, load, refreshed
from tests.house.sources import ROOT

LATER = 'status = "later", part = 2, text = "a \\"quoted\\" promise"'


@pytest.mark.timeout(120)
def test_each_promise_shown_has_a_test_and_each_test_a_promise(shown: Mapping[str, str] | None) -> None:
    if shown is not None:  # to collect all tests once more takes as long as many of them
        assert disagreements(load(MANIFEST.read_text(encoding="utf-8")), shown) == []
        return
    command = [sys.executable, "-m", "scripts.manifest", "--check"]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100, check=False)
    assert told.returncode == 0, told.stdout + told.stderr


def test_every_note_has_a_reason_and_every_later_promise_a_part() -> None:
    entries = load(MANIFEST.read_text(encoding="utf-8"))
    assert all(entry["reason"] for entry in entries.values() if entry["status"] == "note")
    assert {entry["part"] for entry in entries.values() if entry["status"] == "later"} <= {1, 2, 3, 4, 5}


@pytest.mark.parametrize(
    ("status", "shown", "said"),
    [
        ('status = "later", part = 1', {"a": "test_a"}, "a is not marked as shown, but test_a carries it"),
        ('status = "note", reason = "r"', {"a": "test_a"}, "a is not marked as shown, but test_a carries it"),
        ('status = "shown"', {}, "a is marked as shown, but no test carries it"),
        ('status = "shown"', {"a": "t", "b": "test_b"}, "b is not in the manifest, but test_b carries it"),
    ],
)
def test_a_disagreement_is_told_with_its_id(status: str, shown: dict[str, str], said: str) -> None:
    assert disagreements(load(f'"a" = {{ {status}, text = "t" }}'), shown) == [said]


def test_an_entry_with_a_missing_field_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown fields: a"):
        load('"a" = { status = "later", text = "no part" }')


def test_a_refresh_marks_what_is_shown_and_keeps_every_other_line() -> None:
    before = f'# a comment\n"a.1" = {{ {LATER} }}\n"b" = {{ {LATER} }}\n'
    after = refreshed(before, ["a.1", "SPEC:5.fresh-context"])
    assert after.splitlines()[0] == "# a comment"
    assert after.splitlines()[2] == f'"b" = {{ {LATER} }}'
    assert load(after)["a.1"] == {"status": "shown", "text": 'a "quoted" promise'}
    assert load(after)["SPEC:5.fresh-context"] == {"status": "shown", "text": "fresh context"}
    assert refreshed(after, ["a.1", "SPEC:5.fresh-context"]) == after
