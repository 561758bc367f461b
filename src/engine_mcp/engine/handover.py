"""The handover: what an attempt on a new route is told of those before it on another."""

import os
from collections.abc import Iterator
from pathlib import Path

import anyio.to_thread

from engine_mcp.core.context.pin import PinKind
from engine_mcp.core.context.pins import pins_of, standing
from engine_mcp.core.execution import Attempt, Step
from engine_mcp.core.handoff import LONGEST_ITEM, MOST_ITEMS, Packet
from engine_mcp.core.retry import OVERFLOW
from engine_mcp.engine.attempt import Running
from engine_mcp.engine.outputs import loaded

LEFT_OUT = frozenset({".git", ".engine-mcp", "node_modules", ".venv", "__pycache__"})
MOST_LOOKED_AT = 20_000
SUMMARY = 2_000


async def handover(attempt: Running) -> Packet | None:
    """What is left of attempts in sessions that are lost; None where there are none.

    They are on routes that broke, or grew too long for their model.

    Sessions cannot be taken along: what was written and which files changed is all there is.
    """
    step, project = attempt.step, attempt.desk.execution.plan.path
    before = [tried for tried in step.attempts[:-1] if tried.session != attempt.started.session]
    if not before or not (step.switches or _overflowed(before[-1])):
        return None
    changed = await anyio.to_thread.run_sync(_changed_since, project, before[0].started_at)
    said = await _said(attempt, before[-1])
    found = await anyio.to_thread.run_sync(_stated, said)
    return Packet(
        task=step.spec.task or "",
        summary=(said if len(said) <= SUMMARY else f"…{said[-SUMMARY:]}") or "Nothing that it wrote is left.",
        constraints=found[PinKind.CONSTRAINT],
        decisions=found[PinKind.DECISION],
        open_items=found[PinKind.OPEN],
        files_changed=changed,
        failed_approaches=_failures(step, before),
        next_step="Look at what the files hold already, and go on from there.",
        source="engine",
    )


def _overflowed(last: Attempt) -> bool:
    return last.failure is not None and last.failure.code == OVERFLOW


async def _said(attempt: Running, last: Attempt) -> str:
    value = last.partial
    if value is None and attempt.step.output is not None:
        found = await loaded(attempt.step.output, attempt.desk)
        value = found if isinstance(found, str) else None
    return (value or "").strip()


def _stated(said: str) -> dict[PinKind, tuple[str, ...]]:
    """What an agent said that binds whoever goes on, word for word, by its kind."""
    pins = standing(pins_of([{"role": "assistant", "content": said}])).pins
    kinds = (PinKind.CONSTRAINT, PinKind.DECISION, PinKind.OPEN)
    return {kind: tuple(pin.text for pin in pins if pin.kind is kind)[-MOST_ITEMS:] for kind in kinds}


def _failures(step: Step, before: list[Attempt]) -> tuple[str, ...]:
    whys = [switch.why for switch in step.switches]
    whys += [f"{tried.runtime}: {tried.failure.message}" for tried in before if tried.failure is not None]
    return tuple(why[:LONGEST_ITEM] for why in dict.fromkeys(whys))[-MOST_ITEMS:]


def _changed_since(project: str, since: float) -> tuple[str, ...]:
    """The files of a project that were changed after a time (Unix seconds), the newest first."""
    found: list[tuple[float, str]] = []
    for number, entry in enumerate(_files(project)):
        if number >= MOST_LOOKED_AT:
            break
        try:
            changed = entry.stat(follow_symlinks=False).st_mtime
        except OSError:
            continue  # gone meanwhile
        if changed >= since:
            found.append((-changed, str(Path(entry.path).relative_to(project))))
    return tuple(name for _, name in sorted(found)[:MOST_ITEMS])


def _files(folder: str) -> Iterator["os.DirEntry[str]"]:
    folders = [folder]
    while folders:
        try:
            entries = list(os.scandir(folders.pop()))
        except OSError:
            continue
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                if entry.name not in LEFT_OUT:
                    folders.append(entry.path)
            elif entry.is_file(follow_symlinks=False):
                yield entry
