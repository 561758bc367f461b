"""Money: what a decision costs, what the ledger takes, and many executions under one limit of a day."""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from statistics import median

import anyio

from bench.children import ROOT, Children, Numbers, UnmeasurableError, environment
from bench.figures import TIMES, Figure
from bench.ledger_writer import paid, prepare

ROUNDS = 3
END_S = 10
SIZES: Mapping[int, int] = {10: 60, 100: 60, 1000: 12}
"""The plans by their number of steps, each with how many events of it are measured."""
VARIANTS: Mapping[str, str] = {
    "free": "without limits",
    "limited": "with limits of the execution and of each step",
    "shared": "with limits of day and month and breakers too",
}
DECIDE_S, FEW_DECIDE_S = 1.0, 0.02
WRITE_S, FEW_WRITE_S = 3.0, 0.1
WRITERS, FEW_WRITERS = (1, 4), (1, 2)
EXECUTIONS, FEW_EXECUTIONS = 50, 2
STEPS, FEW_STEPS = 20, 4
STALL_MS = 50.0
NOTHING, PLENTY, SCARCE = 0, 2.5, 0.5
"""What the day has room for, as a part of what the executions need; 0 stands for no ledger."""


def decisions(children: Children, *, quick: bool) -> list[Figure]:
    """Processor time of deciding what follows from an event, against that of folding it."""
    work = {"program": "decisions", "seconds": FEW_DECIDE_S if quick else DECIDE_S}
    found = {
        steps: children.ours(
            {**work, "steps": max(4, steps // 10) if quick else steps, "window": 1 if quick else window}
        )
        for steps, window in SIZES.items()
    }
    figures = [_decision(steps, variant, found[steps]) for steps in SIZES for variant in VARIANTS]
    return [*figures, _longest(found[max(SIZES)])]


def _decision(steps: int, variant: str, found: Numbers) -> Figure:
    decided, folded = (found[f"{variant}_rows_{what}_us"] for what in ("decide", "fold"))
    return Figure(
        what=f"deciding what follows from an event of {steps:,} steps, {VARIANTS[variant]}, to folding it",
        value=decided / folded,
        unit=TIMES,
        detail=(
            f"{decided:,.0f} µs, folding {folded:.0f} µs; where all steps could start "
            f"{found[f'{variant}_beside_decide_us']:,.0f} µs"
        ),
    )


def _longest(found: Numbers) -> Figure:
    return Figure(
        what="the longest of these decisions: 1,000 steps that could all start, with limits and breakers",
        value=found["shared_beside_decide_us"] / 1000,
        unit="ms",
        at_most=STALL_MS,
        because="Each step that could start is weighed anew",
    )


def ledger(children: Children, *, quick: bool) -> list[Figure]:
    """How often a second something is reserved and posted, against as many bare transactions."""
    seconds, crowds = (FEW_WRITE_S, FEW_WRITERS) if quick else (WRITE_S, WRITERS)
    figures: list[Figure] = []
    for writers in crowds:
        turns = [
            (_paying(children, "ledger", writers, seconds), _paying(children, "bare", writers, seconds))
            for _ in range(1 if quick else ROUNDS)
        ]
        figures.append(_rate(turns, writers))
    return figures


def _rate(turns: Sequence[tuple[Numbers, Numbers]], writers: int) -> Figure:
    who = "one process" if writers == 1 else f"{writers} processes on one file"
    own, bare = (_medians(side) for side in zip(*turns, strict=True))
    return Figure(
        what=f"reserved and posted in the ledger per second, {who}, to bare SQLite transactions",
        value=median(mine["per_s"] / theirs["per_s"] for mine, theirs in turns),
        unit=TIMES,
        detail=(
            f"{own['per_s']:,.0f}/s, bare {bare['per_s']:,.0f}/s; p50 {own['p50_ms']:.2f} ms, p99 "
            f"{own['p99_ms']:.2f} ms, bare {bare['p50_ms']:.2f} ms and {bare['p99_ms']:.2f} ms"
        ),
    )


def _medians(found: Sequence[Numbers]) -> Numbers:
    return {name: median(one[name] for one in found) for name in found[0]}


def _paying(children: Children, kind: str, writers: int, seconds: float) -> Numbers:
    """What processes do together that begin at once; what they paid must be in the file."""
    file = children.folder() / "ledger"
    anyio.run(prepare, kind, file)
    work = {"kind": kind, "file": str(file), "seconds": seconds}
    told = _together([{**work, "name": f"payer {number}"} for number in range(writers)])
    found, meant = anyio.run(paid, kind, file), sum(one["tokens"] for one in told)
    if found != meant:
        raise UnmeasurableError(f"{meant:.0f} tokens were paid and {found} are in the file")
    return {
        "per_s": sum(one["per_s"] for one in told),
        "p50_ms": median(one["p50_ms"] for one in told),
        "p99_ms": max(one["p99_ms"] for one in told),
    }


def _together(works: Sequence[Mapping[str, object]]) -> list[Numbers]:
    """The numbers of processes that begin once all of them are there."""
    with ExitStack() as stack:
        writers = [stack.enter_context(_writer(work)) for work in works]
        stack.callback(lambda: [writer.kill() for writer in writers])
        for writer in writers:
            if writer.stdout is None or writer.stdout.readline() != "ready\n":
                raise UnmeasurableError("a process that writes to the ledger did not begin")
        for writer in writers:
            if writer.stdin is not None:
                writer.stdin.close()
        return [_numbers(writer) for writer in writers]


def _writer(work: Mapping[str, object]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "bench.ledger_writer", json.dumps(work)],
        cwd=ROOT,
        env=environment(),
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )


def _numbers(writer: subprocess.Popen[str]) -> Numbers:
    told = writer.stdout.read() if writer.stdout is not None else ""
    if status := writer.wait(END_S):
        raise UnmeasurableError(f"a process that writes to the ledger ended with {status}")
    return json.loads(told)


def shared_budget(children: Children, *, quick: bool) -> list[Figure]:
    """50 executions at once under a limit of the day: one that suffices, and one that is reached."""
    work = {
        "program": "shared_budget",
        "executions": FEW_EXECUTIONS if quick else EXECUTIONS,
        "steps": FEW_STEPS if quick else STEPS,
    }
    turns = [
        {share: children.ours({**work, "share": share}) for share in (NOTHING, PLENTY, SCARCE)}
        for _ in range(1 if quick else ROUNDS)
    ]
    unbounded = children.ours({**work, "share": PLENTY, "own": False})
    return [
        _speed(turns, unbounded),
        *_held("a limit of the day that suffices", [turn[PLENTY] for turn in turns]),
        *_held("a limit of the day that is reached", [turn[SCARCE] for turn in turns]),
    ]


def _speed(turns: Sequence[Mapping[float, Numbers]], unbounded: Numbers) -> Figure:
    free, plenty, scarce = (_medians([turn[share] for turn in turns]) for share in (NOTHING, PLENTY, SCARCE))
    return Figure(
        what=f"steps per second, {EXECUTIONS} executions at once under a limit of the day, to none",
        value=median(turn[PLENTY]["steps_per_s"] / turn[NOTHING]["steps_per_s"] for turn in turns),
        unit=TIMES,
        detail=(
            f"{plenty['steps_per_s']:,.0f}/s, without ledger {free['steps_per_s']:,.0f}/s; processor time "
            f"of a step {plenty['cpu_us_per_step']:,.0f} µs, without ledger "
            f"{free['cpu_us_per_step']:,.0f} µs; until the limit is reached {scarce['steps_per_s']:,.0f}/s; "
            f"where steps have no limits of their own {unbounded['steps_per_s']:,.0f}/s"
        ),
    )


def _held(name: str, found: Sequence[Numbers]) -> list[Figure]:
    completed, paused, looks = (sum(one[key] for one in found) for key in ("completed", "paused", "looks"))
    stretch, usual = max(one["lag_stretch_ms"] for one in found), _medians(found)
    return [
        Figure(
            what=f"spent and held beyond {name}",
            value=max(one["passed"] for one in found),
            unit="tokens",
            at_most=0,
            detail=f"looked at {looks:,.0f} times; {completed:.0f} executions completed, {paused:.0f} paused",
        ),
        Figure(
            what=f"longest stall of the event loop, {name}",
            value=max(one["lag_worst_ms"] for one in found),
            unit="ms",
            at_most=STALL_MS,
            detail=(
                f"p50 {usual['lag_p50_ms']:.2f} ms, p99 {usual['lag_p99_ms']:.1f} ms; at a stretch the loop "
                f"took at most {stretch:.0f} ms of processor time"
            ),
            because="It needs a machine on which little else runs",
        ),
    ]
