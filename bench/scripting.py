"""Code mode's figures with their demands."""

import math
from functools import partial

from bench import code_mode, workload
from bench.children import Children
from bench.figures import TIMES, Figure

CALLS = 2000
STARTS = 150
KILLS = 25
WARM_RATIO = 3.5
WARM_P99_MS = 10.0
SEQUENTIAL_PER_S = 1500.0
IN_FLIGHT_PER_S = 8000.0
LATE_MS = 25.0
PSS_MIB = 300.0


def starts(_: Children, *, quick: bool) -> list[Figure]:
    """A script of `1+1` in a fresh, hardened child, against the bare engine in a thread of this process."""
    rounds = 6 if quick else STARTS
    warm = workload.run(partial(code_mode.warm_start, rounds))
    empty = workload.run(partial(code_mode.empty_pool, rounds))
    ours, bare = warm["warm_p50_ms"], warm["bare_thread_p50_ms"]
    return [
        Figure(
            what="code mode, warm `1+1`, p50 to a bare QuickJS thread's",
            value=ours / bare,
            unit=TIMES,
            at_most=WARM_RATIO,
            detail=f"{ours:.2f} ms, bare {bare:.2f} ms",
        ),
        Figure(
            what="code mode, warm `1+1`, p99",
            value=warm["warm_p99_ms"],
            unit="ms",
            at_most=WARM_P99_MS,
            because="Two slow starts of 150 are enough to miss it: it needs a quiet machine",
        ),
        Figure(
            what="code mode, `1+1` with no child ready, p50",
            value=empty["empty_pool_p50_ms"],
            unit="ms",
            detail=f"the first script of all {empty['first_result_ms']:.0f} ms",
        ),
    ]


def host_calls(children: Children, *, quick: bool) -> list[Figure]:
    """Host calls of one script: to the sandbox's own door, and through the engine onto the record."""
    calls = 100 if quick else CALLS
    bare = workload.run(partial(code_mode.host_calls, calls))
    work = {"program": "recorded_calls", "calls": calls, "in_flight": code_mode.AT_ONCE}
    kept = children.ours(work)
    return [
        Figure(
            what="host calls from one script, one after another",
            value=bare["sequential_per_s"],
            unit="/s",
            at_least=SEQUENTIAL_PER_S,
            detail=f"through the engine, each on record, {kept['sequential_per_s']:,.0f}/s",
        ),
        Figure(
            what=f"host calls from one script, {code_mode.AT_ONCE} in flight",
            value=bare["in_flight_per_s"],
            unit="/s",
            at_least=IN_FLIGHT_PER_S,
            detail=f"through the engine, each on record, {kept['in_flight_per_s']:,.0f}/s",
        ),
    ]


def kills(_: Children, *, quick: bool) -> list[Figure]:
    """How long after its wall deadline a script is over, whatever it does."""
    late = workload.run(partial(code_mode.kill_overshoot, 3 if quick else KILLS))
    return [
        Figure(
            what=f"kill after the wall deadline, {name}, p99",
            value=late[f"{key}_p99_ms"],
            unit="ms",
            at_most=LATE_MS,
            detail=f"p50 {late[f'{key}_p50_ms']:.1f} ms",
        )
        for name, key in (("in a regular expression", "regexp"), ("in an idle host call", "idle_call"))
    ]


def crowd(_: Children, *, quick: bool) -> list[Figure]:
    """The memory of a hundred scripts at once, their zygote included; shared pages counted in part."""
    del quick
    mib = workload.run(code_mode.hundred_sandboxes)["pss_mib"]
    # A kernel that tells nothing of shared pages gives zero.
    return [
        Figure(
            what=f"{code_mode.AT_ONCE} sandboxes at once",
            value=mib or math.nan,
            unit="MiB",
            at_most=PSS_MIB,
        )
    ]
