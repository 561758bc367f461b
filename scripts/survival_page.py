"""The reference of what survives summaries, measured with summarizers that fail in known ways."""

from collections.abc import Sequence

from scripts.markdown import table
from tests.context.canaries import CANARIES, Canary
from tests.context.summarizers import KEPT, SUMMARIZERS
from tests.context.survival import PLANTED, ROUNDS, Round, pinned, plain, survives

KINDS = tuple(dict.fromkeys(canary.name for canary in CANARIES))
WAYS = {"on": pinned, "off": plain}
"""How a summary is made with pins, and without."""
WRITERS = {
    "good": f"copies sentences faithfully and keeps the newest {KEPT} of each list",
    "truncating": "reaches its limit in the middle of its answer",
    "empty": "answers by the schema and says nothing",
    "inventing": "adds paths, ids, numbers and errors that nobody said, and changes those that were said",
    "hostile": "speaks to its reader, fakes headings and calls, and takes back each fact that is pinned",
}

Measured = dict[str, dict[str, list[Round]]]
"""The rounds by way and by summarizer."""


def measured() -> Measured:
    """Summarize the conversation of the canaries in every way with every summarizer."""
    return {
        way: {name: made(PLANTED, each) for name, each in SUMMARIZERS.items()} for way, made in WAYS.items()
    }


def share(canaries: Sequence[Canary], texts: Sequence[str]) -> str:
    """Write how much of what was planted is in these texts."""
    found = [survives(canary, text) for canary in canaries for text in texts]
    return f"{round(100 * sum(found) / len(found))} %"


def by_kind(rounds: Measured) -> str:
    """Write what survives of each kind of fact, over all summarizers."""
    rows = [
        (kind, *_cells([canary for canary in CANARIES if canary.name == kind], list(SUMMARIZERS), rounds))
        for kind in KINDS
    ]
    return table(("Kind of fact", *_headings()), rows)


def by_summarizer(rounds: Measured) -> str:
    """Write what survives with each summarizer, over all kinds of facts."""
    return table(
        ("Summarizer", *_headings()),
        [(f"`{name}`", *_cells(CANARIES, [name], rounds)) for name in SUMMARIZERS],
    )


def writers() -> str:
    """Write what each summarizer does."""
    return "\n".join(f"- `{name}` {WRITERS[name]}" for name in SUMMARIZERS)


def page() -> str:
    """Write the whole page."""
    rounds = measured()
    return f"""# What survives summaries

A conversation of {len(PLANTED)} messages, in which {len(CANARIES)} facts of {len(KINDS)} kinds are each
said once, is summarized {ROUNDS} times. Every round adds messages with other facts of the same kinds, and
builds its summary on the one before. A fact has survived if the text that stands for the conversation says it
word for word, and, where it replaced an earlier value, does not say that one.

*On* is what the engine does: pins are extracted by code, the answer is checked, what is missing is put back,
and an answer of no use is replaced by an extraction. *Off* takes the same summarizers at their word.

The summarizers are programs of the tests, not models:

{writers()}

They show what code makes sure of whatever a model writes, and say nothing of how well any model summarizes.
The facts are worded plainly; what code does not recognize as a fact is not pinned, and is as safe as the
summarizer makes it.

## By kind of fact

The share that survives each round, over all summarizers.

{by_kind(rounds)}

## By summarizer

The share that survives each round, over all kinds of facts.

{by_summarizer(rounds)}
"""


def _headings() -> list[str]:
    return [f"Round {number}, {way}" for way in WAYS for number in range(1, ROUNDS + 1)]


def _cells(canaries: Sequence[Canary], names: Sequence[str], rounds: Measured) -> list[str]:
    return [
        share(canaries, [rounds[way][name][number].text for name in names])
        for way in WAYS
        for number in range(ROUNDS)
    ]
