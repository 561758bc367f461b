"""Role and level follow from a table, skills from words; both always the same for the same step."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine_mcp.core.brief import Skill
from engine_mcp.core.choice import (
    FILES,
    LEVELS,
    MOST_SKILLS,
    OPENING,
    RISKS,
    ROLES,
    SPECIALISTS,
    TIERS,
    TYPES,
    WORDS,
    Level,
    Tier,
    matched,
    weigh,
    words_of,
)
from engine_mcp.core.plan import TaskType

SIMPLE, MODERATE, COMPLEX, CRITICAL = Level
KINDS = st.sampled_from(TaskType)


def task(words: int) -> str:
    return " ".join(["word"] * words)


def skill(name: str, description: str = "") -> Skill:
    return Skill(name=name, description=description, text="", path="p")


@pytest.mark.req("003:L12b")
@pytest.mark.parametrize(
    ("kind", "words", "files", "level", "role"),
    [
        (TaskType.DOCUMENTATION, 1, 0, SIMPLE, "developer"),
        (TaskType.DOCUMENTATION, 400, 1, SIMPLE, "developer"),
        (TaskType.DOCUMENTATION, 401, 0, MODERATE, "developer"),
        (TaskType.DOCUMENTATION, 401, 16, COMPLEX, "senior"),
        (TaskType.TEST, 50, 1, SIMPLE, "developer"),
        (TaskType.TEST, 51, 2, MODERATE, "developer"),
        (TaskType.BUGFIX, 50, 5, SIMPLE, "developer"),
        (TaskType.BUGFIX, 50, 6, MODERATE, "developer"),
        (TaskType.BUGFIX, 151, 6, COMPLEX, "senior"),
        (TaskType.FEATURE, 50, 1, SIMPLE, "developer"),
        (TaskType.FEATURE, 51, 1, MODERATE, "developer"),
        (TaskType.FEATURE, 150, 5, MODERATE, "developer"),
        (TaskType.FEATURE, 151, 5, COMPLEX, "senior"),
        (TaskType.FEATURE, 401, 16, CRITICAL, "architect"),
        (TaskType.REFACTOR, 50, 1, MODERATE, "developer"),
        (TaskType.REFACTOR, 51, 5, COMPLEX, "senior"),
        (TaskType.REFACTOR, 400, 15, COMPLEX, "senior"),
        (TaskType.REFACTOR, 401, 15, CRITICAL, "architect"),
        (TaskType.ARCHITECTURE, 1, 0, MODERATE, "architect"),
        (TaskType.ARCHITECTURE, 51, 0, COMPLEX, "architect"),
        (TaskType.ARCHITECTURE, 401, 15, CRITICAL, "architect"),
    ],
)
def test_level_and_role_follow_from_type_words_and_files(
    kind: TaskType, words: int, files: int, level: Level, role: str
) -> None:
    weighed = weigh(task(words), kind, files)
    assert (weighed.level, weighed.role) == (level, role)


@pytest.mark.parametrize(
    ("level", "tier"),
    [
        (SIMPLE, Tier.FAST),
        (MODERATE, Tier.STANDARD),
        (COMPLEX, Tier.STRONG),
        (CRITICAL, Tier.STRONG),
    ],
)
def test_every_level_has_a_tier_and_a_role(level: Level, tier: Tier) -> None:
    assert TIERS[level] is tier
    assert level in ROLES


def test_the_table_covers_every_type_and_rises() -> None:
    assert TYPES.keys() == set(TaskType)
    assert list(WORDS) == sorted(WORDS)
    assert list(FILES) == sorted(FILES)
    assert [most for most, _ in LEVELS] == sorted(most for most, _ in LEVELS)


@pytest.mark.parametrize("word", sorted(RISKS))
@pytest.mark.parametrize("form", [str.lower, str.upper, str.title])
def test_a_word_of_risk_counts_in_any_case(word: str, form: Callable[[str], str]) -> None:
    weighed = weigh(f"Look at the {form(word)}, please", TaskType.FEATURE, 0)
    assert weighed.points["risk"] == 1
    assert weighed.words == (word,)
    assert weighed.level is MODERATE
    assert word in weighed.reasons[0]


def test_many_words_of_risk_count_once() -> None:
    weighed = weigh("data race in the payment migration, data", TaskType.BUGFIX, 0)
    assert weighed.points["risk"] == 1
    assert weighed.words == ("data", "migration", "payment", "race")


@pytest.mark.parametrize(
    "text", ["database", "racecar", "authored", "metadata", "data-less", "traces", "Datas"]
)
def test_a_part_of_a_word_is_not_the_word(text: str) -> None:
    assert weigh(f"mend the {text}", TaskType.BUGFIX, 0).points["risk"] == 0


@pytest.mark.parametrize(
    ("text", "role"),
    [
        ("Review the parser", "reviewer"),
        ("please AUDIT this", "reviewer"),
        ("Deploy it", "ops"),
        ("Mend the CI", "ops"),
        ("Write the user stories for the export", "product"),
        ("Preview the parser", "developer"),
        ("Write a history", "developer"),
        (f"{task(OPENING)} deploy", "developer"),
        (f"{task(OPENING - 1)} deploy", "ops"),
    ],
)
def test_a_specialist_is_chosen_by_whole_words_at_the_beginning(text: str, role: str) -> None:
    weighed = weigh(text, TaskType.FEATURE, 0)
    assert weighed.role == role
    assert weighed.reasons[-1].startswith(f"role {role}: ")


def test_architecture_is_for_architects_whatever_the_task_says() -> None:
    assert weigh("Review the deployment", TaskType.ARCHITECTURE, 0).role == "architect"


def test_specialists_share_no_word() -> None:
    words = [word for signs in SPECIALISTS.values() for word in signs]
    assert len(words) == len(set(words))


@pytest.mark.req("003:L12b")
def test_the_reasons_say_what_each_point_was_given_for() -> None:
    weighed = weigh("Change how a payment is made", TaskType.REFACTOR, 7)
    assert weighed.reasons == (
        "level complex: 6 points = type refactor 3 + 6 words 0 + 7 files 2 + risk (payment) 1",
        "role senior: the level is complex",
    )


@given(st.text(max_size=200), KINDS, st.integers(0, 1000))
def test_the_same_step_is_always_weighed_the_same(text: str, kind: TaskType, files: int) -> None:
    weighed = weigh(text, kind, files)
    assert weigh(text, kind, files) == weighed
    assert sum(weighed.points.values()) <= 11
    assert f"{sum(weighed.points.values())} points" in weighed.reasons[0]


@given(st.integers(0, 500), st.integers(0, 500), KINDS, st.integers(0, 30), st.integers(0, 30))
def test_more_to_do_is_never_less_demanding(
    words: int, more: int, kind: TaskType, files: int, further: int
) -> None:
    levels = list(Level)
    before, after = weigh(task(words), kind, files), weigh(task(words + more), kind, files + further)
    assert levels.index(before.level) <= levels.index(after.level)


def test_words_are_split_where_a_reader_would() -> None:
    assert words_of("Don't re-use the_old CI/CD, größer ÉTÉ 3x!") == (
        *("don't", "re-use", "the", "old", "ci", "cd"),
        *("grösser", "été", "3x"),
    )
    assert words_of(" \n…") == ()


PDF = skill("pdf-editor", "Extract text from PDF files, fill forms. Use when the user works with PDF.")
RELEASE = skill("git-release", "Create consistent releases and changelogs.")
TESTING = skill("testing", "Write tests with fixtures and fakes.")


@pytest.mark.req("003:L12b")
@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("Fill the forms of this pdf", ("pdf-editor",)),
        ("Use the PDF-Editor", ("pdf-editor",)),
        ("Open the PDF", ()),
        ("Fill forms and extract text", ()),
        ("Make a git release", ("git-release",)),
        ("Write changelogs in git", ("git-release",)),
        ("The gitter releases", ()),
        ("Use the files of the user when it works", ()),
        (
            "testing with fakes: the git release of the pdf forms, fill it",
            ("git-release", "pdf-editor", "testing"),
        ),
        ("", ()),
    ],
)
def test_a_skill_fits_by_a_word_of_its_name_and_one_more(text: str, names: tuple[str, ...]) -> None:
    assert matched([TESTING, RELEASE, PDF], text) == names


def test_the_best_skills_come_first_and_not_too_many() -> None:
    many = [skill(f"sql-{n}", "tune queries " + "indexes " * (n % 2)) for n in range(10)]
    found = matched(reversed(many), "tune the SQL queries and their indexes")
    assert found == ("sql-1", "sql-3", "sql-5")
    assert len(found) == MOST_SKILLS


@given(st.permutations([PDF, RELEASE, TESTING]), st.text(max_size=50))
def test_the_order_in_which_skills_are_found_does_not_matter(skills: list[Skill], text: str) -> None:
    said = f"{text} testing fakes git release pdf forms"
    assert matched(skills, said) == matched([PDF, RELEASE, TESTING], said)
