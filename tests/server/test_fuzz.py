"""Whatever a client says, the server answers, tells no defect, and begins nothing it refused."""

import json
import os
import select
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine_mcp.server.schemas import (
    BudgetArguments,
    ExecuteArguments,
    InterruptArguments,
    ResumeArguments,
    StatusArguments,
)
from tests.server.clients import MODERN, SERVE, WITHIN_S, environment
from tests.server.inputs import BUDGET_ARGUMENTS, STATUS_ARGUMENTS, json_values, plans, scripts

FIELDS = {
    "engine_execute": ExecuteArguments,
    "engine_status": StatusArguments,
    "engine_budget": BudgetArguments,
    "engine_interrupt": InterruptArguments,
    "engine_resume": ResumeArguments,
}
TOOLS = st.sampled_from(sorted(FIELDS))
KNOWN = {name: st.sampled_from(sorted(model.model_fields)) for name, model in FIELDS.items()}
LINES = st.binary(max_size=200).filter(lambda line: b"\n" not in line and line.strip())


class Server:
    """A server in a child, spoken to without an event loop."""

    def __init__(self, child: subprocess.Popen[bytes]) -> None:
        self.child = child
        self._buffer = b""
        self._next = 0

    def write(self, line: bytes) -> None:
        assert self.child.stdin is not None
        self.child.stdin.write(line + b"\n")
        self.child.stdin.flush()

    def request(self, method: str, params: object) -> dict[str, Any]:
        """Send a request and give its answer; other lines of the server are passed over."""
        self._next += 1
        name = f"request {self._next}"
        message = {"jsonrpc": "2.0", "id": name, "method": method, "params": params}
        self.write(json.dumps(message).encode())
        while (answer := self._read()).get("id") != name:
            pass
        return answer

    def call(self, name: str, arguments: object) -> dict[str, Any]:
        return self.request("tools/call", {"name": name, "arguments": arguments, "_meta": MODERN})

    def total(self) -> int:
        """How many executions there are; the server lives."""
        return self.call("engine_status", {"limit": 1})["result"]["structuredContent"]["total"]

    def _read(self) -> dict[str, Any]:
        assert self.child.stdout is not None
        while b"\n" not in self._buffer:
            ready, _, _ = select.select([self.child.stdout], [], [], WITHIN_S)
            assert ready, "the server does not answer"
            chunk = os.read(self.child.stdout.fileno(), 1 << 16)
            assert chunk, "the server is gone"
            self._buffer += chunk
        line, _, self._buffer = self._buffer.partition(b"\n")
        return json.loads(line)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    project = tmp_path_factory.mktemp("project")
    with subprocess.Popen(
        SERVE,
        cwd=project,
        env=environment(project),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as child:
        opened = Server(child)
        opened.total()  # which settles the era of the protocol
        yield opened
        _, told = child.communicate(timeout=WITHIN_S)
        assert child.returncode == 0
        assert b"Traceback" not in told


def arguments_of(name: str) -> st.SearchStrategy[dict[str, Any]]:
    """Known and unknown arguments with values of any kind; none that waits."""
    drawn = st.dictionaries(
        KNOWN[name].filter(lambda known: known != "idempotency_key") | st.text(max_size=5),
        json_values(),
        max_size=4,
    )
    return drawn.map(lambda found: found | {"wait_s": 0} if "wait_s" in FIELDS[name].model_fields else found)


def check(server: Server, name: str, arguments: object) -> None:
    before = server.total()
    answer = server.call(name, arguments)
    result = answer["result"]
    found = result["structuredContent"]
    assert json.loads(result["content"][0]["text"]) == found
    if result["isError"]:
        assert found["code"] != "internal", found
        assert {"message", "hint"} <= found.keys()
        assert server.total() == before
    else:
        assert server.total() - before == (name == "engine_execute")


@pytest.mark.req("004:L83")
@given(drawn=TOOLS.flatmap(lambda name: st.tuples(st.just(name), arguments_of(name))))
def test_arguments_of_any_kind_are_taken_or_refused(
    server: Server, drawn: tuple[str, dict[str, Any]]
) -> None:
    check(server, *drawn)


@settings(max_examples=60)
@given(plan=plans() | scripts())
def test_plans_that_the_schema_admits_are_carried_out_or_refused(
    server: Server, plan: dict[str, Any]
) -> None:
    check(server, "engine_execute", {**plan, "wait_s": 0})


@settings(max_examples=60)
@given(asked=STATUS_ARGUMENTS)
def test_questions_that_the_schema_admits_are_answered_or_refused(
    server: Server, asked: dict[str, Any]
) -> None:
    check(server, "engine_status", {**asked, "wait_s": 0})


@settings(max_examples=60)
@given(asked=BUDGET_ARGUMENTS)
def test_budgets_that_the_schema_admits_are_shown_or_refused(server: Server, asked: dict[str, Any]) -> None:
    check(server, "engine_budget", asked)


@given(method=st.sampled_from(["tools/call", "tools/list", "ping", "x"]), params=json_values())
def test_requests_of_any_shape_are_answered(server: Server, method: str, params: object) -> None:
    answer = server.request(method, params)
    assert ("result" in answer) != ("error" in answer)
    assert server.total() >= 0


@given(line=LINES)
def test_lines_of_any_kind_do_not_end_the_server(server: Server, line: bytes) -> None:
    server.write(line)
    assert server.total() >= 0
