"""Cutting: where a conversation may be cut, and how what stays can be shown behind what was changed."""

from collections.abc import Sequence

from engine_mcp.core.context.turns import asks, calls, has_thinking, open_loop, spoken, starts
from engine_mcp.core.summary import Shape
from engine_mcp.core.window import Words

KEPT_TURNS = 6


def cut(messages: Sequence[Words], sizes: Sequence[int], keep: int, turns: int = KEPT_TURNS) -> int:
    """The earliest position from which on at most `keep` tokens and `turns` turns of the model stay.

    `sizes` are the tokens of each message. A call is never split from its result. What was said last stays,
    however large it is, unless `keep` is 0: then nothing does.
    """
    end = len(messages)
    if keep <= 0:
        return end
    found, tokens, said = end, 0, 0
    for start in reversed(starts(messages)):
        tokens += sum(sizes[start:end])
        said += spoken(messages[start:end])
        if found < len(messages) and (tokens > keep or said > turns):
            break
        found = end = start
    return found


def shape_of(messages: Sequence[Words], last: int, masked: int) -> Shape:
    """The shape of a conversation that is changed before the model is to speak next.

    A summary stands for what is before `last`, stubs for results before `masked`; both 0: what was changed
    before is shown as it was. `retold` is set where what stays cannot be shown as it is behind that. Raises
    ValueError where calls have no results yet.
    """
    if messages and calls(messages[-1]):
        raise ValueError("The last calls of the conversation have no results yet.")
    end = len(messages)
    as_it_is = told_until(messages, last, end) == last and not any(map(has_thinking, messages[last:]))
    return Shape(last=last, masked=masked, retold=0 if as_it_is else end)


def told_until(messages: Sequence[Words], last: int, end: int) -> int:
    """Up to where the messages from `last` to `end` have to be told as text; `last` where none has to.

    Thinking cannot stay behind what was changed, and a loop under way at `end` cannot do without its own.
    Else messages can be shown from a real turn of the user on, without their thinking.
    """
    before = messages[:end]
    if any(map(has_thinking, before[open_loop(before) :])):
        return end
    return next((at for at in range(last, end) if asks(before, at)), end)
