"""The person behind a client: forms to elicit answers, during a call until 2025, between two from 2026 on."""

import re
from typing import Any

from mcp.server import ServerRequestContext
from mcp.shared.exceptions import MCPError
from mcp.types import (
    INVALID_PARAMS,
    CallToolRequestParams,
    ElicitRequest,
    ElicitRequestFormParams,
    ElicitResult,
    InputRequiredResult,
)

from engine_mcp.server.asking import NOBODY, Begun, HandedBack, Reach
from engine_mcp.server.questions import Question
from engine_mcp.server.schemas import ID_PATTERN

Context = ServerRequestContext[Any, Any]
ANSWER = "answer"
_STATE = re.compile(rf"({ID_PATTERN.strip('^$')}) (\d{{1,3}}) (\d{{1,6}})")


def reach(context: Context, params: CallToolRequestParams) -> Reach:
    """How the person behind the client can be asked; raises MCPError where the state was not made here."""
    session = context.session
    declared = session.client_capabilities.elicitation if session.client_capabilities else None
    # One that names no mode means forms.
    if declared is None or (declared.form is None and declared.url is not None):
        return NOBODY
    if session.can_send_request:

        async def ask(question: Question) -> str | None:
            try:
                return _chosen(await session.elicit_form(question.text, _form(question)))
            except MCPError:
                return None

        return Reach(ask=ask)
    given = params.input_responses or {}
    answers = {
        key: answer
        for key, found in given.items()
        if isinstance(found, ElicitResult) and (answer := _chosen(found)) is not None
    }
    return Reach(hands_back=True, answers=answers, begun=_begun(params.request_state))


def handed_back(asked: HandedBack) -> InputRequiredResult:
    """The result that asks a person before the call is made again.

    Its state holds nothing that the client may not say anyway, and is checked like an argument.
    """
    begun = asked.begun
    return InputRequiredResult(
        input_requests={
            question.key: ElicitRequest(
                params=ElicitRequestFormParams(message=question.text, requested_schema=_form(question))
            )
            for question in asked.asked
        },
        request_state=f"{begun.execution_id} {begun.rounds} {begun.warned}",
    )


def _begun(state: str | None) -> Begun | None:
    if state is None:
        return None
    if (found := _STATE.fullmatch(state)) is None:
        raise MCPError(INVALID_PARAMS, "The request state is none that this server gave.")
    name, rounds, warned = found[1], found[3], found[4]
    return Begun(execution_id=name, rounds=int(rounds), warned=int(warned))


def _form(question: Question) -> dict[str, Any]:
    answer = {"type": "string", "title": "Answer", "enum": list(question.choices)}
    return {"type": "object", "properties": {ANSWER: answer}, "required": [ANSWER]}


def _chosen(result: ElicitResult) -> str | None:
    answer = (result.content or {}).get(ANSWER)
    return answer if result.action == "accept" and isinstance(answer, str) else None
