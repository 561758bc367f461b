"""What a program was given to log in with does not come out of it."""

import json

import pytest

from engine_mcp.core.agent import AgentResult
from engine_mcp.core.execution import Failure
from engine_mcp.runners.child import started
from engine_mcp.runners.command import CommandRunner
from engine_mcp.runners.command_template import load
from engine_mcp.runners.secrecy import HIDDEN, secrets_of
from tests.runners.host import RecordingHost
from tests.runners.programs import MARK, shell
from tests.runners.stands.stand import Place, task

KEY = "k3y-of+the/user.="


@pytest.mark.parametrize(
    "name",
    [
        "ANTHROPIC_API_KEY",
        "ANTHROPIC_AUTH_TOKEN",
        "CLAUDE_CODE_OAUTH_TOKEN",
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "AWS_BEARER_TOKEN_BEDROCK",
        "CLAUDE_CODE_CLIENT_KEY_PASSPHRASE",
        "hf_token",
        "MY_APIKEY",
        "SERVICE_PASSWORD",
    ],
)
def test_the_value_of_a_variable_with_such_a_name_is_hidden(name: str) -> None:
    secrets = secrets_of({name: KEY})
    assert secrets.hide(f"bad {KEY}, {KEY}") == f"bad {HIDDEN}, {HIDDEN}"
    assert secrets.hide_in(f'{{"a": "{KEY}"}}'.encode()) == f'{{"a": "{HIDDEN}"}}'.encode()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CLAUDE_CODE_MAX_OUTPUT_TOKENS", "320000000"),
        ("ANTHROPIC_API_KEY", "short"),
        ("GOOGLE_APPLICATION_CREDENTIALS", "/keys/of/google.json"),
        ("AWS_PROFILE", "the-profile"),
        ("KEYBOARD", "of-somebody"),
        ("ANTHROPIC_BASE_URL", "https://example.org/v1"),
        ("LANG_TOKEN_URL", "http://[broken"),
    ],
)
def test_what_is_no_secret_is_told(name: str, value: str) -> None:
    assert secrets_of({name: value}).hide(f"<{value}>") == f"<{value}>"


def test_secrets_in_headers_and_addresses_are_hidden() -> None:
    headers = f"X-Team: payments\nX-Api-Key: {KEY}\nAuthorization: Bearer other-secret"
    given = {"ANTHROPIC_CUSTOM_HEADERS": headers, "HTTPS_PROXY": "http://me:pass-of-proxy@proxy.example:3128"}
    told = secrets_of(given).hide(f"{KEY} other-secret pass-of-proxy proxy.example payments")
    assert told == f"{HIDDEN} {HIDDEN} {HIDDEN} proxy.example payments"


def test_a_secret_is_hidden_as_it_stands_in_json_too() -> None:
    quoted = 'a"quoted"\\key'
    secrets = secrets_of({"A_KEY": quoted})
    assert secrets.hide_in(json.dumps({"said": quoted}).encode()) == f'{{"said": "{HIDDEN}"}}'.encode()


def test_a_secret_that_begins_like_another_is_hidden_whole() -> None:
    assert secrets_of({"A_KEY": "abcdefgh", "B_KEY": "abcdefgh-and-more"}).hide("abcdefgh-and-more") == HIDDEN


def test_a_result_is_without_secrets_and_else_as_it_was() -> None:
    result = AgentResult(output=f"my key is {KEY}", failure=Failure("unauthorized", f"no {KEY}", "log in"))
    kept = secrets_of({"A_KEY": KEY}).kept_from(result)
    assert kept == AgentResult(
        output=f"my key is {HIDDEN}", failure=Failure("unauthorized", f"no {HIDDEN}", "log in")
    )
    assert secrets_of({}).kept_from(result) == result


@pytest.mark.anyio
async def test_lines_and_errors_of_a_child_are_without_the_secrets_that_it_was_given() -> None:
    program = shell("echo out $A_KEY; echo err $A_KEY >&2", mark=MARK)
    given = type(program)(
        argv=program.argv, cwd=program.cwd, env={**program.env, "A_KEY": KEY}, mark=program.mark
    )
    async with started(given) as child:
        assert [line.text.decode() async for line in child.lines(20)] == [f"out {HIDDEN}"]
        await child.wait()
        assert child.errors == f"err {HIDDEN}\n"


@pytest.mark.anyio
@pytest.mark.parametrize("line", ["echo bad $A_KEY >&2; exit 3", "echo the key is $A_KEY"])
async def test_a_program_that_prints_its_key_does_not_get_it_on_record(place: Place, line: str) -> None:
    template = load({"argv": ["sh", "-c", line], "env": {"A_KEY": KEY}, "modes": {"read": []}})
    host = RecordingHost()
    result = await CommandRunner("command", template, environ=place.environ(), stall_s=20).run(
        task(place), host
    )
    assert HIDDEN in str(result)
    assert KEY not in f"{result} {host.reports} {host.memory}"
