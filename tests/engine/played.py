"""A sandbox that plays the calls of a list instead of running JavaScript."""

import json

import anyio

from engine_mcp.core.script import HostAnswer, HostCall, Outcome, Script, ScriptError, ScriptResult
from engine_mcp.errors import EngineError
from engine_mcp.ports import ScriptHost


class PlayedSandbox:
    """Takes a script for a JSON list of numbers: so many calls of `echo` at once, one group after another.

    Its value is the list of the answers' `n`, which is that of the calls' ordinals.
    """

    async def run(self, script: Script, host: ScriptHost) -> ScriptResult:
        """Play the calls."""
        answers: dict[int, HostAnswer] = {}

        async def call(ordinal: int) -> None:
            try:
                answers[ordinal] = await host.call(HostCall(ordinal, "echo", json.dumps({"n": ordinal})))
            except EngineError as error:  # as the real one does
                answers[ordinal] = HostAnswer(error_name="HostError", error_message=error.message)

        for size in json.loads(script.code):
            async with anyio.create_task_group() as group:
                for ordinal in range(len(answers), len(answers) + size):
                    group.start_soon(call, ordinal)
        wrong = next((answer for answer in answers.values() if not answer.ok), None)
        if wrong is not None:
            error = ScriptError(wrong.error_name, wrong.error_message)
            return ScriptResult(outcome=Outcome.JS_ERROR, error=error)
        found = [json.loads(answers[ordinal].value or "null")["n"] for ordinal in sorted(answers)]
        return ScriptResult(outcome=Outcome.VALUE, value=json.dumps(found))
