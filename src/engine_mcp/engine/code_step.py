"""Code steps: a script in the sandbox, behind the gate."""

import json
from dataclasses import replace

from pydantic import JsonValue

from engine_mcp.core.execution import Failure, LogLine, Outcome, ScriptReport
from engine_mcp.core.script import Script, ScriptResult
from engine_mcp.engine.attempt import Ended, Running, failure
from engine_mcp.engine.gate import Gate, mismatched
from engine_mcp.engine.meter import Meter
from engine_mcp.engine.outputs import dependency_outputs, dumps

LOGS_KEPT = 100
LOG_CHARACTERS = 500
_TOO_LARGE = frozenset({"OutputLimit", "AnswerLimit"})


async def run_script(attempt: Running, meter: Meter) -> Ended:
    """Carry out an attempt at a code step."""
    gate = Gate(attempt, meter)
    result = await attempt.parts.sandbox.run(await _script(attempt, gate.names), gate)
    value: JsonValue = None if result.value is None else json.loads(result.value)
    return Ended(
        value=value,
        failure=mismatched(gate) or _failure(result),
        usage=attempt.used,
        report=_report(result),
    )


async def _script(attempt: Running, names: tuple[str, ...]) -> Script:
    spec = attempt.step.spec
    return Script(
        code=spec.code or "",
        input=dumps(attempt.desk.execution.plan.context),
        outputs=dumps(await dependency_outputs(attempt.step, attempt.desk)),
        tools=names,
        limits=spec.limits,
        seed=attempt.started.seed,
        now_ms=attempt.started.clock_ms,
    )


def _failure(result: ScriptResult) -> Failure | None:
    if result.outcome is Outcome.VALUE:
        return None
    code = "crash" if result.outcome is Outcome.CANCELLED else str(result.outcome)
    if result.error is not None and result.error.name in _TOO_LARGE:
        code = "output_too_large"
    if result.limit is not None:
        hit = result.limit
        return failure(code, f"{hit.resource}: limit {hit.limit:g}, used {hit.used:g}.")
    if result.error is None:
        return failure(code)
    where = f" (line {result.error.line})" if result.error.line else ""
    return failure(code, f"{result.error.name}: {result.error.message}{where}")


def _report(result: ScriptResult) -> ScriptReport:
    kept = result.logs[-LOGS_KEPT:]
    return ScriptReport(
        outcome=result.outcome,
        error=None if result.error is None else replace(result.error, message=_cut(result.error.message)),
        limit=result.limit,
        logs=tuple(LogLine(line.level, _cut(line.text)) for line in kept),
        logs_dropped=result.logs_dropped + len(result.logs) - len(kept),
        isolation=result.isolation,
        cpu_ms=result.usage.cpu_ms,
        max_rss_kb=result.usage.max_rss_kb,
        calls=result.usage.calls,
    )


def _cut(text: str) -> str:
    return text if len(text) <= LOG_CHARACTERS else f"{text[:LOG_CHARACTERS]}…"
