"""How an execution stands once it rests, for a person: result, artifacts, and what to type next."""

from pathlib import Path

from engine_mcp.cli.resuming import command, resume_command
from engine_mcp.cli.session import Rest
from engine_mcp.cli.waiting import waits
from engine_mcp.cli.words import amount, asked_for, duration, excerpt, failure, typed
from engine_mcp.core.execution import Artifact, Execution, ExecutionStatus, StepStatus
from engine_mcp.core.graph import output_of
from engine_mcp.settings import Settings

OUTPUT_CHARACTERS = 4000


def summary(rest: Rest, settings: Settings) -> str:
    """Everything worth knowing now, in a few lines."""
    execution = rest.execution
    parts = [
        _headline(rest),
        *_output(execution),
        *_troubles(execution),
        *_waiting(rest, settings),
        *(f"warning   {text}" for text in execution.warnings),
        *(line for artifact in execution.artifacts for line in _artifact(artifact, rest, settings)),
        f"snapshot  {rest.snapshot}",
    ]
    if again := resume_command(rest, settings):
        parts.append(f"resume    {again}")
    return "\n".join(parts)


def _headline(rest: Rest) -> str:
    execution = rest.execution
    done = sum(step.status is StepStatus.COMPLETED for step in execution.steps.values())
    why = f" ({execution.reason})" if execution.reason else ""
    took = duration(execution.active_seconds(rest.now))
    steps = f"{done} of {len(execution.steps)} steps"
    return f"\n{execution.status}{why}: {steps} in {took}\nexecution {execution.id}"


def _output(execution: Execution) -> list[str]:
    output = output_of(execution)
    if output is None or execution.status is not ExecutionStatus.COMPLETED:
        return []
    return ["", excerpt(output, OUTPUT_CHARACTERS), ""]


def _troubles(execution: Execution) -> list[str]:
    found: list[str] = []
    for name, step in execution.steps.items():
        if step.status is StepStatus.FAILED and step.failure is not None:
            found += [f"failed    {name}: {failure(step.failure)}", f"          {typed(step.failure.hint)}"]
    return found


def _waiting(rest: Rest, settings: Settings) -> list[str]:
    found = waits(rest, settings)
    if found is None:
        steps = rest.execution.steps.items()
        asking = [(name, step) for name, step in steps if step.status is StepStatus.AWAITING_APPROVAL]
        return [f"waiting   {name} needs approval{asked_for(step.asking, rest.now)}" for name, step in asking]
    return [
        *(f"waiting   {text}" for text in found.told),
        *([f"          {found.hint}"] if found.hint else []),
    ]


def _artifact(artifact: Artifact, rest: Rest, settings: Settings) -> list[str]:
    name = artifact.name or artifact.digest[:12]
    read = command("show", rest.execution.id, settings, "--artifact", name)
    file = Path(rest.snapshot).parent / "artifacts" / artifact.digest
    return [f"artifact  {name} ({amount(artifact.size)}): {file}", f"          {read}"]
