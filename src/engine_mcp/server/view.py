"""An execution as clients see it: complete where it is small, condensed to a few kilobytes where not."""

from collections import Counter
from dataclasses import dataclass

from engine_mcp.core.admission import spent
from engine_mcp.core.budget import MICROS
from engine_mcp.core.execution import Execution, ExecutionStatus, Step, StepStatus
from engine_mcp.core.graph import output_of
from engine_mcp.core.period import Room
from engine_mcp.server.advice import NO_ROOM, next_actions
from engine_mcp.server.amounts import shown_limits
from engine_mcp.server.contexts import UNKNOWN, Contexts
from engine_mcp.server.fallbacks import fallbacks
from engine_mcp.server.fitting import Detail, cut, fitted
from engine_mcp.server.results import (
    JsonObject,
    ShownExecution,
    ShownStep,
    ShownStop,
    ShownUsage,
)
from engine_mcp.server.steps import Drawn
from engine_mcp.server.times import to_come

ACTIVE = frozenset({ExecutionStatus.PENDING, ExecutionStatus.RUNNING})
SOONEST_POLL_S, LATEST_POLL_S = 2.0, 30.0
# Where not all steps can be listed, these come first.
_TELLING = (
    StepStatus.FAILED,
    StepStatus.AWAITING_APPROVAL,
    StepStatus.RUNNING,
    StepStatus.INTERRUPTED,
    StepStatus.SKIPPED,
    StepStatus.PENDING,
    StepStatus.COMPLETED,
)


@dataclass(frozen=True, slots=True)
class EventPage:
    """Events as shown, up to the number `cursor`; `more` if later ones exist already."""

    events: list[JsonObject]
    cursor: int
    more: bool


@dataclass(frozen=True, slots=True)
class Answer:
    """What a call adds to the execution it shows.

    That is what it did and warns of, the events asked for, the shared limits, and what is known of windows.
    """

    happened: str | None = None
    page: EventPage | None = None
    room: Room = NO_ROOM
    contexts: Contexts = UNKNOWN
    warnings: tuple[str, ...] = ()


PLAIN = Answer()


def view(execution: Execution, *, now: float, snapshot: str, answer: Answer = PLAIN) -> JsonObject:
    """The execution as a JSON object of less than 8 KB, as `results.ShownExecution` describes it.

    `now` is Unix time, `snapshot` the path of the file with the complete state.
    """
    return fitted(lambda detail: _Drawing(execution, detail, now, snapshot).drawn(answer))


def next_poll(execution: Execution, now: float) -> float | None:
    """After how many seconds to ask again: the longer it has run, the later. None once it rests."""
    if execution.status not in ACTIVE:
        return None
    return round(min(LATEST_POLL_S, max(SOONEST_POLL_S, execution.active_seconds(now) / 4)), 1)


def telling(execution: Execution, rows: int) -> list[Step]:
    """At most `rows` steps, in the order of the plan: those that tell most, and the last of each kind."""
    steps = list(execution.steps.values())
    if len(steps) <= rows:
        return steps
    ranked = sorted(range(len(steps)), key=lambda index: (_TELLING.index(steps[index].status), -index))
    return [steps[index] for index in sorted(ranked[:rows])]


@dataclass(frozen=True, slots=True)
class _Drawing:
    """An execution, to be drawn with some detail."""

    execution: Execution
    detail: Detail
    now: float
    snapshot: str

    def drawn(self, answer: Answer) -> JsonObject:
        execution, page = self.execution, answer.page
        drawn = Drawn(execution, self.detail, self.now, self.snapshot, answer.contexts)
        steps = [drawn.step(step) for step in telling(execution, self.detail.rows)]
        value, excerpt, artifact = drawn.output(output_of(execution), self.detail.result)
        switched = fallbacks(execution, self.detail.text)
        warnings = (*execution.warnings, *answer.warnings)[-self.detail.rows :]
        shown = ShownExecution(
            execution_id=execution.id,
            status=execution.status,
            reason=self._text(execution.reason),
            until=to_come(execution.until, self.now) if execution.status is ExecutionStatus.PAUSED else None,
            stopping=self._stopping(),
            happened=answer.happened,
            strategy=execution.plan.strategy,
            task=self._text(execution.plan.task),
            path=execution.plan.path,
            steps=steps,
            step_counts=Counter(str(step.status) for step in execution.steps.values()),
            output=value,
            excerpt=excerpt,
            artifact=artifact,
            artifacts=[drawn.artifact(item) for item in execution.artifacts[-self.detail.rows :]] or None,
            usage=self._usage(),
            budget=shown_limits(execution.budget),
            warnings=[cut(text, self.detail.text) for text in warnings],
            fallbacks=switched[-self.detail.rows :],
            next_poll_s=next_poll(execution, self.now),
            next_actions=next_actions(execution, self.detail.rows, answer.room) or None,
            events=page.events if page else None,
            cursor=page.cursor if page else None,
            more=page.more if page else None,
            snapshot=self.snapshot,
            truncated=self._left_out(steps, excerpt, len(switched)),
        )
        return {**shown.dumped(), "output": shown.output}

    def _left_out(self, steps: list[ShownStep], excerpt: str | None, switched: int) -> str | None:
        rows, wrote = self.detail.rows, len(self.execution.artifacts)
        parts = [
            f"{total - rows} of {total} {what}"
            for what, total in (
                ("steps", len(self.execution.steps)),
                ("artifacts", wrote),
                ("fallbacks", switched),
            )
            if total > rows
        ]
        if excerpt is not None or any(step.excerpt is not None for step in steps):
            parts.append("the rest of outputs that show an excerpt")
        if not parts:
            return None
        return (
            f"Left out to stay small: {', '.join(parts)}. The file `snapshot` has all of it;"
            " engine_status with a cursor lists the events page by page."
        )

    def _stopping(self) -> ShownStop | None:
        stop = self.execution.stopping
        return ShownStop(mode=stop.mode, reason=cut(stop.reason, self.detail.text)) if stop else None

    def _usage(self) -> ShownUsage:
        used = spent(self.execution, self.now)
        return ShownUsage(
            tokens_in=used.tokens_in,
            tokens_out=used.tokens_out,
            cache_read=used.cache_read,
            cache_write=used.cache_write,
            requests=used.requests,
            seconds=round(used.seconds, 3),
            cost_usd=used.cost_micros / MICROS,
            cost_basis=used.cost_basis,
        )

    def _text(self, text: str | None) -> str | None:
        return cut(text, self.detail.text) if text else None
