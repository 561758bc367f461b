"""Measure everything and write the tables of `docs/benchmarks.md`: `python -m bench.run`.

`--table NAME` measures and writes one of them. `--only NAME` measures one part and writes nothing.
`--quick` takes few and short samples, without the peers, and writes nothing either: it shows that
everything can be measured. `--json` prints the values.
"""

import argparse
import json
import math
import os
import platform
import sys
from collections.abc import Iterable, Mapping
from typing import Protocol

import psutil

from bench import counting, durable, money, scripting, shrinking, stdio, streams
from bench.children import ROOT, Children, UnmeasurableError, children
from bench.figures import Figure, missing, rendered
from scripts.markdown import between

PAGE = ROOT / "docs" / "benchmarks.md"


class Part(Protocol):
    """One part of the measurement; raises UnmeasurableError where it cannot be taken."""

    def __call__(self, children: Children, /, *, quick: bool) -> list[Figure]:
        """Measure it."""
        ...


TABLES: Mapping[str, Mapping[str, Part]] = {
    "figures": {
        "rates": durable.rates,
        "growth": durable.growth,
        "resume": durable.resume,
        "memory": durable.memory,
        "calls": stdio.calls,
        "cold-start": stdio.starts,
        "code-mode": scripting.starts,
        "host-calls": scripting.host_calls,
        "kills": scripting.kills,
        "sandboxes": scripting.crowd,
    },
    "runtimes": {"events": streams.events, "attempts": streams.attempts, "lag": streams.lag},
    "money": {
        "decisions": money.decisions,
        "ledger": money.ledger,
        "shared-budget": money.shared_budget,
    },
    "context": {
        "append": counting.append,
        "estimates": counting.errors,
        "fitting": shrinking.decisions,
        "summaries": shrinking.summaries,
    },
}
PARTS = {name: part for parts in TABLES.values() for name, part in parts.items()}


def measured(name: str, folder: Children, *, quick: bool) -> list[Figure]:
    """The figures of a part; where it cannot be taken, one that says why."""
    print(f"measuring {name}", file=sys.stderr, flush=True)
    try:
        figures = PARTS[name](folder, quick=quick)
    except UnmeasurableError as error:
        figures = [missing(name, str(error))]
    for figure in figures:
        if math.isnan(figure.value):
            print(f"NOT MEASURED: {figure.what}: {figure.detail}", file=sys.stderr, flush=True)
    return figures


def machine() -> str:
    """What it was measured on."""
    model = next((line for line in _lines("/proc/cpuinfo") if line.startswith("model name")), "")
    memory = psutil.virtual_memory().total / (1 << 30)
    parts = [
        f"{os.cpu_count()} cores",
        model.partition(":")[2].strip(),
        f"{memory:.0f} GiB",
        f"{platform.system()} {platform.machine()}",
        f"{platform.python_implementation()} {platform.python_version()}",
    ]
    return f"Measured on: {', '.join(part for part in parts if part)}."


def load() -> str:
    """How many processes ran or wanted to, over the last minute."""
    return f"{os.getloadavg()[0]:.1f}"


def _lines(path: str) -> list[str]:
    try:
        with open(path, encoding="utf-8") as file:  # noqa: PTH123 - a file of the kernel
            return file.readlines()
    except OSError:
        return []


def write(table: str, text: str) -> None:
    """Put a table into its page."""
    page = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(between(page, table, text), encoding="utf-8")


def chosen(wanted: argparse.Namespace) -> Mapping[str, Iterable[str]]:
    """The parts to measure, by their table."""
    if wanted.only:
        return {"": [wanted.only]}
    return {wanted.table: TABLES[wanted.table]} if wanted.table else TABLES


def main() -> int:
    """Measure, print and write; 1 where nothing at all could be measured."""
    parser = argparse.ArgumentParser(prog="bench.run", description="Measure engine-mcp.")
    parser.add_argument("--table", choices=TABLES, help="measure and write one table")
    parser.add_argument("--only", choices=PARTS, help="measure one part, and write nothing")
    parser.add_argument("--quick", action="store_true", help="few samples, and write nothing")
    parser.add_argument("--json", action="store_true", help="print the values as JSON")
    wanted = parser.parse_args()
    found: list[Figure] = []
    with children() as folder:
        for table, names in chosen(wanted).items():
            before = load()
            figures = [figure for name in names for figure in measured(name, folder, quick=wanted.quick)]
            found += figures
            busy = f"The load was {before} before and {load()} after, this measurement included."
            text = f"{machine()} {busy}\n\n{rendered(figures)}"
            if not wanted.json:
                print(text)
            if not (wanted.only or wanted.quick):
                write(table, text)
    if wanted.json:
        values = {figure.what: None if math.isnan(figure.value) else figure.value for figure in found}
        print(json.dumps(values, indent=2))
    if wanted.quick:
        print("Quick samples: these values say nothing, except that they can be measured.", file=sys.stderr)
    return int(all(math.isnan(figure.value) for figure in found))


if __name__ == "__main__":
    sys.exit(main())
