"""Whatever happens in whatever order: what is spent and held never passes a limit that pauses."""

import tempfile
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from anyio.from_thread import start_blocking_portal
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from engine_mcp.core.budget import Limits, OnExceed, Resource, Usage
from engine_mcp.core.period import QUARTER_S, Period, bounds
from engine_mcp.core.spending import Hold, Posting
from engine_mcp.ledger.book import SqliteLedger
from engine_mcp.ledger.memory import MemoryLedger
from tests.ledger.ledgers import AnyLedger, FewProcesses, change

NAMES = st.sampled_from(["one", "two", "three"])
AMOUNTS = st.builds(
    Usage,
    tokens_in=st.integers(0, 30),
    tokens_out=st.integers(0, 10),
    cost_micros=st.integers(0, 20),
    requests=st.integers(0, 1),
    seconds=st.integers(0, 40).map(lambda each: each / 10),
)
CAPS = {
    Period.DAY: Limits(max_tokens=60, max_cost_usd=0.0001, max_requests=9),
    Period.MONTH: Limits(max_tokens=150, max_seconds=30.5),
}
ZONE = timezone(timedelta(hours=5, minutes=45))
START = datetime(2027, 1, 30, 12, tzinfo=UTC).timestamp()
MICRO = 1_000_000
MEMORY = Path("/dev/shm")  # noqa: S108 - a file system in memory, where syncs cost nothing
NO_HOLDS: tuple[Hold, ...] = ()


@dataclass
class Driven:
    """An execution as its process knows it: events on record, what is posted of them, what attempts hold."""

    revision: int = 0
    posted: int = 0
    unposted: dict[int, Usage] = field(default_factory=dict[int, Usage])
    uses: list[tuple[float, Usage]] = field(default_factory=list[tuple[float, Usage]])
    holds: dict[int, Usage] = field(default_factory=dict[int, Usage])
    attempts: int = 0
    owner: int = 0
    alive: bool = True

    def spend(self, at: float, used: Usage) -> None:
        self.revision += 1
        self.uses.append((at, used))
        quarter = int(at // QUARTER_S)
        self.unposted[quarter] = self.unposted.get(quarter, Usage()) + used


def part(usage: Usage, share: float) -> Usage:
    return Usage(
        tokens_in=int(usage.tokens_in * share),
        tokens_out=int(usage.tokens_out * share),
        cost_micros=int(usage.cost_micros * share),
        requests=int(usage.requests * share),
        seconds=int(usage.seconds * share * MICRO) / MICRO,
    )


def rest(usage: Usage, used: Usage) -> Usage:
    return Usage(
        tokens_in=usage.tokens_in - used.tokens_in,
        tokens_out=usage.tokens_out - used.tokens_out,
        cost_micros=usage.cost_micros - used.cost_micros,
        requests=usage.requests - used.requests,
        seconds=max(0.0, usage.seconds - used.seconds),
    )


class Sharing(RuleBasedStateMachine):
    """Executions, each driven by a process of its own, that spend under the same limits."""

    def ledger_in(self, folder: Path) -> AnyLedger:
        path = folder / "ledger.sqlite"
        return SqliteLedger(path, ZONE, CAPS, clock=lambda: self.now, processes=self.processes)

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None)
        self.processes = FewProcesses()
        self.ledger = self.ledger_in(Path(self.folder.name))
        self.manager = start_blocking_portal()
        self.call = self.manager.__enter__().call
        self.now = START
        self.past = {START}
        self.driven: dict[str, Driven] = {}
        self.owners = 0

    @initialize(cost=st.sampled_from([0.00005, 0.00009]), on_exceed=st.sampled_from([None, OnExceed.PAUSE]))
    def limited(self, cost: float, on_exceed: OnExceed | None) -> None:
        limits = Limits(max_cost_usd=cost, on_exceed=on_exceed)
        self.call(self.ledger.limit, Period.DAY, limits, change(self.now))

    def driver(self, name: str) -> Driven:
        if name not in self.driven:
            self.driven[name] = Driven(owner=self.new_owner())
        return self.driven[name]

    def new_owner(self) -> int:
        self.owners += 1
        return self.owners

    def posting(self, name: str) -> Posting:
        """What the process of an execution posts next; from here on it is the one that writes."""
        one = self.driver(name)
        self.processes.me = (one.owner, 0.0)
        holds = tuple(Hold(step="s", number=number, usage=left) for number, left in one.holds.items())
        spent, one.unposted = one.unposted, {}
        after, one.posted = one.posted, one.revision
        return Posting(execution_id=name, after=after, upto=one.revision, spent=spent, holds=holds)

    def post(self, name: str) -> None:
        posting = self.posting(name)
        assert self.call(self.ledger.post, posting)
        assert posting.upto == posting.after or not self.call(self.ledger.post, posting)

    @rule(name=NAMES, asked=st.lists(AMOUNTS, min_size=1, max_size=2))
    def reserve(self, name: str, asked: list[Usage]) -> None:
        one = self.driver(name)
        if not one.alive:
            return
        numbers = range(one.attempts + 1, one.attempts + 1 + len(asked))
        holds = [Hold(step="s", number=each, usage=usage) for each, usage in zip(numbers, asked, strict=True)]
        if self.call(self.ledger.reserve, self.posting(name), holds, self.now) is None:
            one.attempts += len(asked)
            one.holds.update(zip(numbers, asked, strict=True))

    @rule(name=NAMES, share=st.floats(0, 1), ends=st.booleans(), posts=st.booleans())
    def use(self, name: str, share: float, *, ends: bool, posts: bool) -> None:
        """An attempt uses a part of what it holds, and maybe ends; that is posted at once or later."""
        one = self.driver(name)
        if not one.alive:
            return
        if one.holds:
            number = min(one.holds)
            used = part(one.holds[number], share)
            one.spend(self.now, used)
            one.holds[number] = rest(one.holds[number], used)
            if ends:
                del one.holds[number]
        if posts:
            self.post(name)

    @rule(name=NAMES)
    def crash(self, name: str) -> None:
        """The process dies; its attempts had just used all that they held, and nobody was told."""
        one = self.driver(name)
        one.alive = False
        self.processes.dead.add((one.owner, 0.0))
        for left in one.holds.values():
            one.spend(self.now, left)
        one.holds.clear()

    @rule(name=NAMES)
    def recover(self, name: str) -> None:
        """A new process finds what the dead one left on record."""
        one = self.driver(name)
        if not one.alive:
            one.alive, one.owner = True, self.new_owner()
            self.post(name)

    @rule(hours=st.sampled_from([0.2, 5, 24, 60]))
    def time_passes(self, hours: float) -> None:
        """Processes that live post what they know; somebody asks for room soon, and so sees who lives."""
        for name, one in self.driven.items():
            if one.alive:
                self.post(name)
        self.now += hours * 3600
        self.past.add(self.now)
        self.processes.me = (0, 0.0)
        self.call(self.ledger.reserve, Posting(execution_id="witness", after=0, upto=0), NO_HOLDS, self.now)

    @invariant()
    def no_limit_is_passed(self) -> None:
        for standing in self.call(self.ledger.room, self.now).standings:
            for resource in Resource:
                left = standing.left(resource)
                assert left is None or left >= 0, (standing, resource)

    @invariant()
    def no_limit_is_passed_by_what_is_really_used_and_held(self) -> None:
        for period, limits in CAPS.items():
            begin, end = bounds(period, self.now, ZONE)
            uses = [use for one in self.driven.values() for at, use in one.uses if begin <= at < end]
            held = [hold for one in self.driven.values() for hold in one.holds.values()]
            assert reached_beyond(limits, sum([*uses, *held], Usage())) == []

    def teardown(self) -> None:
        for name, one in self.driven.items():
            if not one.alive:
                self.recover(name)
        for period, limits in CAPS.items():
            for at in self.past:
                assert reached_beyond(limits, self.call(self.ledger.spent, period, at)) == []
        if isinstance(self.ledger, SqliteLedger):
            self.ledger.close()
        self.manager.__exit__(None, None, None)
        self.folder.cleanup()


def reached_beyond(limits: Limits, spent: Usage) -> list[Resource]:
    """The resources of which more than the limit was spent."""
    bounded = ((resource, limits.amount(resource)) for resource in Resource)
    return [resource for resource, most in bounded if most is not None and spent.amount(resource) > most]


class SharingInMemory(Sharing):
    """The same with the ledger in memory."""

    def ledger_in(self, folder: Path) -> AnyLedger:
        assert folder.is_dir()
        return MemoryLedger(ZONE, CAPS)


EXAMPLES = settings(max_examples=40, stateful_step_count=40, suppress_health_check=[HealthCheck.too_slow])


@pytest.mark.req("003:L49")
@pytest.mark.parametrize("machine", [Sharing, SharingInMemory])
def test_no_order_of_events_passes_a_limit(machine: type[Sharing]) -> None:
    run_state_machine_as_test(machine, settings=EXAMPLES)
