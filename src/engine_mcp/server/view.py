"""An execution as clients see it: complete where it is small, condensed to a few kilobytes where not."""

from collections import Counter
from dataclasses import dataclass
from pathlib import PurePath
from typing import TypedDict

from pydantic import JsonValue

from engine_mcp.core.admission import spent
from engine_mcp.core.budget import MICROS, Limits
from engine_mcp.core.execution import Artifact, Execution, ExecutionStatus, Failure, Output, Step, StepStatus
from engine_mcp.core.graph import output_of
from engine_mcp.server.advice import next_actions
from engine_mcp.server.fitting import Detail, cut, dumps, fitted, size
from engine_mcp.server.results import (
    JsonObject,
    ShownArtifact,
    ShownError,
    ShownExecution,
    ShownLimits,
    ShownProgress,
    ShownStep,
    ShownStop,
    ShownUsage,
)

ACTIVE = frozenset({ExecutionStatus.PENDING, ExecutionStatus.RUNNING})
WORDY = 4000
"""The detail from which on reasons are given; see `fitting.DETAILS`."""
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
    """What a call adds to the execution it shows: what it did, and the events asked for."""

    happened: str | None = None
    page: EventPage | None = None


_PLAIN = Answer()


def view(execution: Execution, *, now: float, snapshot: str, answer: Answer = _PLAIN) -> JsonObject:
    """The execution as a JSON object of less than 8 KB, as `results.ShownExecution` describes it.

    `now` is Unix time, `snapshot` the path of the file with the complete state.
    """
    return fitted(lambda detail: _Drawing(execution, detail, now, snapshot).drawn(answer))


def shown_limits(limits: Limits) -> ShownLimits:
    """The limits that are set."""
    return ShownLimits(
        max_tokens=limits.max_tokens,
        max_cost_usd=limits.max_cost_usd,
        max_seconds=limits.max_seconds,
        max_requests=limits.max_requests,
        on_exceed=limits.on_exceed,
    )


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


class _Chosen(TypedDict, total=False):
    """What is shown of the choice for an agent step."""

    agent: str
    runtime: str | None
    model: str | None
    session: str | None
    skills: list[str] | None
    why: list[str]


@dataclass(frozen=True, slots=True)
class _Drawing:
    """An execution, to be drawn with some detail."""

    execution: Execution
    detail: Detail
    now: float
    snapshot: str

    def drawn(self, answer: Answer) -> JsonObject:
        execution, page = self.execution, answer.page
        steps = [self._step(step) for step in telling(execution, self.detail.rows)]
        value, excerpt, artifact = self._output(output_of(execution), self.detail.result)
        shown = ShownExecution(
            execution_id=execution.id,
            status=execution.status,
            reason=self._text(execution.reason),
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
            artifacts=[self._artifact(item) for item in execution.artifacts[-self.detail.rows :]] or None,
            usage=self._usage(),
            budget=shown_limits(execution.budget),
            warnings=[cut(text, self.detail.text) for text in execution.warnings[-self.detail.rows :]],
            fallbacks=[],
            next_poll_s=next_poll(execution, self.now),
            next_actions=next_actions(execution, self.detail.rows) or None,
            events=page.events if page else None,
            cursor=page.cursor if page else None,
            more=page.more if page else None,
            snapshot=self.snapshot,
            truncated=self._left_out(steps, excerpt),
        )
        return {**shown.dumped(), "output": shown.output}

    def _left_out(self, steps: list[ShownStep], excerpt: str | None) -> str | None:
        rows, wrote = self.detail.rows, len(self.execution.artifacts)
        parts = [
            f"{total - rows} of {total} {what}"
            for what, total in (("steps", len(self.execution.steps)), ("artifacts", wrote))
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

    def _step(self, step: Step) -> ShownStep:
        value, excerpt, artifact = self._output(step.output, self.detail.output)
        last = step.attempt
        return ShownStep(
            id=step.spec.id,
            status=step.status,
            outcome=last.report.outcome if last and last.report else None,
            **self._choice(step),
            attempts=len(step.attempts),
            progress=self._progress(step),
            output=value,
            excerpt=excerpt,
            artifact=artifact,
            error=self._error(step.failure),
        )

    def _choice(self, step: Step) -> _Chosen:
        last, choice = step.attempt, step.choice
        if choice is None:
            return _Chosen(runtime=last.runtime if last else step.spec.runtime)
        chosen = _Chosen(
            agent=choice.role,
            runtime=last.runtime if last else choice.runtime,
            model=last.model if last else choice.model,
            session=self._text(step.session),
        )
        if self.detail.text >= WORDY:
            chosen["skills"] = list(choice.skills) or None
            chosen["why"] = [cut(reason, self.detail.text) for reason in choice.why]
        return chosen

    def _output(self, output: Output | None, most: int) -> tuple[JsonValue, str | None, ShownArtifact | None]:
        """A value, or the beginning of its JSON text if that takes more than `most` bytes, or an artifact."""
        if output is None or (output.value is None and output.artifact is None):
            return None, None, None
        if output.artifact is not None:
            return None, None, self._artifact(output.artifact)
        if size(output.value) > most:
            return None, cut(dumps(output.value), most), None
        return output.value, None, None

    def _artifact(self, artifact: Artifact) -> ShownArtifact:
        return ShownArtifact(
            digest=artifact.digest,
            size=artifact.size,
            media_type=cut(artifact.media_type, self.detail.text),
            path=str(PurePath(self.snapshot).parent / "artifacts" / artifact.digest),
            name=self._text(artifact.name),
            excerpt=self._text(artifact.excerpt),
        )

    def _progress(self, step: Step) -> ShownProgress | None:
        if step.progress is None or step.status is not StepStatus.RUNNING:
            return None
        told = step.progress
        return ShownProgress(done=told.done, total=told.total, message=self._text(told.message))

    def _error(self, failure: Failure | None) -> ShownError | None:
        if failure is None:
            return None
        message, hint = (cut(text, self.detail.text) for text in (failure.message, failure.hint))
        return ShownError(code=failure.code, message=message, hint=hint)

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
