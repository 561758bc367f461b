"""The choice of role, model tier, model and skills for an agent step: always the same for the same step.

Three things are weighed, and their points are added up:

| points | task type | words of the task | files |
|---|---|---|---|
| 0 | documentation | up to 50 | up to 1 |
| 1 | test, bugfix | up to 150 | up to 5 |
| 2 | feature | up to 400 | up to 15 |
| 3 | refactor | more | more |
| 4 | architecture | | |

A word of the task that stands for risk (see `RISKS`) adds 1, however many there are.

A skill fits a task that has a word of the skill's name and is given `ENOUGH` points: `NAMED` for each word
of the name and 1 for each other word of the description that the task has, whole words both, common ones
(`COMMON`) left out.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

from engine_mcp.core.brief import Skill
from engine_mcp.core.plan import TaskType
from engine_mcp.core.route import Route


class Level(StrEnum):
    """How demanding a step is."""

    SIMPLE = "simple"
    MODERATE = "moderate"
    COMPLEX = "complex"
    CRITICAL = "critical"


class Tier(StrEnum):
    """What a model can do and costs: little, some, much."""

    FAST = "fast"
    STANDARD = "standard"
    STRONG = "strong"


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What carries out an agent step, and why; `model` is the runtime's own id, None for its default.

    `route` is where its attempts go, `others` are those that can take its place, the best first;
    `forced`: the caller asked for the runtime. `priced` tells whether its cost will be known, `passed`
    why the runtimes that come first were passed over.
    """

    runtime: str
    role: str
    level: Level
    tier: Tier
    model: str | None = None
    skills: tuple[str, ...] = ()
    why: tuple[str, ...] = ()
    route: Route | None = None
    others: tuple[Route, ...] = ()
    forced: bool = False
    priced: bool = True
    passed: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True, kw_only=True)
class Weighed:
    """The level of a step, its points by what they were given for, and the words that were noticed."""

    level: Level
    points: Mapping[str, int]
    words: tuple[str, ...] = ()
    role: str = "developer"
    reasons: tuple[str, ...] = ()


TYPES: Mapping[TaskType, int] = MappingProxyType(
    {
        TaskType.DOCUMENTATION: 0,
        TaskType.TEST: 1,
        TaskType.BUGFIX: 1,
        TaskType.FEATURE: 2,
        TaskType.REFACTOR: 3,
        TaskType.ARCHITECTURE: 4,
    }
)
WORDS = (50, 150, 400)
FILES = (1, 5, 15)
RISKS = frozenset(
    {"auth", "authentication", "concurrency", "concurrent", "crash", "data", "deadlock", "encryption"}
    | {"migrate", "migration", "money", "payment", "payments", "performance", "race", "security", "threads"}
)
SPECIALISTS: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "ops": frozenset({"ci", "deploy", "deployment", "docker", "dockerfile", "kubernetes", "terraform"}),
        "product": frozenset({"requirements", "roadmap", "stories", "story", "persona", "prd"}),
        "reviewer": frozenset({"audit", "critique", "review"}),
    }
)
LEVELS = ((2, Level.SIMPLE), (4, Level.MODERATE), (7, Level.COMPLEX))
ROLES: Mapping[Level, str] = MappingProxyType(
    {
        Level.SIMPLE: "developer",
        Level.MODERATE: "developer",
        Level.COMPLEX: "senior",
        Level.CRITICAL: "architect",
    }
)
TIERS: Mapping[Level, Tier] = MappingProxyType(
    {
        Level.SIMPLE: Tier.FAST,
        Level.MODERATE: Tier.STANDARD,
        Level.COMPLEX: Tier.STRONG,
        Level.CRITICAL: Tier.STRONG,
    }
)
OPENING = 12
"""How many of a task's first words say what kind of work it is."""
NAMED, ENOUGH, MOST_SKILLS = 3, 4, 3
_PART = re.compile(r"[^\W_]+")
COMMON = frozenset(
    _PART.findall(
        "a about add all also an and any are as at be before but by can change code create do does each "
        "file files for from get has have help helps how if in into is it its make more need new no not "
        "of on one only or other our out over project should skill so some step task than that the their "
        "them then there these they this to up use used user users uses using want we what when whenever "
        "where which while who will with work working write you your"
    )
)
_WORD = re.compile(r"[^\W_]+(?:[-'][^\W_]+)*")


def words_of(task: str) -> tuple[str, ...]:
    """The words of a text, without regard to case."""
    return tuple(word.casefold() for word in _WORD.findall(task))


def weigh(task: str, task_type: TaskType, files: int) -> Weighed:
    """How demanding a task is, and the role that suits it."""
    words = words_of(task)
    risks = tuple(sorted(RISKS & set(words)))
    points = {
        "type": TYPES[task_type],
        "words": _points(len(words), WORDS),
        "files": _points(files, FILES),
        "risk": 1 if risks else 0,
    }
    total = sum(points.values())
    level = next((level for most, level in LEVELS if total <= most), Level.CRITICAL)
    role, because = _role(words, task_type, level)
    noticed = f" ({', '.join(risks)})" if risks else ""
    why = (
        f"level {level}: {total} points = type {task_type} {points['type']} + {len(words)} words "
        f"{points['words']} + {files} files {points['files']} + risk{noticed} {points['risk']}"
    )
    return Weighed(
        level=level, points=points, words=risks, role=role, reasons=(why, f"role {role}: {because}")
    )


def _points(count: int, bounds: tuple[int, ...]) -> int:
    return sum(count > bound for bound in bounds)


def _role(words: tuple[str, ...], task_type: TaskType, level: Level) -> tuple[str, str]:
    if task_type is TaskType.ARCHITECTURE:
        return "architect", "the task's type is architecture"
    for role, signs in SPECIALISTS.items():
        if found := sorted(signs & set(words[:OPENING])):
            return role, f"the task begins with {', '.join(found)}"
    return ROLES[level], f"the level is {level}"


def matched(skills: Iterable[Skill], task: str) -> tuple[str, ...]:
    """The names of the skills that suit a task, the best first, at most `MOST_SKILLS`."""
    said = _telling(task)
    given = {skill.name: _fit(skill, said) for skill in skills}
    found = sorted((name for name, points in given.items() if points >= ENOUGH), key=lambda n: (-given[n], n))
    return tuple(found[:MOST_SKILLS])


def _fit(skill: Skill, said: frozenset[str]) -> int:
    name = _telling(skill.name)
    named, described = len(name & said), len((_telling(skill.description) - name) & said)
    return NAMED * named + described if named else 0


def _telling(text: str) -> frozenset[str]:
    """The words of a text that tell something, without regard to case."""
    return frozenset(_PART.findall(text.casefold())) - COMMON
