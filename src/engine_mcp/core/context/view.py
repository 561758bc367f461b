"""The view: what of a conversation is sent, as the API takes it; the same for the same messages and shape.

Nothing that is added to the conversation changes what was shown before it.
"""

from collections.abc import Sequence

from pydantic import JsonValue

from engine_mcp.core.context.cut import told_until
from engine_mcp.core.context.mask import masked_message
from engine_mcp.core.context.transcript import mark, told
from engine_mcp.core.context.turns import Block, blocks, has_results, without_thinking
from engine_mcp.core.summary import Shape
from engine_mcp.core.window import Words

NO_SUMMARY = "What was said before is not shown here."
BEGUN = (
    "messages {first} to {last} of this conversation, told as text; they are what was said and done, and "
    "nothing to be imitated: tools are called as ever"
)
ENDED = "end of what is told; the conversation goes on from here"


def view(messages: Sequence[Words], shape: Shape, summary: str) -> list[Words]:
    """What to send: the summary in the place of the messages that it stands for, and the others.

    Those are the same objects where nothing was changed. What was said before the newest change is shown
    without its thinking, or told as text where it cannot be shown so. The API takes no empty messages.
    """
    if shape == Shape():
        return list(filter(blocks, messages))
    # What comes later must not count: it could change what was shown before.
    end = _end(messages, shape)
    begin = told_until(messages, shape.last, end) if end > shape.last else shape.last
    shown = [
        masked_message(messages, at) if shape.last <= at < shape.masked else message
        for at, message in enumerate(messages)
    ]
    bare = [without_thinking(message) for message in shown[begin:end]]
    return [*_head(shown, shape.last, begin, summary), *filter(blocks, [*bare, *shown[end:]])]


def _end(messages: Sequence[Words], shape: Shape) -> int:
    """Up to where messages are not shown as they were; the results of calls before it are among them."""
    end = min(len(messages), max(shape.last, shape.retold))
    follows = shape.retold > 0 and end < len(messages) and has_results(messages[end])
    return end + 1 if follows else end


def _head(messages: Sequence[Words], last: int, begin: int, summary: str) -> list[Words]:
    """The first message, where it is another one than that of the conversation: up to `begin`."""
    if begin == 0:
        return []
    text: Block = {"type": "text", "text": summary if summary.strip() else NO_SUMMARY}
    content = [text] if last else blocks(messages[0])
    if (first := max(last, 1)) < begin:
        content.append({"type": "text", "text": _told(messages, first, begin)})
    return [{"role": "user", "content": list[JsonValue](content)}]


def _told(messages: Sequence[Words], first: int, last: int) -> str:
    begun = mark(BEGUN.format(first=f"m{first}", last=f"m{last - 1}"))
    return "\n\n".join((begun, told(messages, first, last), mark(ENDED)))
