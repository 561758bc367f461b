"""Starting: which of the steps that could run do so now, and what the others wait for."""

import math
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field

from engine_mcp.core import event as ev
from engine_mcp.core.admission import Admission, Purse, deadline, reserved, share_ends, warns_at
from engine_mcp.core.approval import first_until
from engine_mcp.core.budget import Usage
from engine_mcp.core.effect import Effect, Halt, Note, Start, WakeAt
from engine_mcp.core.execution import Execution, Step, StepStatus
from engine_mcp.core.fallback import Fail, Retry, Switch, Wait, before_start
from engine_mcp.core.graph import Board
from engine_mcp.core.outlook import Outlook
from engine_mcp.core.passage import Ways, switched, verdict
from engine_mcp.core.retry import due_at, must_run_alone
from engine_mcp.core.session import session_of

LOOK_AGAIN_S = 1.0
"""How soon to look again for what other processes may have given back."""


@dataclass(slots=True)
class _Found:
    """What becomes of the steps that wait: they start, change their route or wait.

    `times` are in Unix seconds; `closed` says why others cannot go on without help, `whys` with the evidence
    of the first of them. `for_room`: one waits for what others hold.
    """

    starts: list[Start] = field(default_factory=list[Start])
    switches: list[Note] = field(default_factory=list[Note])
    times: list[float] = field(default_factory=list[float])
    closed: dict[str, float | None] = field(default_factory=dict[str, float | None])
    whys: dict[str, str] = field(default_factory=dict[str, str])
    for_room: bool = False

    def close(self, reason: str, until: float | None, why: str = "") -> None:
        """Note that a step cannot go on before `until` (None: that never comes); the first counts."""
        times = [at for at in (self.closed.get(reason), until) if at is not None]
        self.closed[reason] = min(times, default=None)
        self.whys.setdefault(reason, why)


def start_or_wait(steps: Board, waiting: tuple[Step, ...], now: float, outlook: Outlook) -> Iterator[Effect]:
    """Start what may start; else say when to look again, or pause where only somebody's help can do."""
    execution, running = steps.execution, steps.of(StepStatus.RUNNING)
    purse = Purse(execution, now, outlook, held=reserved(running))
    if halts := [*_halts(running, purse)]:
        yield from halts
        return
    found = _look(waiting, running, purse)
    if found.switches:
        yield from found.switches
        return
    yield from found.starts
    if not running and not found.times and found.closed:
        reason, until = min(found.closed.items(), key=lambda door: math.inf if door[1] is None else door[1])
        why = found.whys[reason]
        told = "" if why in execution.warnings else why
        yield Note(ev.ExecutionPaused(at=now, reason=reason, until=until, why=told))
        return
    until = deadline(execution, running, now, outlook)
    unanswered = first_until(steps.of(StepStatus.AWAITING_APPROVAL))
    shares = (share_ends(step, outlook) for step in running if step.status is StepStatus.RUNNING)
    fresh = (now + start.event.reserved.seconds for start in found.starts if start.event.reserved.seconds)
    ends = (until, unanswered, warns_at(execution, now), *found.closed.values(), *shares, *fresh)
    times = [*found.times, *(at for at in ends if at is not None and at > now)]
    if times:
        yield WakeAt(min(times), for_room=found.for_room)


def _halts(running: list[Step], purse: Purse) -> Iterator[Halt]:
    """Stop attempts that wait for an approval, and those whose share or whose limit is used up."""
    overdrawn = {step.spec.id for step in purse.overdrawn(running)}
    for step in running:
        if step.asking is not None:
            yield Halt(step.spec.id)
        elif step.spec.id in overdrawn or _is_over(share_ends(step, purse.outlook), purse.now):
            yield Halt(step.spec.id, spent=True)


def _is_over(end: float | None, now: float) -> bool:
    return end is not None and end <= now


def _look(waiting: tuple[Step, ...], running: list[Step], purse: Purse) -> _Found:
    """Go through the steps that wait, in their order, until every place is taken."""
    execution, now, found = purse.execution, purse.now, _Found()
    ways = Ways(execution, purse.outlook, now)
    places = max(1, min(len(waiting), execution.plan.parallelism - len(running)))
    for step in waiting:
        if len(running) >= execution.plan.parallelism or any(must_run_alone(other) for other in running):
            break
        if _closed(step, ways, found) or not _admitted(step, purse, found):
            continue
        if not (running and must_run_alone(step)):
            share = purse.need(step, places)
            found.starts.append(_start(execution, step, share, now))
            running.append(step)
            purse.take(share)
            places = max(1, places - 1)
    return found


def _closed(step: Step, ways: Ways, found: _Found) -> bool:
    """Whether the step's route is closed, or its next try not due; notes until when, or where it goes."""
    case, now = ways.case(step), ways.now
    if case is None:
        due = due_at(step, ways.execution.id, ways.deadline) if step.tries else 0.0
        if due > now:
            found.times.append(due)
        return due > now
    match verdict(case):
        case Switch() as switch:
            change = switched(step, switch, now)
            found.switches.append(Note(ev.RouteSwitched(at=now, step=step.spec.id, switch=change)))
            return True
        case Retry(at=at) if at > now:
            found.times.append(at)
            return True
        case Wait() as door:
            return _behind_a_door(door, found)
        case Fail():
            # It may be tried once more: what kept the failure from being final has changed since.
            return _behind_a_door(before_start(case), found)
        case _:
            return False


def _behind_a_door(door: Switch | Wait | None, found: _Found) -> bool:
    """Whether a step waits before a closed door; notes until when."""
    if not isinstance(door, Wait):
        return False
    if door.until is not None and door.reason == "breaker":
        found.times.append(door.until)
    else:
        found.close(door.reason, door.until, door.why)
    return True


def _admitted(step: Step, purse: Purse, found: _Found) -> bool:
    match purse.admit(step):
        case Admission.START:
            return True
        case Admission.WAIT:
            if purse.outlook.room.standings:
                found.for_room = True
                found.times.append(purse.now + LOOK_AGAIN_S)
        case Admission.EXHAUSTED:
            found.close("budget", purse.resets_at(step))
        case Admission.UNPRICED:
            found.close("unpriced", None)
    return False


def _start(execution: Execution, step: Step, share: Usage, now: float) -> Start:
    spec, last = step.spec, step.attempt
    number = len(step.attempts) + 1
    seed, clock_ms = zlib.crc32(f"{execution.id}:{spec.id}:{number}".encode()), int(now * 1000)
    if last is not None and step.calls:
        # A replay must see the randomness and the clock that led to the recorded calls.
        seed, clock_ms = last.seed, last.clock_ms
    return Start(
        ev.AttemptStarted(
            at=now,
            step=spec.id,
            number=number,
            seed=seed,
            clock_ms=clock_ms,
            runtime=step.choice.runtime if step.choice is not None else spec.runtime,
            model=step.choice.model if step.choice is not None else spec.model,
            session=session_of(execution, step),
            reserved=share,
        )
    )
