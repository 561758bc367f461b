"""An output schema that cannot be applied is refused before anything is spent, and looks nothing up."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from pydantic import JsonValue

from engine_mcp.core.agent import AgentResult
from engine_mcp.core.execution import ExecutionStatus, Output
from engine_mcp.errors import InvalidArgument
from tests.engine.rig import Rig, agent, failures

pytestmark = pytest.mark.anyio
NUMBER: JsonValue = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}


class _Counting(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.server.asked.append(self.path)  # type: ignore[attr-defined] - set by the fixture
        self.send_error(404)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name it is called with
        del format, args


@pytest.fixture
def elsewhere() -> Iterator[tuple[str, list[str]]]:
    """Give the address of a server, and what it was asked for."""
    asked: list[str] = []
    with HTTPServer(("127.0.0.1", 0), _Counting) as server:
        server.asked = asked  # type: ignore[attr-defined] - read by the handler
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        yield f"http://127.0.0.1:{server.server_port}/schema.json", asked
        server.shutdown()
        serving.join()


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#/$defs/missing"},
        {"type": "object", "properties": {"a": {"$ref": "#nowhere"}}},
        {"$dynamicRef": "#nowhere"},
        {"$ref": "file:///etc/hostname"},
        {"$ref": "http://[/"},
    ],
    ids=["pointer", "anchor", "dynamic", "file", "no address"],
)
async def test_a_schema_that_refers_to_nothing_is_refused_before_anything_is_spent(
    rig: Rig, schema: JsonValue
) -> None:
    async with rig.engine() as engine:
        with pytest.raises(InvalidArgument, match=r"refers to") as caught:
            await engine.execute(rig.draft(agent("a"), agent("b", output_schema=schema)))
    assert caught.value.field == "steps[1].output_schema"
    assert rig.runner.tasks == []


async def test_a_schema_that_refers_to_another_server_is_refused_without_asking_it(
    rig: Rig, elsewhere: tuple[str, list[str]]
) -> None:
    address, asked = elsewhere
    async with rig.engine() as engine:
        with pytest.raises(InvalidArgument, match=r"refers to"):
            await engine.execute(rig.draft(agent("a", output_schema={"$ref": address})))
    assert asked == []


@pytest.mark.parametrize(
    "schema",
    [
        {"$defs": {"n": {"type": "integer"}}, "type": "object", "properties": {"n": {"$ref": "#/$defs/n"}}},
        {"$id": "https://example.com/a", "$defs": {"n": {"$id": "n", "type": "object"}}, "$ref": "n"},
        {"properties": {"$ref": {"type": "string"}}},
        {"examples": [{"$ref": "#/nowhere"}], "type": "object"},
    ],
    ids=["pointer", "id", "property", "example"],
)
async def test_a_schema_whose_references_can_be_followed_is_taken(rig: Rig, schema: JsonValue) -> None:
    rig.runner.replies = {"a": [AgentResult(output={"n": 1})]}
    execution = await rig.run(rig.draft(agent("a", output_schema=schema)))
    assert execution.status is ExecutionStatus.COMPLETED


async def test_a_schema_that_goes_round_in_circles_fails_the_step_and_nothing_else(rig: Rig) -> None:
    rig.runner.replies = {"a": [AgentResult(output={"n": 1})]}
    circle: JsonValue = {"$ref": "#"}
    execution = await rig.run(rig.draft(agent("a", output_schema=circle), agent("b")))
    assert execution.status is ExecutionStatus.FAILED
    assert execution.steps["a"].output == Output(value={"n": 1})
    assert execution.steps["b"].output == Output(value="done")
    assert execution.steps["a"].failure is not None
    assert execution.steps["a"].failure.code == "output_invalid"


async def test_of_several_blocks_the_one_that_meets_the_schema_is_the_output(rig: Rig) -> None:
    text = 'It is:\n```json\n{"n": 1}\n```\nUse it like this:\n```json\n{"command": "run"}\n```\n'
    rig.runner.replies = {"a": [AgentResult(output=text)]}
    execution = await rig.run(rig.draft(agent("a", output_schema=NUMBER)))
    assert execution.steps["a"].output == Output(value={"n": 1})


async def test_an_answer_of_nothing_but_fences_holds_nobody_up(rig: Rig) -> None:
    rig.runner.replies = {"a": [AgentResult(output="```json\n" * 40_000)]}
    execution = await rig.run(rig.draft(agent("a", output_schema=NUMBER)))
    assert failures(execution) == {"a": "output_invalid"}


async def test_a_block_of_another_language_before_the_json_does_no_harm(rig: Rig) -> None:
    text = 'I wrote:\n```python\nn = 1\n```\nSo it is:\n```json\n{"n": 1}\n```\n'
    rig.runner.replies = {"a": [AgentResult(output=text)]}
    execution = await rig.run(rig.draft(agent("a", output_schema=NUMBER)))
    assert execution.steps["a"].output == Output(value={"n": 1})
