"""A step as clients see it: what carries it out, its result or error, and what it waits for."""

from dataclasses import dataclass
from pathlib import PurePath
from typing import TypedDict

from pydantic import JsonValue

from engine_mcp.core.execution import Artifact, Execution, Failure, Output, Step, StepStatus
from engine_mcp.core.graph import descendants
from engine_mcp.core.treatment import TREATMENTS
from engine_mcp.server.contexts import UNKNOWN, Contexts, shown_context
from engine_mcp.server.fitting import Detail, cut, dumps, size
from engine_mcp.server.remedies import RESUME, Place, remedies
from engine_mcp.server.results import (
    Action,
    ShownArtifact,
    ShownAsking,
    ShownError,
    ShownProgress,
    ShownRoute,
    ShownStep,
)
from engine_mcp.server.times import to_come, utc

WORDY, HELPFUL = 4000, 400
"""The detail from which on reasons are given, and the calls that help a step; see `fitting.DETAILS`."""
ARGUMENTS_BYTES = 1000
_ENDED_BADLY = frozenset({StepStatus.FAILED, StepStatus.SKIPPED})
_KEPT_AWAY = frozenset({StepStatus.PENDING, StepStatus.SKIPPED})


class _Chosen(TypedDict, total=False):
    """What is shown of the choice for an agent step."""

    agent: str
    runtime: str | None
    model: str | None
    session: str | None
    skills: list[str] | None
    why: list[str]


@dataclass(frozen=True, slots=True)
class Drawn:
    """Draws the steps of an execution with some detail; `now` is Unix time."""

    execution: Execution
    detail: Detail
    now: float
    snapshot: str
    known: Contexts = UNKNOWN

    def step(self, step: Step) -> ShownStep:
        """The step."""
        value, excerpt, artifact = self.output(step.output, self.detail.output)
        last = step.attempt
        return ShownStep(
            id=step.spec.id,
            status=step.status,
            outcome=last.report.outcome if last and last.report else None,
            **self._choice(step),
            attempts=len(step.attempts),
            progress=self._progress(step),
            context=shown_context(step, self.known, self.detail),
            output=value,
            excerpt=excerpt,
            artifact=artifact,
            served_by=_served_by(step),
            waits_for=self._waits_for(step),
            error=self._error(step),
            impact=self._impact(step),
        )

    def output(self, output: Output | None, most: int) -> tuple[JsonValue, str | None, ShownArtifact | None]:
        """A value, or the beginning of its JSON text if that takes more than `most` bytes, or an artifact."""
        if output is None or (output.value is None and output.artifact is None):
            return None, None, None
        if output.artifact is not None:
            return None, None, self.artifact(output.artifact)
        if size(output.value) > most:
            return None, cut(dumps(output.value), most), None
        return output.value, None, None

    def artifact(self, artifact: Artifact) -> ShownArtifact:
        """The artifact, with the file that holds it."""
        return ShownArtifact(
            digest=artifact.digest,
            size=artifact.size,
            media_type=cut(artifact.media_type, self.detail.text),
            path=str(PurePath(self.snapshot).parent / "artifacts" / artifact.digest),
            name=self._text(artifact.name),
            excerpt=self._text(artifact.excerpt),
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

    def _progress(self, step: Step) -> ShownProgress | None:
        if step.progress is None or step.status is not StepStatus.RUNNING:
            return None
        told = step.progress
        return ShownProgress(done=told.done, total=told.total, message=self._text(told.message))

    def _waits_for(self, step: Step) -> ShownAsking | None:
        asking = step.asking
        if asking is None or step.status is not StepStatus.AWAITING_APPROVAL:
            return None
        most = min(ARGUMENTS_BYTES, self.detail.text)
        return ShownAsking(
            call=self._text(asking.call),
            arguments=cut(asking.arguments, most) if asking.arguments else None,
            since=utc(asking.since),
            until=to_come(asking.until, self.now),
        )

    def _error(self, step: Step) -> ShownError | None:
        failure = step.failure
        if failure is None:
            return None
        message, hint = (cut(text, self.detail.text) for text in (failure.message, failure.hint))
        treated = TREATMENTS.get(failure.code)
        return ShownError(
            code=failure.code,
            message=message,
            hint=hint,
            domain=treated.domain if treated else None,
            retry_at=None if failure.retry_at is None else utc(failure.retry_at),
            next_actions=self._helped(step, failure),
        )

    def _helped(self, step: Step, failure: Failure) -> list[Action] | None:
        if step.status not in _ENDED_BADLY or self.detail.text < HELPFUL:
            return None
        return remedies(failure.code, Place(RESUME, self.execution.id, step.spec.id))

    def _impact(self, step: Step) -> list[str] | None:
        if step.status not in _ENDED_BADLY or step.spec.optional:
            return None
        steps = self.execution.steps
        after = descendants((other.spec for other in steps.values()), step.spec.id) - {step.spec.id}
        kept = [name for name, other in steps.items() if name in after and other.status in _KEPT_AWAY]
        return kept[: self.detail.rows] or None

    def _text(self, text: str | None) -> str | None:
        return cut(text, self.detail.text) if text else None


def _served_by(step: Step) -> ShownRoute | None:
    last = step.attempt
    if step.status is not StepStatus.COMPLETED or last is None or last.runtime is None:
        return None
    return ShownRoute(runtime=last.runtime, model=last.model)
