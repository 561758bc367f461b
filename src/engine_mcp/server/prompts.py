"""Prompts for what people ask for most: they tell a model how to say it to the tools."""

from dataclasses import dataclass

from mcp.shared.exceptions import MCPError
from mcp.types import (
    INVALID_PARAMS,
    GetPromptResult,
    ListPromptsResult,
    Prompt,
    PromptArgument,
    PromptMessage,
    TextContent,
)


@dataclass(frozen=True, slots=True)
class _Told:
    """A prompt: its argument, whether that must be given, and the text with a place for it."""

    description: str
    argument: str
    about: str
    required: bool
    text: str


_PLAN = """\
Reach this goal with engine_execute: {}

Split it into steps with ids. Let steps that do not need each other run side by side, and name what a step
needs in depends_on. Use code steps for what a script can do with the files of the project, and agent steps
(task) for what takes judgement, with mode write where they change files. Follow the execution with
engine_status until it rests, then tell me the result; if it did not complete, tell me why and which of its
next_actions helps."""

_RESUME = """\
Go on with interrupted work: {}

Without an id, list the executions with engine_status and status interrupted, paused or failed, and take the
newest. Show me what is done and what is left, make the call of its next_actions that fits, and follow it
with engine_status until it rests."""

_EXPLORE = """\
Answer this question about the project: {}

Use engine_execute with code steps that read the real files (files.list, files.read), several side by side
where that is quicker, and a last step that joins what they found. Return counts, names and lines, not whole
files. Tell me the answer, and what it does not cover."""

_PROMPTS = {
    "plan": _Told(
        "Split a goal into steps and execute them", "goal", "What is to be reached", required=True, text=_PLAN
    ),
    "resume": _Told(
        "Find what was interrupted and go on with it",
        "execution_id",
        "Which execution; left out: the newest that can go on",
        required=False,
        text=_RESUME,
    ),
    "explore": _Told(
        "Answer a question about the project with scripts",
        "question",
        "What you want to know",
        required=True,
        text=_EXPLORE,
    ),
}


def listed() -> ListPromptsResult:
    """The prompts there are."""
    return ListPromptsResult(
        prompts=[
            Prompt(
                name=name,
                description=told.description,
                arguments=[
                    PromptArgument(name=told.argument, description=told.about, required=told.required)
                ],
            )
            for name, told in _PROMPTS.items()
        ]
    )


def filled(name: str, arguments: dict[str, str]) -> GetPromptResult:
    """A prompt with its argument; raises MCPError where one of them is wrong."""
    told = _PROMPTS.get(name)
    if told is None:
        raise MCPError(INVALID_PARAMS, f"Unknown prompt: {name}; there are {', '.join(_PROMPTS)}")
    if unknown := sorted(arguments.keys() - {told.argument}):
        raise MCPError(INVALID_PARAMS, f"{name} takes {told.argument} and not {', '.join(unknown)}")
    value = arguments.get(told.argument, "").strip()
    if told.required and not value:
        raise MCPError(INVALID_PARAMS, f"{name} needs {told.argument}")
    content = TextContent(text=told.text.format(value or "(none given)"))
    return GetPromptResult(
        description=told.description, messages=[PromptMessage(role="user", content=content)]
    )
