"""Durable steps: how many per second against the peers, what a late step costs, resuming, memory."""

from collections.abc import Mapping, Sequence
from functools import partial
from statistics import median

from bench import workload
from bench.children import Children, Numbers, UnmeasurableError, install_peers
from bench.figures import TIMES, Figure, missing

ROUNDS = 3
MANY = {"executions": 100, "steps": 20, "at_once": 10, "result": workload.RESULT}
FEW = {"executions": 4, "steps": 10, "at_once": 2, "result": workload.RESULT}
LONG, SHORT = 1000, 60

OURS = "engine-mcp"
PEERS: Mapping[str, tuple[str, Mapping[str, object]]] = {
    "LangGraph with its async SQLite saver": ("langgraph_steps.py", {}),
    "DBOS on SQLite": ("dbos_steps.py", {"wal": False}),
    "DBOS on SQLite with a write-ahead log": ("dbos_steps.py", {"wal": True}),
}
DEMANDED = tuple(PEERS)[:2]
AT_LEAST = 10.0
NARROW = "See [what the ratios depend on](#what-the-ratios-depend-on)"
FLAT = 1.25
RESUME_MS = 200.0
GROWN_MIB = 5.0


def rates(children: Children, *, quick: bool) -> list[Figure]:
    """Steps per second, everybody in turns; the ratios are medians over the rounds."""
    work = FEW if quick else MANY
    contestants = {OURS: partial(children.ours, {**work, "program": "throughput"})}
    trouble: list[Figure] = []
    if not quick:
        try:
            install_peers()
        except UnmeasurableError as error:
            trouble = [missing("durable steps per second against the peers", str(error))]
        else:
            contestants |= {
                name: partial(children.peer, script, {**work, **more})
                for name, (script, more) in PEERS.items()
            }
    turns = [{name: turn() for name, turn in contestants.items()} for _ in range(1 if quick else ROUNDS)]
    peers = [name for name in contestants if name != OURS]
    return [_rate(turns), *(_ratio(turns, name) for name in peers), *trouble]


Turns = Sequence[Mapping[str, Numbers]]


def _rate(turns: Turns) -> Figure:
    cpu = median(turn[OURS]["cpu_us_per_step"] for turn in turns)
    return Figure(
        what="durable steps per second",
        value=median(turn[OURS]["steps_per_s"] for turn in turns),
        detail=f"{cpu:.0f} µs of processor time each",
    )


def _ratio(turns: Turns, name: str) -> Figure:
    theirs = median(turn[name]["steps_per_s"] for turn in turns)
    return Figure(
        what=f"durable steps per second to {name}",
        value=median(turn[OURS]["steps_per_s"] / turn[name]["steps_per_s"] for turn in turns),
        unit=TIMES,
        at_least=AT_LEAST if name in DEMANDED else None,
        detail=f"{theirs:.0f} steps/s",
        because=NARROW,
    )


def growth(children: Children, *, quick: bool) -> list[Figure]:
    """What a step costs at the end of a long execution, against the beginning."""
    work = {"program": "growth", "steps": SHORT if quick else LONG}
    found = [children.ours(work) for _ in range(1 if quick else 2 * ROUNDS - 1)]
    early, late, early_cpu, late_cpu = (
        median(numbers[name] for numbers in found)
        for name in ("early_ms", "late_ms", "early_cpu_ms", "late_cpu_ms")
    )
    tenths = median(numbers["last_tenth_ms"] / numbers["first_tenth_ms"] for numbers in found)
    return [
        Figure(
            what="cost per step of one execution of 1,000 steps, at step 1,000 to step 10",
            value=median(numbers["late_ms"] / numbers["early_ms"] for numbers in found),
            unit=TIMES,
            at_most=FLAT,
            because="The wall time of a step is mostly its sync; processor time is what the engine adds",
            detail=(
                f"{early:.2f} → {late:.2f} ms, processor time {early_cpu:.2f} → {late_cpu:.2f} ms; "
                f"mean of the last tenth to the first's {tenths:.2f}{TIMES}"
            ),
        )
    ]


def resume(children: Children, *, quick: bool) -> list[Figure]:
    """Going on with a long execution in a fresh process, from the journal alone and with the snapshot."""
    work = {"steps": SHORT if quick else LONG, "record": str(children.folder())}
    children.ours({**work, "program": "interrupted"})
    found = {
        journal: [
            children.ours({**work, "program": "resumed", "journal": journal})
            for _ in range(1 if quick else ROUNDS)
        ]
        for journal in (True, False)
    }
    alone, helped = (median(numbers["resume_ms"] for numbers in found[way]) for way in (True, False))
    fold = median(numbers["fold_ms"] for numbers in found[True])
    return [
        Figure(
            what="load, fold and resume an execution of 1,000 steps",
            value=alone,
            unit="ms",
            at_most=RESUME_MS,
            detail=f"from the journal alone; with its snapshot {helped:.0f} ms; the fold {fold:.0f} ms",
        )
    ]


def memory(children: Children, *, quick: bool) -> list[Figure]:
    """What memory grows by from 1,000 to 10,000 steps."""
    work = {"program": "memory", "steps": 20, "executions": 20 if quick else 500, "at_once": 10}
    numbers = children.ours(work)
    before, after = numbers["after_tenth_mib"], numbers["after_all_mib"]
    return [
        Figure(
            what="memory after 10,000 steps, beyond that after 1,000",
            value=after - before,
            unit="MiB",
            at_most=GROWN_MIB,
            detail=f"{before:.1f} → {after:.1f} MiB resident",
        )
    ]
