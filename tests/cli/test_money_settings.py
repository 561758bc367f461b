"""What is set about money and approvals is checked before anything runs, and the doctor looks at it too."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from engine_mcp.app import running
from engine_mcp.cli import cli
from engine_mcp.errors import InvalidArgument
from engine_mcp.settings import load

PRICES = "models: {mine: {input: 1, output: 2}}\n"


@pytest.fixture
def places(tmp_path: Path) -> dict[str, str]:
    """Give the variables of a home of its own, whose folders are there, as is a project beside it."""
    for name in ("home/config/engine-mcp", "home/state", "home/run", "project"):
        (tmp_path / name).mkdir(parents=True)
    home = tmp_path / "home"
    return {
        "HOME": str(home),
        "XDG_CONFIG_HOME": str(home / "config"),
        "XDG_STATE_HOME": str(home / "state"),
        "XDG_RUNTIME_DIR": str(home / "run"),
        "PATH": os.environ["PATH"],
    }


def ledger(places: dict[str, str]) -> Path:
    return Path(places["XDG_STATE_HOME"], "engine-mcp", "ledger.sqlite")


def prices(places: dict[str, str]) -> Path:
    return Path(places["XDG_CONFIG_HOME"], "engine-mcp", "prices.yaml")


def looked_at(places: dict[str, str], tmp_path: Path, **more: str) -> dict[str, dict[str, Any]]:
    """What the doctor says of each thing, by its name; its exit code is that of the worst of them."""
    words = ["doctor", "--json", "--path", str(tmp_path / "project")]
    told = CliRunner(env={**places, **more}).invoke(cli, words, standalone_mode=False)
    assert told.exception is None
    document = json.loads(told.stdout)
    assert (told.return_value == 0) is document["ok"]
    return {check["name"]: check for check in document["checks"]}


def test_the_doctor_names_the_ledger_and_the_prices(places: dict[str, str], tmp_path: Path) -> None:
    found = looked_at(places, tmp_path)
    assert (found["ledger"]["ok"], found["ledger"]["detail"]) == (True, str(ledger(places)))
    assert found["ledger"]["remedy"] == ""
    assert (found["prices"]["ok"], found["prices"]["detail"]) == (True, "those of genai-prices")


def test_the_doctor_says_what_to_do_about_a_ledger_that_was_damaged(
    places: dict[str, str], tmp_path: Path
) -> None:
    ledger(places).parent.mkdir(parents=True)
    ledger(places).write_bytes(b"this is no database, whatever its name says\n" * 200)
    found = looked_at(places, tmp_path)["ledger"]
    assert found["ok"]
    assert "budget --rebuild" in found["remedy"]
    assert f"{ledger(places)}.corrupt" in found["remedy"]


def test_the_doctor_says_that_a_ledger_cannot_be_kept(places: dict[str, str], tmp_path: Path) -> None:
    found = looked_at(places, tmp_path, ENGINE_MCP_SPENDING_LEDGER="/dev/null/ledger.sqlite")["ledger"]
    assert not found["ok"]
    assert "/dev/null" in found["detail"]


def test_the_doctor_names_a_price_file_that_cannot_be_read(places: dict[str, str], tmp_path: Path) -> None:
    prices(places).write_text("models: {mine: {input: cheap, output: 2}}\n", encoding="utf-8")
    found = looked_at(places, tmp_path)["prices"]
    assert not found["ok"]
    assert str(prices(places)) in found["detail"]


def test_the_doctor_names_the_price_file_that_was_chosen(places: dict[str, str], tmp_path: Path) -> None:
    mine = tmp_path / "mine.yaml"
    mine.write_text(PRICES, encoding="utf-8")
    found = looked_at(places, tmp_path, ENGINE_MCP_SPENDING_PRICES=str(mine))["prices"]
    assert (found["ok"], found["detail"]) == (True, str(mine))


def test_the_doctor_names_a_setting_that_would_be_obeyed_by_nobody(
    places: dict[str, str], tmp_path: Path
) -> None:
    found = looked_at(places, tmp_path, ENGINE_MCP_SPENDING_PRICES="/nowhere/prices.yaml")
    assert found["engine"]["detail"] == "spending.prices: there is no file /nowhere/prices.yaml."
    found = looked_at(places, tmp_path, ENGINE_MCP_PERMISSIONS_ASK="files.wriet")
    assert found["engine"]["detail"] == "permissions.ask: no tool is named 'files.wriet'."


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("name", "value", "field", "hint"),
    [
        ("ENGINE_MCP_SPENDING_PRICES", "/nowhere/prices.yaml", "spending.prices", ""),
        ("ENGINE_MCP_PERMISSIONS_ASK", "files.wriet", "permissions.ask", "files.write"),
    ],
)
async def test_an_engine_does_not_start_with_a_setting_that_would_be_obeyed_by_nobody(
    places: dict[str, str], tmp_path: Path, name: str, value: str, field: str, hint: str
) -> None:
    settings = load(tmp_path / "project", environ={**places, name: value})
    with pytest.raises(InvalidArgument, match=field) as told:
        async with running(settings):
            raise AssertionError
    assert told.value.field == field
    assert hint in (told.value.hint or "")


@pytest.mark.parametrize("option", ["--max-cost-usd", "--max-seconds"])
@pytest.mark.parametrize(
    "command", [["run", "a task"], ["resume", "x"], ["budget", "x"], ["budget", "--day"]]
)
@pytest.mark.parametrize("value", ["nan", "-nan", "NaN", "inf", "-1"])
def test_a_limit_that_is_no_amount_is_refused(command: list[str], option: str, value: str) -> None:
    told = CliRunner().invoke(cli, [*command, f"{option}={value}"])
    assert told.exit_code == 2
    assert option in told.stderr


def test_minus_nothing_is_nothing(places: dict[str, str], tmp_path: Path) -> None:
    project = ["--path", str(tmp_path / "project")]
    runner = CliRunner(env=places)
    told = runner.invoke(cli, ["budget", "--day", "--max-cost-usd=-0", *project], standalone_mode=False)
    assert told.exception is None
    told = runner.invoke(cli, ["budget", "--json", *project], standalone_mode=False)
    assert str(json.loads(told.stdout)["periods"]["day"]["limits"]["cost_usd"]) in {"0", "0.0"}


def test_the_doctor_names_a_model_of_conversations_that_does_not_exist(
    places: dict[str, str], tmp_path: Path
) -> None:
    found = looked_at(places, tmp_path, ENGINE_MCP_CONTEXT_MODEL="nosuch")["context"]
    assert (found["ok"], found["detail"]) == (False, "context.model: No model of api is named 'nosuch'.")
    assert found["remedy"]
    assert "context" not in looked_at(places, tmp_path, ENGINE_MCP_CONTEXT_MODEL="haiku")


@pytest.mark.parametrize(
    ("text", "ok", "detail"),
    [
        ("models: {opus: {model: nosuch}}", False, "context.models.opus.model: No model of api is named"),
        ("models: {nosuch: {max_tokens: 9000}}", True, "context.models: no model is known as 'nosuch'"),
        ("windows: {nosuch: 9000}", True, "context.windows: no model is known as 'nosuch'"),
        ("windows: {opus: 9000, fast: 9000, claude-opus-5-5: 9000, openai/gpt-5: 9000}", None, ""),
    ],
)
def test_the_doctor_names_what_is_said_of_models_that_nobody_knows(
    places: dict[str, str], tmp_path: Path, text: str, ok: object, detail: str
) -> None:
    (tmp_path / "project" / ".engine-mcp").mkdir()
    (tmp_path / "project" / ".engine-mcp" / "config.yaml").write_text(f"context: {{{text}}}")
    found = looked_at(places, tmp_path).get("context", {})
    assert found.get("ok") is ok
    assert found.get("detail", "").startswith(detail)
