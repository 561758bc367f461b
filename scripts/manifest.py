"""The requirements manifest: which promise is shown by a test, which is for later, which is none.

`python -m scripts.manifest` marks as shown what tests now show; with `--check` it changes nothing
and tells where `tests/requirements.toml` and the tests disagree.

Each line of the manifest is `"<id>" = { status = "<status>", ..., text = "<promise>" }`; the status
is `shown` (a test carries the id), `later` (with the `part` of the work that it belongs to), or
`note` (with the `reason` why there is nothing to show).
"""

import sys
import tomllib
from collections.abc import Iterable, Mapping
from contextlib import redirect_stdout
from pathlib import Path

import pytest

MANIFEST = Path(__file__).resolve().parents[1] / "tests" / "requirements.toml"
FIELDS = {
    "shown": {"status", "text"},
    "later": {"status", "part", "text"},
    "note": {"status", "reason", "text"},
}

Manifest = Mapping[str, Mapping[str, str | int]]


class Collector:
    """A pytest plugin that notes the ids of the collected tests and runs none of them."""

    def __init__(self) -> None:
        self.shown: dict[str, str] = {}

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Note each id with the first test that carries it, then leave nothing to run."""
        for item in items:
            for marker in item.iter_markers("req"):
                for name in marker.args:
                    self.shown.setdefault(name, item.nodeid)
        items.clear()


def shown_by_tests() -> dict[str, str]:
    """Each id that a collected test carries, with that test; raises RuntimeError if collection fails."""
    collector = Collector()
    with redirect_stdout(sys.stderr):
        ended = pytest.main(["--collect-only", "-qq", "-p", "no:xdist", str(MANIFEST.parent)], [collector])
    if ended not in {pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED}:
        msg = "the tests cannot be collected"
        raise RuntimeError(msg)
    return collector.shown


def load(text: str) -> Manifest:
    """Read the manifest; raises ValueError where an entry has not exactly the fields of its status."""
    entries: Manifest = tomllib.loads(text)
    wrong = [name for name, entry in entries.items() if set(entry) != FIELDS.get(str(entry.get("status")))]
    if wrong:
        msg = f"entries with missing or unknown fields: {', '.join(wrong)}"
        raise ValueError(msg)
    return entries


def disagreements(entries: Manifest, shown: Mapping[str, str]) -> list[str]:
    """Say, one sentence each, where manifest and tests differ."""
    said = {name for name, entry in entries.items() if entry["status"] == "shown"}
    unlisted, unmarked = sorted(shown.keys() - entries.keys()), sorted((shown.keys() & entries.keys()) - said)
    return [
        *(f"{name} is not in the manifest, but {shown[name]} carries it" for name in unlisted),
        *(f"{name} is not marked as shown, but {shown[name]} carries it" for name in unmarked),
        *(f"{name} is marked as shown, but no test carries it" for name in sorted(said - shown.keys())),
    ]


def line(name: str, text: object) -> str:
    """Write the entry of a shown promise."""
    escaped = str(text).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{name}" = {{ status = "shown", text = "{escaped}" }}'


def refreshed(text: str, shown: Iterable[str]) -> str:
    """Mark the shown promises in the manifest's text, and add the promises of the SPEC that it lacks."""
    entries, names = load(text), set(shown)
    lines = text.splitlines()
    for number, old in enumerate(lines):
        name = old.partition('" = {')[0].removeprefix('"')
        if name in names & entries.keys():
            lines[number] = line(name, entries[name]["text"])
    new = sorted(name for name in names - entries.keys() if name.startswith("SPEC:"))
    lines += [line(name, name.rpartition(".")[2].replace("-", " ")) for name in new]
    return "\n".join(lines) + "\n"


def main(arguments: list[str]) -> int:
    """Refresh the manifest unless told to check only; return 1 where it disagrees with the tests."""
    shown = shown_by_tests()
    if arguments != ["--check"]:
        MANIFEST.write_text(refreshed(MANIFEST.read_text(encoding="utf-8"), shown), encoding="utf-8")
    said = disagreements(load(MANIFEST.read_text(encoding="utf-8")), shown)
    print("\n".join(said) if said else "the manifest and the tests agree")
    return 1 if said else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
