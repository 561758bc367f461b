"""Plan files: what is wrong is told with file, line and field, and nothing is started."""

from pathlib import Path

import pytest

from engine_mcp.cli.plan_file import read_plan
from engine_mcp.errors import EngineError, InvalidArgument, InvalidPlan

PLAN = """\
strategy: parallel
# a comment
steps:
  - id: first
    code: return 1;
  - id: second
    depends_on: [first]
    limits:
      wall_s: 5
    code: |
      return outputs.first;
"""


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    return tmp_path / "plan.yaml"


def test_a_plan_is_the_arguments_it_holds(plan: Path) -> None:
    plan.write_text(PLAN)
    arguments = read_plan(plan).arguments
    assert arguments["strategy"] == "parallel"
    assert arguments["steps"] == [
        {"id": "first", "code": "return 1;"},
        {
            "id": "second",
            "depends_on": ["first"],
            "limits": {"wall_s": 5},
            "code": "return outputs.first;\n",
        },
    ]


@pytest.mark.parametrize(
    ("field", "line"),
    [
        ("strategy", 1),
        ("steps", 3),
        ("steps[0].id", 4),
        ("steps[1].depends_on", 7),
        ("steps[1].depends_on[0]", 7),
        ("steps[1].limits.wall_s", 9),
        ("steps[1].limits.memory_mb", 8),
        ("steps[1]", 6),
        ("steps[7].id", 3),
        ("path", 1),
    ],
)
def test_an_error_gets_the_line_of_its_field_or_of_what_should_hold_it(
    plan: Path, field: str, line: int
) -> None:
    plan.write_text(PLAN)
    told = read_plan(plan).placed(InvalidPlan("It is wrong.", field=field, hint="Mend it."))
    assert isinstance(told, InvalidPlan)
    assert told.message == f"{plan}, line {line}, {field}: It is wrong."
    assert (told.field, told.hint) == (field, "Mend it.")


def test_an_error_without_a_field_stays_as_it_is(plan: Path) -> None:
    plan.write_text(PLAN)
    error = EngineError("Something else.")
    assert read_plan(plan).placed(error) is error


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("steps: [", "is not YAML"),
        ("", "holds no plan"),
        ("- id: a", "holds no plan"),
        ("just words", "holds no plan"),
        ("task: a\ntask: b\n", "line 2: 'task' stands there twice"),
        ("steps:\n- id: a\n  code: x\n  code: y\n", "line 4: 'code' stands there twice"),
        ("context: {1: x}", "context"),
        ("context: !!set {a}", "context"),
        ("context: !!python/object:os.system {}", "is not YAML"),
        ("context: &a [*a]", "nested too deeply, or refers to itself"),
    ],
)
def test_what_is_no_plan_is_refused_with_its_file(plan: Path, text: str, said: str) -> None:
    plan.write_text(text)
    with pytest.raises(InvalidArgument, match=said) as told:
        read_plan(plan)
    assert str(plan) in told.value.message


def test_a_date_stays_the_text_it_is(plan: Path) -> None:
    plan.write_text("context: {since: 2026-01-31}")
    assert read_plan(plan).arguments == {"context": {"since": "2026-01-31"}}


def test_a_file_that_is_no_text_is_refused(plan: Path) -> None:
    plan.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InvalidArgument, match="cannot be read"):
        read_plan(plan)
