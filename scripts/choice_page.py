"""The reference of choices, from the tables that make them."""

from collections.abc import Iterable, Sequence

from engine_mcp.core import choice, strategy
from engine_mcp.core.choice import Tier
from engine_mcp.core.models import Models
from engine_mcp.prompts.catalog import FILE, RUNTIMES, models
from scripts.markdown import table


def upto(bounds: Sequence[int], points: int) -> str:
    """Say how many give so many points."""
    if points > len(bounds):
        return ""
    return f"up to {bounds[points]}" if points < len(bounds) else "more"


def points() -> str:
    """Write what is given how many points."""
    rows = [
        (str(count), ", ".join(kinds), upto(choice.WORDS, count), upto(choice.FILES, count))
        for count in range(max(choice.TYPES.values()) + 1)
        if (kinds := [kind for kind, given in choice.TYPES.items() if given == count])
    ]
    return table(("Points", "Task type", "Words of the task", "Files"), rows)


def levels() -> str:
    """Write what follows from the points."""
    bounds = {level: most for most, level in choice.LEVELS}
    rows = [
        (
            f"up to {bounds[level]}" if level in bounds else "more",
            f"`{level}`",
            f"`{choice.ROLES[level]}`",
            f"`{choice.TIERS[level]}`",
        )
        for level in choice.Level
    ]
    return table(("Points", "Level", "Role", "Tier"), rows)


def words(found: Iterable[str]) -> str:
    """Write a list of words."""
    return ", ".join(f"`{word}`" for word in sorted(found))


def specialists() -> str:
    """Write which words at the beginning of a task choose a role."""
    return table(
        ("Role", "Words"), [(f"`{role}`", words(signs)) for role, signs in choice.SPECIALISTS.items()]
    )


def tiers(known: Models) -> str:
    """Write which model does the work of a tier."""
    names = [name for name in RUNTIMES if any(known.of_tier(tier, name) for tier in Tier)]
    rows = [(f"`{tier}`", *(f"`{known.of_tier(tier, name)}`" for name in names)) for tier in Tier]
    return table(("Tier", *(f"`{name}`" for name in names)), rows)


def names(known: Models) -> str:
    """Write which names there are."""
    rows = [
        (f"`{name}`", *(f"`{ids[runtime]}`" if runtime in ids else "" for runtime in RUNTIMES[:3]))
        for name, ids in known.names.items()
    ]
    return table(("Name", *(f"`{name}`" for name in RUNTIMES[:3])), rows)


def rule() -> str:
    """Write the rule of `auto` as its module says it."""
    return (strategy.__doc__ or "").partition("\n\n")[2].strip()


def page() -> str:
    """Write the whole page."""
    known = models({})
    return f"{_steps()}\n{_models(known)}\n{_skills()}"


def _steps() -> str:
    return f"""# What the engine chooses

A step that names no role, no model and no skills gets them by the rules of this page. They read the
plan and nothing else, so the same plan always gets the same; what was chosen, and why, stands in the
result and in the journal. Words are compared as whole words and without regard to case.

## Strategy

{rule()}

Words are counted here as what stands between white space.

## Level and role

Type, words and files of a step are given points, which are added up:

{points()}

One of these words in the task adds 1 point, however many there are: {words(choice.RISKS)}.

{levels()}

Two things come before the role of the level. A task of the type `architecture` is for the `architect`. And
one of these words among the first {choice.OPENING} of the task chooses a specialist, the first row deciding:

{specialists()}
"""


def _models(known: Models) -> str:
    return f"""## Tiers

The tier is that of the role, where its file names one, and else that of the level. A step that names no
model gets the one of its tier; a runtime that is missing here uses its own default.

{tiers(known)}

## Models

A step may name a model by one of these names, in any case, or by an id of the runtime:

{names(known)}

Ids of other kinds are taken as they are: dated ones, those of Bedrock and Vertex and the long window
`[1m]` on `claude-code` and `api`; `provider/model` of other providers on `opencode`; whatever does not
begin with a dash on `command`. Any other name is an error that proposes the nearest one.

The section `models` of the settings has the shape of
[the file that this comes from](../../src/engine_mcp/prompts/{FILE.name}): `tiers` and `names` give ids by
runtime, each in place of the built-in one, and `patterns` adds regular expressions for ids that are taken as
they are.
"""


def _skills() -> str:
    return f"""## Skills

A [skill](../how-to/write-prompts.md#skills) fits a task that has a word of the skill's name, and for which it
is given {choice.ENOUGH} points: {choice.NAMED} for each word of its name, 1 for each other word of its
description. Common words do not count. The best {choice.MOST_SKILLS} are used.
"""
