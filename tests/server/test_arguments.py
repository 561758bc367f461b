"""Arguments become values of the core, or an error that names the field."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import JsonValue

from engine_mcp.core.budget import Limits, OnExceed
from engine_mcp.core.plan import Draft, Mode, OnCancel, Permissions, StrategyName, TaskType, Unanswered
from engine_mcp.core.route import Allowed
from engine_mcp.core.script import ScriptLimits
from engine_mcp.errors import EngineError, InvalidArgument, PathOutsideRoots
from engine_mcp.server.arguments import draft, limits, parsed, resume
from engine_mcp.server.json_schema import schema_of
from engine_mcp.server.schemas import ExecuteArguments, PlanArguments, StatusArguments
from tests.server.checking import conforming
from tests.server.inputs import STATUS_ARGUMENTS, json_values, plans
from tests.server.samples import CEILINGS, edge_of

FLAG = "should be true, false or a list of ids of steps."
EXECUTE, STATUS = schema_of(ExecuteArguments), schema_of(StatusArguments)
WHOLE: dict[str, JsonValue] = {
    "task": "look around",
    "steps": [
        {
            "id": "a",
            "code": "return 1",
            "limits": {"memory_mb": 256, "max_calls": 3},
            "permissions": {"mode": "none", "allowed_tools": []},
            "budget": {"max_requests": 4},
        },
        {
            "id": "b",
            "tool": "files.read",
            "arguments": {"path": "x"},
            "depends_on": ["a"],
            "optional": True,
            "requires_approval": True,
            "approval_timeout_s": 90,
            "if_unanswered": "skip",
            "timeout_s": 2,
            "max_attempts": 1,
            "output_schema": {"type": "string"},
        },
        {"id": "c", "task": "think", "agent": "architect", "model": "m", "runtime": "api", "skills": ["s"]},
    ],
    "task_type": "bugfix",
    "strategy": "parallel",
    "parallelism": 2,
    "context": {"n": 1},
    "budget": {"max_tokens": 10, "max_cost_usd": 0.5, "max_seconds": 3.5},
    "idempotency_key": "k",
    "on_cancel": "continue",
    "fallback": ["pool", "tier", "pool"],
    "auto_resume": True,
}

REFUSED: list[tuple[dict[str, JsonValue], str, str]] = [
    ({"tsk": "x"}, "tsk", "task"),
    ({"steps": [{"id": "a", "depend_on": []}]}, "steps[0].depend_on", "depends_on"),
    ({"steps": [{"id": "a"}, {"id": "b", "depends_on": "a"}]}, "steps[1].depends_on", "array"),
    ({"steps": [{"code": "1"}]}, "steps[0].id", "missing"),
    ({"steps": [{"id": "a b", "code": "1"}]}, "steps[0].id", "pattern"),
    ({"steps": {"id": "a"}}, "steps", "array"),
    ({"task": ""}, "task", "character"),
    ({"task": 7}, "task", "string"),
    ({"task": "x", "task_type": "chore"}, "task_type", "bugfix"),
    ({"task": "x", "strategy": "random"}, "strategy", "parallel"),
    ({"task": "x", "runtime": "gpt"}, "runtime", "claude-code"),
    ({"task": "x", "parallelism": 0}, "parallelism", "greater"),
    ({"task": "x", "parallelism": "4"}, "parallelism", "integer"),
    ({"task": "x", "parallelism": True}, "parallelism", "integer"),
    ({"task": "x", "budget": {"max_tokens": -1}}, "budget.max_tokens", "greater"),
    ({"task": "x", "budget": {"max_cost_usd": float("nan")}}, "budget", "JSON"),
    ({"task": "x", "limits": {"wall_s": 0}}, "limits.wall_s", "greater"),
    ({"task": "x", "context": [1]}, "context", "object"),
    ({"task": "x", "fallback": ["model"]}, "fallback[0]", "family"),
    ({"task": "x", "auto_resume": "yes"}, "auto_resume", "boolean"),
    (
        {"steps": [{"id": "a", "code": "1", "approval_timeout_s": 0}]},
        "steps[0].approval_timeout_s",
        "greater",
    ),
    ({"steps": [{"id": "a", "code": "1", "if_unanswered": "wait"}]}, "steps[0].if_unanswered", "deny"),
    ({"task": "x", "wait_s": 3}, "wait_s", "no argument"),
]


def refused(arguments: dict[str, JsonValue], root: Path) -> EngineError:
    with pytest.raises(EngineError) as caught:
        draft(arguments, edge_of(root))
    return caught.value


@pytest.mark.req("003:L7", "002:L27")
def test_everything_a_plan_can_say_arrives_in_the_draft(tmp_path: Path) -> None:
    root = tmp_path.resolve()
    found = draft({**WHOLE, "path": str(root)}, edge_of(root))
    a, b, c = found.steps
    assert (found.task, found.task_type, found.strategy) == (
        "look around",
        TaskType.BUGFIX,
        StrategyName.PARALLEL,
    )
    assert (found.parallelism, found.context, found.idempotency_key) == (2, {"n": 1}, "k")
    assert found.on_cancel is OnCancel.CONTINUE
    assert found.budget == Limits(max_tokens=10, max_cost_usd=0.5, max_seconds=3.5, on_exceed=OnExceed.WARN)
    assert (a.limits.memory_mb, a.limits.max_calls, a.limits.cpu_s) == (256, 3, 30.0)
    assert a.permissions == Permissions(mode=Mode.NONE, allowed_tools=())
    assert a.budget == Limits(max_requests=4, on_exceed=OnExceed.WARN)
    assert (b.tool, b.arguments, b.depends_on) == ("files.read", {"path": "x"}, ("a",))
    assert (b.optional, b.requires_approval, b.timeout_s, b.max_attempts) == (True, True, 2.0, 1)
    assert (b.approval_timeout_s, b.if_unanswered) == (90.0, Unanswered.SKIP)
    assert (found.fallback, found.auto_resume) == ((Allowed.POOL, Allowed.TIER), True)
    assert b.output_schema == {"type": "string"}
    assert (c.agent, c.model, c.runtime, c.skills) == ("architect", "m", "api", ("s",))


@pytest.mark.req("003:L53")
def test_a_task_alone_means_the_default_project_and_defaults(tmp_path: Path) -> None:
    root = tmp_path.resolve()
    found = draft({"task": "look"}, edge_of(root))
    assert found == Draft(path=str(root), task="look")


def test_null_is_as_good_as_leaving_out_where_there_is_no_other_default(tmp_path: Path) -> None:
    nothing: dict[str, JsonValue] = {"path": None, "code": None, "budget": {"max_tokens": None}}
    assert draft({"task": "look", **nothing}, edge_of(tmp_path)) == draft({"task": "look"}, edge_of(tmp_path))


@pytest.mark.req("003:L53")
@pytest.mark.parametrize(("arguments", "field", "word"), REFUSED)
def test_an_argument_that_cannot_be_taken_is_named(
    tmp_path: Path, arguments: dict[str, JsonValue], field: str, word: str
) -> None:
    error = refused(arguments, tmp_path)
    assert (error.code, error.field) == ("invalid_argument", field)
    assert word in f"{error.message} {error.hint}"


def test_what_is_no_json_is_refused_by_name(tmp_path: Path) -> None:
    deep: JsonValue = []
    for _ in range(5000):
        deep = [deep]
    assert refused({"context": {"deep": deep}}, tmp_path).field == "context"
    assert refused({"context": {"half": "\ud800"}}, tmp_path).code == "invalid_argument"


@pytest.mark.parametrize("field", ["memory_mb", "cpu_s", "wall_s", "stack_kb", "max_calls", "max_output_kb"])
def test_a_script_limit_above_the_operators_is_refused_and_one_at_it_is_taken(
    tmp_path: Path, field: str
) -> None:
    most = getattr(CEILINGS, field)
    steps: list[JsonValue] = [{"id": "a", "code": "1", "limits": {field: most + 1}}]
    error = refused({"steps": steps}, tmp_path)
    assert (error.code, error.field) == ("invalid_argument", f"steps[0].limits.{field}")
    assert f"{most:g}" in error.hint
    assert refused({"code": "1", "limits": {field: most + 1}}, tmp_path).field == f"limits.{field}"
    taken = draft({"code": "1", "limits": {field: most}}, edge_of(tmp_path))
    assert getattr(taken.limits, field) == most


def test_a_default_above_the_operators_limit_is_the_operators_limit(tmp_path: Path) -> None:
    edge = edge_of(tmp_path)
    tight = type(edge)(roots=edge.roots, ceilings=ScriptLimits(memory_mb=16), on_exceed=edge.on_exceed)
    assert draft({"code": "1"}, tight).limits.memory_mb == 16


@pytest.mark.parametrize("way_in", OnExceed)
def test_the_way_in_decides_what_happens_at_limits_unless_the_request_does(
    tmp_path: Path, way_in: OnExceed
) -> None:
    edge = edge_of(tmp_path, on_exceed=way_in)
    assert draft({"task": "x", "budget": {"max_tokens": 1}}, edge).budget.on_exceed is way_in
    said = draft({"task": "x", "budget": {"max_tokens": 1, "on_exceed": "pause"}}, edge)
    assert said.budget.on_exceed is OnExceed.PAUSE
    assert draft({"task": "x"}, edge).budget == Limits()


class TestPaths:
    def test_a_project_inside_a_root_is_resolved(self, tmp_path: Path) -> None:
        root = tmp_path.resolve()
        (root / "with space é").mkdir()
        (root / "link").symlink_to("with space é")
        for path in ("with space é", "./link", "link/../with space é", str(root / "link")):
            assert draft({"task": "x", "path": path}, edge_of(root)).path == str(root / "with space é")

    @pytest.mark.parametrize("path", ["..", "/", "/etc", "absent", "a\0b", "file", "out", "ring"])
    def test_a_project_elsewhere_or_nowhere_is_refused(self, tmp_path: Path, path: str) -> None:
        root = tmp_path.resolve() / "root"
        root.mkdir()
        (root / "file").write_text("")
        (root / "out").symlink_to("..")
        (root / "ring").symlink_to("ring")
        error = refused({"task": "x", "path": path}, root)
        assert (error.code, error.field) == ("path_outside_roots", "path")

    def test_a_second_root_is_as_good_as_the_first(self, tmp_path: Path) -> None:
        one, two = tmp_path.resolve() / "one", tmp_path.resolve() / "two"
        one.mkdir()
        two.mkdir()
        assert draft({"task": "x", "path": str(two)}, edge_of(one, two)).path == str(two)

    def test_files_lie_in_the_project(self, tmp_path: Path) -> None:
        (tmp_path / "a.txt").write_text("")
        (tmp_path / "out").symlink_to("/")
        edge = edge_of(tmp_path.resolve())
        assert draft({"task": "x", "files": ["a.txt"]}, edge).files == ("a.txt",)
        with pytest.raises(PathOutsideRoots) as caught:
            draft({"task": "x", "files": ["a.txt", "out/etc"]}, edge)
        assert caught.value.field == "files[1]"


def test_a_resume_says_what_is_to_change(tmp_path: Path) -> None:
    found = resume(
        {
            "budget": {"max_tokens": 5},
            "approve": ["a"],
            "deny": ["b"],
            "runtime": "api",
            "model": "m",
            "from_step": "c",
            "steps": [{"id": "d", "code": "1"}],
        },
        edge_of(tmp_path),
    )
    assert found.budget == Limits(max_tokens=5)
    assert (found.approve, found.deny, found.from_step) == (("a",), ("b",), "c")
    assert (found.runtime, found.model, [step.id for step in found.steps]) == ("api", "m", ["d"])


def test_a_step_cannot_be_approved_and_denied_at_once(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="b") as caught:
        resume({"approve": ["a", "b"], "deny": ["b"]}, edge_of(tmp_path))
    assert caught.value.field == "deny"


def test_limits_leave_out_what_is_not_said() -> None:
    assert limits({"max_requests": 3, "on_exceed": "pause"}) == Limits(
        max_requests=3, on_exceed=OnExceed.PAUSE
    )
    assert limits({}) == Limits()


@given(plans())
def test_what_the_schema_admits_is_taken(arguments: dict[str, JsonValue]) -> None:
    conforming(arguments, EXECUTE)
    parsed(ExecuteArguments, arguments)


@given(st.dictionaries(st.sampled_from(sorted(PlanArguments.model_fields)), json_values(), max_size=4))
def test_what_is_taken_the_schema_admits_and_what_is_not_is_named(arguments: dict[str, JsonValue]) -> None:
    try:
        parsed(ExecuteArguments, arguments)
    except InvalidArgument as refusal:
        error = refusal
    else:
        given_ = {name: value for name, value in arguments.items() if value is not None}
        conforming(given_, EXECUTE)
        return
    assert re.split(r"[.\[]", error.field or "")[0] in arguments


@given(STATUS_ARGUMENTS)
def test_what_the_schema_of_status_admits_is_taken(arguments: dict[str, JsonValue]) -> None:
    conforming(arguments, STATUS)
    parsed(StatusArguments, arguments)


@pytest.mark.parametrize("name", ["summarize", "restore"])
@pytest.mark.parametrize(
    ("value", "place", "said"),
    [
        ("main", "", FLAG),
        (3, "", FLAG),
        (["main", 3], "[1]", "should be a valid string"),
        (["no id"], "[0]", "should match pattern"),
        ([f"s{number}" for number in range(10_000)], "", "should have at most"),
    ],
    ids=["text", "number", "number in a list", "no id", "too many"],
)
def test_what_is_a_flag_or_a_list_is_named_as_the_argument_that_it_is(
    tmp_path: Path, name: str, value: JsonValue, place: str, said: str
) -> None:
    with pytest.raises(InvalidArgument) as caught:
        resume({name: value}, edge_of(tmp_path))
    assert caught.value.field == f"{name}{place}"
    assert caught.value.message.startswith(f"{name}{place}: ")
    assert said in caught.value.message
