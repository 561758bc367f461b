"""What all executions of a user spend together: days, months, their limits, and who changed them."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pydantic import JsonValue

from engine_mcp.app import App
from engine_mcp.cli.limits import figure, worth
from engine_mcp.cli.voice import say
from engine_mcp.cli.words import moment, number
from engine_mcp.core.breaker import Breaker, BreakerState
from engine_mcp.core.budget import MICROS, Limits, Resource, Usage
from engine_mcp.core.period import Change, Period, Room, Standing, bounds
from engine_mcp.server.times import utc

BY = "command line"
"""Who changed a limit, for the audit."""
NAMES = {Period.DAY: "today", Period.MONTH: "this month"}
WHOLE = frozenset({Resource.TOKENS, Resource.REQUESTS})


@dataclass(frozen=True, slots=True, kw_only=True)
class Book:
    """What is spent in a period, and the limits on it, the operator's caps among them."""

    period: Period
    spent: Usage
    standings: tuple[Standing, ...]
    resets_at: float

    @property
    def held(self) -> Usage | None:
        """What running attempts may still spend; None where nothing is limited, so that nobody counts it."""
        return self.standings[0].held if self.standings else None

    def limit(self, kind: Resource, *, cap: bool) -> float | None:
        """The limit on a resource, or the operator's cap."""
        return next((one.limits.of(kind) for one in self.standings if one.cap is cap), None)

    def left(self, kind: Resource) -> float | None:
        """What is left of the least of the limits, never below 0."""
        found = [left for one in self.standings if (left := one.left(kind)) is not None]
        least = max(0, min(found)) if found else None
        return least if least is None or kind in WHOLE else least / MICROS

    def shown(self) -> dict[str, JsonValue]:
        """The same as JSON."""
        found: dict[str, JsonValue] = {"spent": {kind.value: self.spent.of(kind) for kind in Resource}}
        if (held := self.held) is not None:
            found["held"] = {kind.value: held.of(kind) for kind in Resource}
        found["limits"] = {kind.value: self.limit(kind, cap=False) for kind in Resource}
        found["caps"] = {kind.value: self.limit(kind, cap=True) for kind in Resource}
        found["remaining"] = {kind.value: self.left(kind) for kind in Resource}
        return {**found, "resets_at": utc(self.resets_at)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Books:
    """Periods with what is spent in them, and the newest changes of their limits."""

    periods: tuple[Book, ...]
    changes: tuple[Change, ...] = ()

    def shown(self) -> dict[str, JsonValue]:
        """The same as JSON."""
        changes: list[JsonValue] = [_change(change) for change in self.changes]
        return {"periods": {book.period.value: book.shown() for book in self.periods}, "changes": changes}


async def books(app: App, periods: Iterable[Period], changes: int = 0) -> Books:
    """The books of some periods as they stand, with up to so many changes."""
    treasury, chosen = app.engine.treasury, tuple(periods)
    room, now = await treasury.room(), app.engine.parts.clock.now()
    found = [await _book(app, period, room, now) for period in chosen]
    only = chosen[0] if len(chosen) == 1 else None
    newest = await treasury.changes(only, changes) if changes else ()
    return Books(periods=tuple(found), changes=tuple(newest))


async def _book(app: App, period: Period, room: Room, now: float) -> Book:
    standings = tuple(one for one in room.standings if one.period is period)
    _, end = bounds(period, now, app.settings.zone)
    spent = await app.engine.treasury.spent(period)
    return Book(period=period, spent=spent, standings=standings, resets_at=end)


def print_books(found: Books) -> None:
    """Print a table for each period, and the changes below."""
    for book in found.periods:
        say(f"{NAMES[book.period]}, counts anew {moment(book.resets_at)}")
        say(f"{'':<10}" + "".join(f"{head:>12}" for head in ("spent", "held", "limit", "cap", "left")))
        for kind in Resource:
            held = book.held
            amounts = (
                book.spent.of(kind),
                None if held is None else held.of(kind),
                book.limit(kind, cap=False),
                book.limit(kind, cap=True),
                book.left(kind),
            )
            say(
                f"{kind:<10}" + "".join(f"{'-' if one is None else figure(kind, one):>12}" for one in amounts)
            )
    for change in found.changes:
        say(f"{moment(change.at)}  {change.period:<5}  by {change.by}: {_told(change)}")


def lines_of(found: Books, breakers: Iterable[Breaker], now: float) -> Iterator[str]:
    """The same in a line for each period in which anything is spent or limited, and for each open breaker."""
    for book in found.periods:
        parts = [
            f"{worth(kind, book.spent.of(kind))}{_of(book, kind)}"
            for kind in Resource
            if book.spent.amount(kind) or book.left(kind) is not None
        ]
        if parts:
            yield f"spent {NAMES[book.period]}: {', '.join(parts)}"
    for breaker in breakers:
        if breaker.state is not BreakerState.CLOSED:
            yield f"broken: {told_breaker(breaker, now)}"


def told_breaker(breaker: Breaker, now: float) -> str:
    """A breaker in a line: what is broken, why, and when it is tried again."""
    if breaker.state is BreakerState.HALF_OPEN:
        again = "is being tried out"
    elif breaker.retry_at is None:
        again = "stays so until somebody resumes with it mended"
    else:
        again = f"tried again {moment(breaker.retry_at)}" if breaker.retry_at > now else "tried again now"
    return f"{breaker.part}: {breaker.code}: {breaker.evidence} ({again})"


def shown_breaker(breaker: Breaker) -> dict[str, JsonValue]:
    """A breaker as JSON."""
    found: dict[str, JsonValue] = {
        "part": breaker.part,
        "state": breaker.state.value,
        "failures": breaker.failures,
        "code": breaker.code,
        "evidence": breaker.evidence,
    }
    return found if breaker.retry_at is None else {**found, "retry_at": utc(breaker.retry_at)}


def _of(book: Book, kind: Resource) -> str:
    limits = [limit for cap in (False, True) if (limit := book.limit(kind, cap=cap)) is not None]
    return f" of {number(min(limits))}" if limits else ""


def _limits(limits: Limits) -> dict[str, JsonValue]:
    values = {kind.value: limits.of(kind) for kind in Resource}
    found: dict[str, JsonValue] = {name: value for name, value in values.items() if value is not None}
    return {**found, "on_exceed": limits.on_exceed.value} if limits.on_exceed is not None else found


def _change(change: Change) -> JsonValue:
    return {
        "at": utc(change.at),
        "by": change.by,
        "period": change.period.value,
        "before": _limits(change.before),
        "after": _limits(change.after),
        "spent": {kind.value: change.spent.of(kind) for kind in Resource},
        "reset": change.reset,
    }


def _told(change: Change) -> str:
    before, after = _limits(change.before), _limits(change.after)
    parts = [
        f"{name} {_word(before.get(name))} → {_word(after.get(name))}"
        for name in sorted({*before, *after})
        if before.get(name) != after.get(name)
    ]
    what = ", ".join(parts) or "nothing changed"
    return f"reset; {what}" if change.reset else what


def _word(value: JsonValue) -> str:
    return "none" if value is None else number(value) if isinstance(value, int | float) else str(value)
