"""Runtimes: what a streamed event and an attempt cost the engine, and how late 32 streams make its loop."""

import subprocess
import sys
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from statistics import median

from bench.children import ROOT, Children, Numbers, UnmeasurableError, environment
from bench.figures import TIMES, Figure

ROUNDS = 3
END_S = 10
EVENTS, FEW_EVENTS = 5000, 200
ATTEMPTS, FEW_ATTEMPTS = 40, 4
STREAMS, FEW_STREAMS = 32, 3
PACE_PER_S = 50
ONE_BY_ONE_PER_S = 1000
SECONDS, FEW_SECONDS = 10, 0.5
IDLE_S = 3.0
LAG_MS = 50.0
CLIS: Mapping[str, str] = {"claude": "claude-code", "opencode": "opencode"}
Turns = Sequence[tuple[Numbers, Numbers]]


@contextmanager
def provider(per_s: int) -> Generator[str]:
    """The address of a provider in a process of its own."""
    command = [sys.executable, "-m", "bench.provider", str(per_s)]
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment(),
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            url = process.stdout.readline().strip() if process.stdout is not None else ""
            if not url:
                raise UnmeasurableError(f"the provider ended with {process.wait(END_S)}")
            yield url
            if process.stdin is not None:
                process.stdin.close()
            with suppress(subprocess.TimeoutExpired):
                process.wait(END_S)
        finally:
            process.kill()


def _turns(children: Children, name: str, work: Mapping[str, object], rounds: int) -> Turns:
    """Engine and bare in turns, each in a fresh process."""
    return [
        (
            children.ours({"program": f"engine_{name}", **work}),
            children.ours({"program": f"bare_{name}", **work}),
        )
        for _ in range(rounds)
    ]


def _ratio(turns: Turns, name: str) -> float:
    return median(own[name] / bare[name] for own, bare in turns)


def _both(turns: Turns, name: str) -> tuple[float, float]:
    return median(own[name] for own, _ in turns), median(bare[name] for _, bare in turns)


def events(children: Children, *, quick: bool) -> list[Figure]:
    """Processor time per streamed event through the engine, against only reading the same stream."""
    rounds, pieces = (1, FEW_EVENTS) if quick else (ROUNDS, EVENTS)
    with provider(0) as url:
        work = {"runtime": "api", "pieces": pieces, "per_s": 0, "url": url}
        api = _turns(children, "streams", work, rounds)
    return [
        _per_event("`api`, a stream that comes at once, to the bare SDK's loop", api, ""),
        *(_of_cli(children, cli, pieces, rounds) for cli in CLIS),
    ]


def _of_cli(children: Children, cli: str, pieces: int, rounds: int) -> Figure:
    single, together = (
        _turns(children, "streams", {"runtime": cli, "pieces": count, "per_s": per_s}, rounds)
        for count, per_s in ((pieces // 2, ONE_BY_ONE_PER_S), (pieces, 0))
    )
    own, bare = _both(together, "cpu_us_per_piece")
    ratio = _ratio(together, "cpu_us_per_piece")
    detail = f"; as fast as they are read {ratio:.2f}{TIMES}: {own:.0f} µs, bare {bare:.0f} µs"
    return _per_event(f"`{CLIS[cli]}`, line by line, to a bare reader's of the same pipe", single, detail)


def _per_event(what: str, turns: Turns, more: str) -> Figure:
    own, bare = _both(turns, "cpu_us_per_piece")
    return Figure(
        what=f"engine CPU per streamed event, {what}",
        value=_ratio(turns, "cpu_us_per_piece"),
        unit=TIMES,
        detail=f"{own:.0f} µs, bare {bare:.0f} µs{more}",
    )


def attempts(children: Children, *, quick: bool) -> list[Figure]:
    """Processor time and wall time of an attempt on `command` that runs `true`, against only running it."""
    work = {"attempts": FEW_ATTEMPTS if quick else ATTEMPTS}
    turns = _turns(children, "attempts", work, 1 if quick else ROUNDS)
    all_cpu, bare_cpu = _both(turns, "all_cpu_ms")
    own_cpu, bare_own = _both(turns, "own_cpu_ms")
    wall, bare_wall = _both(turns, "attempt_p50_ms")
    late, bare_late = _both(turns, "attempt_p95_ms")
    alone = median(own["runner_p50_ms"] for own, _ in turns)
    return [
        Figure(
            what="processor time of an attempt on `command` that runs `true`, to only running it",
            value=_ratio(turns, "all_cpu_ms"),
            unit=TIMES,
            detail=(
                f"{all_cpu:.1f} ms, bare {bare_cpu:.1f} ms, child processes with it; "
                f"the engine's own {own_cpu:.1f} ms, bare {bare_own:.1f} ms"
            ),
        ),
        Figure(
            what="wall time of an attempt on `command` that runs `true`, p50, to only running it",
            value=_ratio(turns, "attempt_p50_ms"),
            unit=TIMES,
            detail=(
                f"{wall:.1f} ms, bare {bare_wall:.1f} ms; p95 {late:.1f} ms, bare {bare_late:.1f} ms; "
                f"the runner without the record {alone:.1f} ms"
            ),
        ),
    ]


def lag(children: Children, *, quick: bool) -> list[Figure]:
    """How late the loop is with 32 streams of `api`, at the pace of a model and as fast as they go."""
    rounds, streams, seconds = (1, FEW_STREAMS, FEW_SECONDS) if quick else (ROUNDS, STREAMS, SECONDS)
    work = {
        "runtime": "api",
        "streams": streams,
        "pieces": int(PACE_PER_S * seconds),
        "idle_s": FEW_SECONDS if quick else IDLE_S,
    }
    with provider(PACE_PER_S) as url:
        steady = _turns(children, "streams", {**work, "per_s": PACE_PER_S, "url": url}, rounds)
    with provider(0) as url:
        flat = _turns(children, "streams", {**work, "per_s": 0, "url": url}, rounds)
    pace = f"{STREAMS} streams of `api` at {PACE_PER_S} events a second each"
    idle = median(own["idle_p99_ms"] for own, _ in steady)
    return [
        Figure(what="loop lag, p99, idle", value=idle, unit="ms", detail=_spread(steady, "idle")),
        Figure(
            what=f"loop lag, p99, {pace}",
            value=median(own["busy_p99_ms"] for own, _ in steady),
            unit="ms",
            at_most=LAG_MS,
            detail=f"{_spread(steady, 'busy')}; {_load(steady)}",
            because="It needs a machine on which little else runs",
        ),
        _per_event(f"{pace}, to the bare SDK's loop", steady, ""),
        Figure(
            what=f"loop lag, p99, {STREAMS} streams of `api`, all events at once",
            value=median(own["busy_p99_ms"] for own, _ in flat),
            unit="ms",
            detail=f"{_spread(flat, 'busy')}; {_load(flat)}",
        ),
    ]


def _spread(turns: Turns, name: str) -> str:
    middle, worst = median(own[f"{name}_p50_ms"] for own, _ in turns), _worst(turns, name)
    bare = median(bare[f"{name}_p99_ms"] for _, bare in turns)
    return f"p50 {middle:.2f} ms, worst {worst:.0f} ms; bare SDK's p99 {bare:.1f} ms"


def _worst(turns: Turns, name: str) -> float:
    return max(own[f"{name}_worst_ms"] for own, _ in turns)


def _load(turns: Turns) -> str:
    rate, share = (median(own[name] for own, _ in turns) for name in ("pieces_per_s", "cpu_share"))
    return f"{rate:,.0f} events/s in all, {share:.0%} of a core"
