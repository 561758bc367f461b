"""The ledger entries of an execution: what each attempt took of each model, and what it cost."""

from engine_mcp.cli.session import Rest
from engine_mcp.cli.voice import note, say
from engine_mcp.cli.words import number
from engine_mcp.core.charge import Charge, drift
from engine_mcp.core.execution import Execution
from engine_mcp.server.entries import entries
from engine_mcp.server.results import LedgerEntry

COLUMNS = "<16 >4 <22 >10 >10 <10 >10 >10 <0"
HEAD = ("step", "try", "  model", "tokens", "cost", " basis", "reported", "computed", "  price")
MUCH = 0.05
"""From which part of it a cost is said to be another than the computed one."""


def print_entries(rest: Rest, count: int) -> None:
    """Print the newest `count` entries, the newest last, and by how much reported costs are off."""
    rows = entries(rest.execution, rest.now)
    if rows and count:
        say("\n" + _line(HEAD))
        for row in rows[-count:]:
            say(_line(_cells(row)))
        if len(rows) > count:
            note(f"{len(rows) - count} earlier: use --entries.")
    if (off := drifted(rest.execution)) is not None:
        warning = "  (more than 5 %: look at the prices)" if abs(off) > MUCH else ""
        say(f"drift     {off:+.1%}: reported costs beside computed ones{warning}")


def drifted(execution: Execution) -> float | None:
    """By which part the reported costs exceed the computed ones, over the attempts that report any."""
    told: list[Charge] = []
    for step in execution.steps.values():
        for attempt in step.attempts:
            if any(charge.reported_micros is not None for charge in attempt.charges):
                told += attempt.charges
    return drift(told)


def _cells(entry: LedgerEntry) -> tuple[str, ...]:
    return (
        entry.step,
        str(entry.attempt),
        f"  {entry.model or '-'}",
        str(entry.tokens),
        f"${number(entry.cost_usd)}",
        f" {entry.cost_basis}",
        "-" if entry.reported_usd is None else number(entry.reported_usd),
        "-" if entry.computed_usd is None else number(entry.computed_usd),
        f"  {entry.price or ''}",
    )


def _line(cells: tuple[str, ...]) -> str:
    return "".join(f"{cell:{form}}" for cell, form in zip(cells, COLUMNS.split(), strict=True)).rstrip()
