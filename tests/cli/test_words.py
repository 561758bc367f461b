"""The words of the command line: what is refused, what is imported, what the help says."""

import json
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from engine_mcp.catalogue import CATALOGUE
from engine_mcp.cli import COMMANDS, cli
from engine_mcp.cli.exits import MEANINGS, Exit, of_error, of_status
from engine_mcp.cli.words import amount, duration, typed
from engine_mcp.core.execution import ExecutionStatus
from engine_mcp.errors import EngineError
from tests.cli.shell import ENGINE, Shell, Told, opened

STEP = "steps:\n- id: a\n  code: return 1;\n"
LISTING = """
import json, sys
from engine_mcp.cli.entry import call
call(sys.argv[1:])
print("", json.dumps(sorted({name.partition(".")[0] for name in sys.modules})), sep="\\n", file=sys.stderr)
"""
BAD_PLANS = {
    "no YAML": ("steps: [", "is not YAML"),
    "no work": ("task_type: feature\n", "There is no work"),
    "an unknown field": ("work: hard\ncode: return 1;\n", "line 1, work: There is no argument 'work'"),
    "a wrong type": ("parallelism: many\ncode: return 1;\n", "line 1, parallelism: "),
    "an unknown strategy": ("strategy: clever\ncode: return 1;\n", "line 1, strategy: "),
    "a repeated id": (
        f"{STEP}- id: a\n  code: return 2;\n",
        "line 4, steps[1].id: The step id 'a' is used twice",
    ),
    "an unknown dependency": (f"{STEP}  depends_on: [b]\n", "line 4, steps[0].depends_on: "),
    "a circle": (
        "steps:\n- {id: a, code: x, depends_on: [b]}\n- {id: b, code: x, depends_on: [a]}\n",
        "line 1, steps: The steps depend on each other in a circle: a → b → a",
    ),
    "two kinds of work": (f"{STEP}  tool: files.read\n", "line 2, steps[0]: "),
    "an unknown tool": ("steps:\n- id: a\n  tool: no.such\n", "no.such"),
    "limits beyond the operator's": (
        f"{STEP}  limits: {{memory_mb: 16000}}\n",
        "line 4, steps[0].limits.memory_mb",
    ),
    "a negative budget": ("budget:\n  max_seconds: -1\ncode: return 1;\n", "line 2, budget.max_seconds"),
    "a path elsewhere": ("path: /\ncode: return 1;\n", "line 1, path: / is outside of"),
    "an agent": ("task: build it\n", "needs an agent runtime"),
}

WRONG_WORDS = {
    "run": "one of TASK, --plan, --code and --tool",
    "run a-task --tool files.read": "one of TASK",
    "run --plan /nowhere.yaml": "does not exist",
    "run --code /": "is a directory",
    "run --tool files.read --arg path": "--arg takes NAME=VALUE",
    "run a-task --arg a=b": "--arg is for",
    "run a-task --agent architct": "No role is named 'architct'",
    "run a-task --runtime cron": "runtime",
    "run a-task --strategy both": "--strategy",
    "run a-task --file ../x": "does not exist",
    "run --tool t --max-tokens -1": "--max-tokens",
    "run --tool t --max-seconds soon": "--max-seconds",
    "run --tool t --on-exceed stop": "--on-exceed",
    "run --tool t --mode all": "--mode",
    "run --tool t --path /nowhere": "is not a directory",
    "run --tool t --context {": "--context",
    "run --tool t --context @/nowhere": "--context",
    "status --status sleeping": "--status",
    "interrupt": "Missing argument",
    "interrupt x --mode softly": "--mode",
    "resume": "Missing argument",
    "show x --artifact a": "leave out --json",
    "prune now": "unexpected",
    "launch": "No such command",
    "--loud": "No such option",
}


@pytest.fixture(scope="module")
def bad_plans(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Told]:
    """What is told of each of the bad plans; none of them started anything."""
    with opened(tmp_path_factory.mktemp("plans")) as shell:
        files = {
            what: shell.plan(text, f"{number}.yaml")
            for number, (what, (text, _)) in enumerate(BAD_PLANS.items())
        }
        told = shell.all_of([["run", "--plan", str(file), "--json"] for file in files.values()])
        assert not shell.executions.exists() or not list(shell.executions.iterdir())
    return dict(zip(files, told, strict=True))


@pytest.mark.req("002:L107")
@pytest.mark.parametrize("what", BAD_PLANS)
def test_a_bad_plan_is_told_with_its_place_and_starts_nothing(bad_plans: dict[str, Told], what: str) -> None:
    told = bad_plans[what]
    assert told.code == (10 if what == "an agent" else 2)
    assert BAD_PLANS[what][1] in told.document["error"]["message"]


@pytest.fixture(scope="module")
def wrong_words(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Told]:
    """What is told of each of the wrong words; none of them started anything."""
    with opened(tmp_path_factory.mktemp("words")) as shell:
        told = shell.all_of([[*words.split(), "--json"] for words in WRONG_WORDS])
        assert not shell.executions.exists()
    return dict(zip(WRONG_WORDS, told, strict=True))


@pytest.mark.parametrize("words", WRONG_WORDS)
def test_wrong_words_are_told(wrong_words: dict[str, Told], words: str) -> None:
    told = wrong_words[words]
    assert told.code == 2
    assert WRONG_WORDS[words] in told.document["error"]["message"]


def test_a_wrong_setting_is_told_by_its_name(shell: Shell) -> None:
    told = shell.call("status", ENGINE_MCP_GRACE_S="soon")
    assert (told.code, told.out) == (2, "")
    assert "ENGINE_MCP_GRACE_S: Input should be a valid number" in told.err


def modules(shell: Shell, *words: str | Path) -> set[str]:
    """The top-level modules that a call imports."""
    told = shell.type([sys.executable, "-c", LISTING, *map(str, words)])
    return set(json.loads(told.err.splitlines()[-1]))


def test_only_the_server_imports_mcp_and_only_what_draws_imports_rich(shell: Shell) -> None:
    plan = shell.plan("code: return 1;")
    for words in (
        ["run", "--plan", plan, "--json"],
        ["status"],
        ["doctor"],
        ["prune"],
        ["run", "--plan", plan],
    ):
        assert modules(shell, *words) & {"mcp", "mcp_types", "rich", "uvloop"} == set()
    served = modules(shell, "serve")
    assert "mcp" in served
    assert "rich" not in served


def test_every_command_and_every_exit_code_stands_in_the_help() -> None:
    for name in COMMANDS:
        told = CliRunner().invoke(cli, [name, "--help"])
        assert told.exit_code == 0
        assert "Usage: " in told.output
    told = CliRunner().invoke(cli, ["--help"])
    assert all(f"\n  {name} " in told.output for name in COMMANDS)
    assert all(f"\n  {int(code)} " in told.output for code in MEANINGS)


@pytest.mark.req("SPEC:11.distinct-exit-codes")
def test_every_end_has_an_exit_code_of_its_own() -> None:
    assert set(MEANINGS) == set(Exit)
    assert [of_status(status) for status in ExecutionStatus] == [
        Exit.INTERRUPTED,
        Exit.INTERRUPTED,
        Exit.PAUSED,
        Exit.INTERRUPTED,
        Exit.COMPLETED,
        Exit.FAILED,
        Exit.CANCELLED,
    ]


def test_every_error_that_can_end_a_command_has_an_exit_code() -> None:
    ours = [kind for kind in EngineError.__subclasses__() if kind.__module__ == EngineError.__module__]
    kinds = {kind.code: of_error(kind()) for kind in ours}
    assert {code for code, exit_code in kinds.items() if exit_code is Exit.INTERNAL} == {"illegal_transition"}
    assert kinds["busy"] is kinds["sandbox_unavailable"] is Exit.UNAVAILABLE
    assert kinds["storage"] is kinds["record_newer"] is Exit.RECORD
    assert set(kinds) <= set(CATALOGUE)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.04, "0.0 s"), (9.94, "9.9 s"), (59.6, "1 min 0 s"), (61, "1 min 1 s"), (3725, "1 h 2 min")],
)
def test_durations_are_told_as_people_read_them(seconds: float, said: str) -> None:
    assert duration(seconds) == said


def test_amounts_and_hints_are_told_in_the_command_line_s_own_words() -> None:
    assert [amount(size) for size in (12, 2048, 3 << 20)] == ["12 bytes", "2.0 KiB", "3.0 MiB"]
    assert typed("See `engine_status`.") == "See `engine-mcp status`."


def test_what_a_terminal_would_obey_is_only_shown(shell: Shell) -> None:
    told = shell.call("run", "--code", shell.plan("return 'a\\u001b[2Jb\\u009b\\nc\\td';", "s.js"))
    assert "a\N{REPLACEMENT CHARACTER}[2Jb\N{REPLACEMENT CHARACTER}\nc\td" in told.out
    name = told.err.partition("execution ")[2].split()[0]
    assert "\x1b" not in told.out + told.err + shell.call("show", name).out


def test_the_command_is_installed_under_its_name(shell: Shell) -> None:
    installed = Path(sys.executable).with_name("engine-mcp")
    assert shell.type([str(installed), "--version"]).out == shell.type([*ENGINE, "--version"]).out
