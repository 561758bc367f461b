"""Briefing: what an agent's attempt is told, drawn from the record."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace

import anyio.to_thread
from pydantic import JsonValue

from engine_mcp.core.admission import budget_left
from engine_mcp.core.brief import Brief, Shown
from engine_mcp.core.context.pins import chosen, pins_of, standing
from engine_mcp.core.execution import AttemptStatus, Execution
from engine_mcp.core.graph import outputs_of
from engine_mcp.core.handoff import Packet, parsed, split
from engine_mcp.core.plan import StepKind, StrategyName
from engine_mcp.core.session import begun
from engine_mcp.engine.attempt import Running
from engine_mcp.engine.handover import handover
from engine_mcp.engine.outputs import dumps, loaded

WHOLE = 32_000
EXCERPT = 4_000
ALTOGETHER = 128_000
SUMMARY = 2_000
FACTS = 4_000
"""Characters of facts from the part of an output that is not shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Briefed:
    """A brief, and the whole texts of the outputs that it shows only in part, by step id."""

    brief: Brief
    whole: Mapping[str, str]


async def briefing(attempt: Running) -> Briefed:
    """The brief of an attempt at an agent step."""
    execution, spec, choice = attempt.desk.execution, attempt.step.spec, attempt.step.choice
    plan, texts, packets = execution.plan, dict[str, str](), dict[str, Packet]()
    for dep in outputs_of(attempt.step, execution.steps):
        value = await loaded(dep.output, attempt.desk) if dep.output is not None else None
        if plan.strategy is StrategyName.MULTI and dep.spec.kind is StepKind.AGENT:
            texts[dep.spec.id], packet = handed_on(value, plan.task or dep.spec.task or "")
            packets[dep.spec.id] = replace(packet, budget_left=_budget_left(attempt))
        else:
            texts[dep.spec.id] = as_text(value)
    if (left := await handover(attempt)) is not None:
        packets[spec.id] = replace(left, budget_left=_budget_left(attempt))
    shown = [item async for item in _shown(texts, attempt)]
    brief = Brief(
        task=spec.task or "",
        project=plan.path,
        task_type=plan.task_type,
        mode=spec.permissions.mode,
        role=choice.role if choice is not None else spec.agent,
        skills=choice.skills if choice is not None else spec.skills,
        files=plan.files,
        context=plan.context,
        pins=plan.pins,
        outputs=tuple(shown),
        packets=packets,
        hands_on=hands_on(spec.id, execution),
        output_schema=spec.output_schema,
        again=_again(attempt),
    )
    cut = {item.step for item in shown if item.path is not None}
    return Briefed(brief=brief, whole={name: text for name, text in texts.items() if name in cut})


def as_text(value: JsonValue) -> str:
    """An output as a prompt shows it: a text as it is, anything else as JSON; half characters become `?`."""
    text = value if isinstance(value, str) else dumps(value)
    return text if text.isascii() else text.encode(errors="replace").decode()


def handed_on(output: JsonValue, task: str) -> tuple[str, Packet]:
    """The answer of a role without its packet, and the packet: what it wrote if that is one, else ours."""
    answer, written = split(output)
    try:
        return answer, replace(parsed(written), task=task)
    except ValueError as error:
        summary = answer if len(answer) <= SUMMARY else f"{answer[:SUMMARY]}…"
        return answer, Packet(
            task=task,
            summary=summary,
            next_step="Go on with the task from the answer of the role before.",
            source="engine",
            problem=str(error),
        )


def hands_on(step: str, execution: Execution) -> bool:
    """Whether another role goes on where this step ends."""
    if execution.plan.strategy is not StrategyName.MULTI:
        return False
    agents = (other.spec for other in execution.steps.values() if other.spec.kind is StepKind.AGENT)
    return any(step in spec.depends_on for spec in agents)


def _budget_left(attempt: Running) -> dict[str, float] | None:
    return budget_left(attempt.desk.execution, attempt.parts.clock.now()) or None


async def _shown(texts: Mapping[str, str], attempt: Running) -> AsyncIterator[Shown]:
    room = ALTOGETHER
    for name, text in texts.items():
        if len(text) <= min(WHOLE, room):
            room -= len(text)
            yield Shown(step=name, text=text)
            continue
        content = text.encode()
        artifact = await attempt.desk.keep(content, name=None, media_type="text/plain")
        place = attempt.parts.store.place(attempt.desk.execution.id, artifact.digest)
        facts = await anyio.to_thread.run_sync(facts_of, text[EXCERPT:])
        yield Shown(step=name, text=text[:EXCERPT], path=place, size=len(content), facts=facts)


def facts_of(text: str, most: int = FACTS) -> tuple[str, ...]:
    """What a text of an agent says that must not be lost, word for word and up to so many characters."""
    said = pins_of([{"role": "assistant", "content": text}])
    kept, _ = chosen(standing(said).pins, most, len)
    return tuple(pin.text for pin in kept)


def _again(attempt: Running) -> str | None:
    """Why the attempt before this one in the same session did not end well."""
    if not begun(attempt.step, attempt.started.session):
        return None
    last = attempt.step.attempts[-2]
    if last.status is AttemptStatus.FAILED and last.failure is not None:
        return f"The attempt before this one failed: {last.failure.message}"
    if last.status is AttemptStatus.LOST:
        return "The attempt before this one ended without a word: its process died."
    return "The attempt before this one was interrupted."
