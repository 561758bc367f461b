"""Places: each execution gets its fair share, no place is ever lost, and a pressed machine gives fewer."""

import threading
from collections import Counter
from dataclasses import dataclass, field

import anyio
import anyio.lowlevel
import pytest
from anyio.abc import TaskGroup
from hypothesis import given
from hypothesis import strategies as st

from engine_mcp.engine.places import Places
from engine_mcp.engine.pressure import MachinePressure, Sample, machine
from tests.engine.rig import came

pytestmark = pytest.mark.anyio


@dataclass
class Hand:
    """A pressure that a test sets by hand."""

    value: float = 0.0

    async def pressed(self) -> float:
        return self.value


@dataclass(eq=False)
class Visit:
    """A task that wants a place, keeps it until it is let go, and may be cancelled."""

    execution: str
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    inside: anyio.Event = field(default_factory=anyio.Event)
    let_go: anyio.Event = field(default_factory=anyio.Event)

    async def make(self, places: Places) -> None:
        with self.scope:
            async with places.place(self.execution):
                self.inside.set()
                await self.let_go.wait()


@dataclass
class Queue:
    """What is known of the visits of a test, and the rule that the places are to follow, said simply."""

    places: Places
    tasks: TaskGroup
    inside: list[Visit] = field(default_factory=list[Visit])
    outside: list[Visit] = field(default_factory=list[Visit])

    async def comes(self, execution: str) -> Visit:
        visit = Visit(execution)
        self.tasks.start_soon(visit.make, self.places)
        self.outside.append(visit)
        await self.agree()
        return visit

    async def goes(self, visit: Visit, *, cancelled: bool = False) -> None:
        if cancelled:
            visit.scope.cancel()
        else:
            visit.let_go.set()
        (self.inside if visit in self.inside else self.outside).remove(visit)
        await self.agree()

    async def agree(self) -> None:
        """Admit by the rule, and see that the places did the same."""
        await anyio.wait_all_tasks_blocked()
        while self.outside and len(self.inside) < self.places.total:
            held = Counter(visit.execution for visit in self.inside)
            fewest = min(held[visit.execution] for visit in self.outside)
            first = next(visit for visit in self.outside if held[visit.execution] == fewest)
            self.outside.remove(first)
            self.inside.append(first)
        assert all(visit.inside.is_set() for visit in self.inside)
        assert not any(visit.inside.is_set() for visit in self.outside)
        assert (self.places.borrowed, self.places.waiting) == (len(self.inside), len(self.outside))


@pytest.mark.both_loops
async def test_the_next_place_goes_to_who_holds_the_fewest_then_to_who_waits_longest(
    anyio_backend: object,
) -> None:
    assert anyio_backend
    places = Places(2)
    async with anyio.create_task_group() as tasks:
        queue = Queue(places, tasks)
        greedy = [await queue.comes("greedy") for _ in range(4)]
        modest, late = await queue.comes("modest"), await queue.comes("late")
        await queue.goes(greedy[0])
        assert modest.inside.is_set()
        await queue.goes(modest)
        assert late.inside.is_set()
        other = await queue.comes("another")
        await queue.goes(greedy[1])
        assert greedy[2].inside.is_set()
        assert not other.inside.is_set()
        await queue.goes(late)
        assert other.inside.is_set()
        assert not greedy[3].inside.is_set()
        tasks.cancel_scope.cancel()
    assert (places.borrowed, places.waiting) == (0, 0)


async def test_in_one_execution_who_comes_first_is_first() -> None:
    async with anyio.create_task_group() as tasks:
        queue = Queue(Places(1), tasks)
        visits = [await queue.comes("one") for _ in range(5)]
        for number, visit in enumerate(visits):
            assert [other.inside.is_set() for other in visits].count(True) == number + 1
            await queue.goes(visit)


MOVES = st.lists(
    st.tuples(st.sampled_from(["come", "come", "go", "cancel", "give up"]), st.integers(0, 5)), max_size=40
)


@given(total=st.integers(1, 4), moves=MOVES)
def test_whoever_comes_goes_or_gives_up_the_rule_holds_and_no_place_is_lost(
    total: int, moves: list[tuple[str, int]]
) -> None:
    async def played() -> None:
        places = Places(total)
        async with anyio.create_task_group() as tasks:
            queue = Queue(places, tasks)
            for move, number in moves:
                if move == "come":
                    await queue.comes("abcdef"[number])
                    continue
                among = queue.outside if move == "give up" else queue.inside
                if among:
                    await queue.goes(among[number % len(among)], cancelled=move != "go")
            tasks.cancel_scope.cancel()
        assert (places.borrowed, places.waiting) == (0, 0)

    anyio.run(played)


@given(leavers=st.lists(st.integers(0, 7), max_size=8), first=st.booleans())
def test_a_waiter_that_is_cancelled_as_it_is_admitted_passes_its_place_on(
    leavers: list[int], *, first: bool
) -> None:
    """Nothing runs between the end of the holder and the cancels, so the admitted are cancelled asleep."""

    async def played() -> None:
        places = Places(1)
        visits = [Visit(f"{number % 3}") for number in range(8)]
        async with anyio.create_task_group() as tasks:
            for visit in visits:
                tasks.start_soon(visit.make, places)
                await anyio.wait_all_tasks_blocked()
            if first:
                visits[0].let_go.set()
            for number in leavers:
                visits[number].scope.cancel()
            if not first:
                visits[0].let_go.set()
            for visit in visits:
                visit.let_go.set()
        assert (places.borrowed, places.waiting) == (0, 0)
        assert all(visit.inside.is_set() for number, visit in enumerate(visits) if number not in leavers)

    anyio.run(played)


async def test_a_cancelled_caller_gets_no_place_even_if_one_is_free() -> None:
    places = Places(1)
    entered = False
    with anyio.CancelScope() as scope:
        scope.cancel()
        async with places.place("a"):
            entered = True
    assert (entered, places.borrowed, places.waiting) == (False, 0, 0)


async def test_an_error_inside_gives_the_place_back() -> None:
    places = Places(1)
    with pytest.raises(ZeroDivisionError):
        async with places.place("a"):
            _ = 1 / 0
    async with places.place("b"):
        assert places.borrowed == 1


@pytest.mark.req("002:L87")
@pytest.mark.parametrize(("pressure", "admitted"), [(0.0, 4), (0.5, 2), (0.75, 1), (1.0, 1)])
async def test_a_pressed_machine_gives_fewer_places_and_never_none(pressure: float, admitted: int) -> None:
    async with anyio.create_task_group() as tasks:
        places = Places(4, Hand(pressure))
        for number in range(6):
            tasks.start_soon(Visit(f"{number}").make, places)
        await anyio.wait_all_tasks_blocked()
        assert (places.borrowed, places.waiting) == (admitted, 6 - admitted)
        tasks.cancel_scope.cancel()


@pytest.mark.req("002:L87")
async def test_who_waits_is_admitted_when_the_pressure_is_gone_though_nobody_leaves() -> None:
    async with anyio.create_task_group() as tasks:
        hand = Hand(1.0)
        places = Places(2, hand, look_again_s=0.01)
        visits = [Visit("a"), Visit("b")]
        for visit in visits:
            tasks.start_soon(visit.make, places)
        await came(visits[0].inside)
        assert places.waiting == 1
        hand.value = 0.0
        await came(visits[1].inside)
        tasks.cancel_scope.cancel()


async def test_under_pressure_whoever_has_a_place_keeps_it_and_the_next_waits() -> None:
    async with anyio.create_task_group() as tasks:
        hand = Hand()
        places = Places(3, hand)
        visits = [Visit(name) for name in "abcd"]
        for visit in visits[:3]:
            tasks.start_soon(visit.make, places)
            await came(visit.inside)
        hand.value = 1.0
        tasks.start_soon(visits[3].make, places)
        await anyio.wait_all_tasks_blocked()
        assert (places.borrowed, places.waiting) == (3, 1)
        for visit in visits[:2]:
            visit.let_go.set()
            await anyio.wait_all_tasks_blocked()
            assert not visits[3].inside.is_set()
        visits[2].let_go.set()
        await came(visits[3].inside)
        tasks.cancel_scope.cancel()


@pytest.mark.req("002:L87", "002:L147")
@pytest.mark.parametrize(
    ("memory", "load", "pressure"),
    [
        (0.5, 0.1, 0.0),
        (0.10, 0.1, 0.0),
        (0.06, 0.1, 0.5),
        (0.02, 0.1, 1.0),
        (0.0, 0.1, 1.0),
        (0.5, 4.0, 0.0),
        (0.5, 10.0, 0.375),
        (0.5, 400.0, 0.75),
        (0.06, 400.0, 0.75),
    ],
)
def test_pressure_grows_as_memory_goes_and_less_as_load_comes(
    memory: float, load: float, pressure: float
) -> None:
    assert Sample(memory, load).pressure == pytest.approx(pressure)


async def test_many_who_ask_at_once_cost_one_sample_taken_in_a_thread() -> None:
    taken: list[int] = []

    def sample() -> Sample:
        taken.append(threading.get_ident())
        return Sample(0.06, 0.0)

    pressure = MachinePressure(sample)
    found: list[float] = []

    async def ask() -> None:
        found.append(await pressure.pressed())

    async with anyio.create_task_group() as tasks:
        for _ in range(20):
            tasks.start_soon(ask)
    assert found == [pytest.approx(0.5)] * 20
    assert len(taken) == 1
    assert taken[0] != threading.get_ident()
    always = MachinePressure(sample, kept_s=0)
    await always.pressed()
    await always.pressed()
    assert len(taken) == 3


async def test_a_machine_that_cannot_be_asked_is_not_pressed() -> None:
    def sample() -> Sample:
        raise OSError("no /proc here")

    assert await MachinePressure(sample).pressed() == 0


def test_this_machine_can_be_sampled() -> None:
    found = machine()
    assert 0 < found.memory <= 1
    assert found.load >= 0


@pytest.mark.both_loops
@pytest.mark.req("002:L84")
async def test_executions_get_the_places_to_run_in_the_order_in_which_they_came(
    anyio_backend: object,
) -> None:
    assert anyio_backend
    limiter = anyio.CapacityLimiter(1)
    order: list[int] = []

    async def run(number: int) -> None:
        async with limiter:
            order.append(number)
            await anyio.lowlevel.checkpoint()

    async with anyio.create_task_group() as tasks:
        for number in range(20):
            tasks.start_soon(run, number)
            await anyio.lowlevel.checkpoint()
    assert order == list(range(20))
