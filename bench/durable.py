"""Durable steps: how many per second against the peers, what a late step costs, resuming, memory."""

import statistics
from collections.abc import Mapping
from functools import partial

from bench import workload
from bench.children import Children, Numbers, UnmeasurableError, install_peers
from bench.figures import Figure, missing

ROUNDS = 3
MANY = {"executions": 100, "steps": 20, "at_once": 10, "result": workload.RESULT}
FEW = {"executions": 4, "steps": 10, "at_once": 2, "result": workload.RESULT}
FLAT = 1.25
TIMES = 10.0
RESUME_MS = 200.0
GROWN_MIB = 5.0


def rates(children: Children, *, quick: bool) -> list[Figure]:
    """Steps per second, everybody in turns; the ratios are medians over the rounds."""
    work = FEW if quick else MANY
    contestants = {"engine-mcp": partial(children.ours, {**work, "program": "throughput"})}
    trouble: list[Figure] = []
    if not quick:
        try:
            install_peers()
        except UnmeasurableError as error:
            trouble = [missing("durable steps per second against the peers", str(error))]
        else:
            contestants |= {
                "LangGraph": partial(children.peer, "langgraph_steps.py", work),
                "DBOS": partial(children.peer, "dbos_steps.py", {**work, "wal": False}),
                "DBOS, write-ahead log": partial(children.peer, "dbos_steps.py", {**work, "wal": True}),
            }
    turns = [
        {name: turn() for name, turn in contestants.items()} for _ in range(1 if quick else ROUNDS)
    ]
    return [_own_rate(turns), *_ratios(turns), *trouble]


def _own_rate(turns: list[dict[str, Numbers]]) -> Figure:
    rate, cpu = (
        statistics.median(turn["engine-mcp"][name] for turn in turns)
        for name in ("steps_per_s", "cpu_us_per_step")
    )
    return Figure(what="durable steps per second", value=rate, detail=f"{cpu:.0f} µs of processor time each")


def _ratios(turns: list[dict[str, Numbers]]) -> list[Figure]:
    figures: list[Figure] = []
    for name in list(turns[0])[1:]:
        theirs = statistics.median(turn[name]["steps_per_s"] for turn in turns)
        ratio = statistics.median(turn["engine-mcp"]["steps_per_s"] / turn[name]["steps_per_s"] for turn in turns)
        demanded = TIMES if name in DEMANDED else None
        figures.append(
            Figure(
                what=f"… against {DEMANDED.get(name, name)}",
                value=ratio,
                unit="×",
                at_least=demanded,
                detail=f"{theirs:.0f} steps/s",
                because=WHY_NOT_TEN,
            )
        )
    return figures


DEMANDED: Mapping[str, str] = {
    "LangGraph": "LangGraph with its async SQLite saver",
    "DBOS": "DBOS on SQLite",
}
WHY_NOT_TEN = (
    "Where the disk answers a sync within some 100 µs, everybody waits for the processor and not for the disk, "
    "and the gap narrows: our step costs the engine's own work, two journal lines and a sync of its file"
)


def growth(children: Children, *, quick: bool) -> list[Figure]:
    """What a step costs at the end of a long execution, against the beginning."""
    work = {"program": "growth", "steps": 60 if quick else 1000}
    found = [children.ours(work) for _ in range(1 if quick else ROUNDS)]
    ratio, early, late = (
        statistics.median(values)
        for values in (
            [numbers["late_ms"] / numbers["early_ms"] for numbers in found],
            [numbers["early_ms"] for numbers in found],
            [numbers["late_ms"] for numbers in found],
        )
    )
    means = statistics.median(numbers["last_tenth_ms"] / numbers["first_tenth_ms"] for numbers in found)
    detail = f"{early:.2f} ms → {late:.2f} ms; mean of the last tenth to the first, snapshots included: {means:.2f}×"
    return [
        Figure(what="cost of step 1,000 to step 10", value=ratio, unit="×", at_most=FLAT, detail=detail)
    ]


def resume(children: Children, *, quick: bool) -> list[Figure]:
    """Going on with a long execution in a fresh process, from the journal alone and with the snapshot."""
    steps = 60 if quick else 1000
    record = str(children.folder())
    children.ours({"program": "interrupted", "steps": steps, "record": record})
    found = {
        journal: [
            children.ours({"program": "resumed", "steps": steps, "record": record, "journal": journal})
            for _ in range(1 if quick else 2 * ROUNDS - 1)
        ]
        for journal in (True, False)
    }
    alone, helped = (statistics.median(numbers["resume_ms"] for numbers in found[way]) for way in (True, False))
    fold = statistics.median(numbers["fold_ms"] for numbers in found[True])
    what = "load, fold and resume an execution of 1,000 steps"
    detail = f"from the journal alone; with its snapshot {helped:.0f} ms; the fold of all events alone {fold:.0f} ms"
    return [Figure(what=what, value=alone, unit="ms", at_most=RESUME_MS, detail=detail)]


def memory(children: Children, *, quick: bool) -> list[Figure]:
    """What memory grows by from 1,000 to 10,000 steps."""
    numbers = children.ours(
        {"program": "memory", "steps": 20, "executions": 20 if quick else 500, "at_once": 10}
    )
    before, after = numbers["after_tenth_mib"], numbers["after_all_mib"]
    return [
        Figure(
            what="memory after 10,000 steps, more than after 1,000",
            value=after - before,
            unit="MiB",
            at_most=GROWN_MIB,
            detail=f"{before:.1f} → {after:.1f} MiB resident",
        )
    ]
