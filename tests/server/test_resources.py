"""Executions as resources, with news of their changes in the way of either era; and the prompts."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest
from mcp import Client, MCPError, StdioServerParameters
from mcp.client.session import IncomingMessage
from mcp.types import (
    INVALID_PARAMS,
    EmptyResult,
    ResourceUpdatedNotification,
    SubscribeRequest,
    SubscribeRequestParams,
    TextContent,
    TextResourceContents,
    UnsubscribeRequest,
    UnsubscribeRequestParams,
)

from tests.server.clients import MODES, SERVE, SLOW, WITHIN_S, called, connected, environment

pytestmark = pytest.mark.anyio
LIST = "engine://executions"
NOBODY = f"{LIST}/01a1fd6f-0097-7243-9d40-000000000000"


@pytest.fixture(scope="module", params=MODES)
async def client(
    anyio_backend: object, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> AsyncIterator[Client]:
    assert anyio_backend
    async with connected(tmp_path_factory.mktemp("project"), request.param) as opened:
        yield opened


async def text(client: Client, uri: str) -> str:
    [content] = (await client.read_resource(uri)).contents
    assert isinstance(content, TextResourceContents)
    assert content.mime_type == "application/json"
    return content.text


async def test_executions_can_be_read_like_their_status(client: Client) -> None:
    done = await called(client, "engine_execute", code="return 7")
    uri = f"{LIST}/{done['execution_id']}"
    assert json.loads(await text(client, uri)) == await called(
        client, "engine_status", execution_id=done["execution_id"]
    )
    assert done["execution_id"] in await text(client, LIST)
    assert [str(found.uri) for found in (await client.list_resources()).resources] == [LIST]
    [template] = (await client.list_resource_templates()).resource_templates
    assert template.uri_template == f"{LIST}/{{id}}"


@pytest.mark.parametrize(
    "uri", [NOBODY, f"{LIST}/../../etc/passwd", f"{LIST}/x", "engine://x", "file:///etc"]
)
async def test_what_is_no_resource_is_an_error_that_names_it(client: Client, uri: str) -> None:
    with pytest.raises(MCPError) as caught:
        await client.read_resource(uri)
    assert caught.value.error.code == INVALID_PARAMS
    assert uri in caught.value.error.message


async def change(client: Client) -> str:
    begun = await called(client, "engine_execute", code=SLOW, wait_s=0)
    return f"{LIST}/{begun['execution_id']}"


async def test_a_modern_client_hears_of_changes_while_it_listens(tmp_path: Path) -> None:
    async with connected(tmp_path) as client:
        uri = await change(client)
        async with client.listen(resource_subscriptions=[uri, LIST]) as news:
            await called(client, "engine_interrupt", execution_id=uri.rpartition("/")[2])
            heard: set[str] = set()
            with anyio.fail_after(WITHIN_S):
                async for event in news:
                    heard.add(getattr(event, "uri", ""))
                    if heard == {uri, LIST}:
                        break
        with pytest.raises(MCPError, match="Unknown resource"):
            async with client.listen(resource_subscriptions=["file:///etc/passwd"]):
                pass


async def subscribe(client: Client, uri: str) -> None:
    request = SubscribeRequest(params=SubscribeRequestParams(uri=uri))
    await client.session.send_request(request, EmptyResult)


async def unsubscribe(client: Client, uri: str) -> None:
    request = UnsubscribeRequest(params=UnsubscribeRequestParams(uri=uri))
    await client.session.send_request(request, EmptyResult)


async def test_a_legacy_client_hears_of_changes_until_it_unsubscribes(tmp_path: Path) -> None:
    send, receive = anyio.create_memory_object_stream[str](100)

    async def note(message: IncomingMessage) -> None:
        if isinstance(message, ResourceUpdatedNotification):
            send.send_nowait(str(message.params.uri))

    parameters = StdioServerParameters(
        command=SERVE[0], args=SERVE[1:], cwd=tmp_path, env=environment(tmp_path)
    )
    async with send, receive, Client(parameters, mode="legacy", message_handler=note) as client:
        assert client.server_capabilities.resources is not None
        assert client.server_capabilities.resources.subscribe
        uri = await change(client)
        await subscribe(client, uri)
        await subscribe(client, uri)
        await called(client, "engine_interrupt", execution_id=uri.rpartition("/")[2])
        with anyio.fail_after(WITHIN_S):
            assert await receive.receive() == uri
        await unsubscribe(client, uri)
        await unsubscribe(client, uri)
        with pytest.raises(MCPError, match="Unknown resource"):
            await subscribe(client, "file:///etc/passwd")


@pytest.mark.parametrize(
    ("name", "arguments", "word"),
    [
        ("plan", {"goal": "a tidy house"}, "a tidy house"),
        ("resume", {}, "(none given)"),
        ("explore", {"question": "how many {braces}?"}, "how many {braces}?"),
    ],
)
async def test_prompts_put_a_wish_into_words(
    client: Client, name: str, arguments: dict[str, str], word: str
) -> None:
    listed = {prompt.name for prompt in (await client.list_prompts()).prompts}
    assert listed == {"plan", "resume", "explore"}
    [message] = (await client.get_prompt(name, arguments)).messages
    assert isinstance(message.content, TextContent)
    assert word in message.content.text
    assert "engine_" in message.content.text


@pytest.mark.parametrize(
    ("name", "arguments"), [("dance", {}), ("plan", {}), ("plan", {"goal": " "}), ("plan", {"gaol": "x"})]
)
async def test_a_prompt_that_cannot_be_had_is_an_error(
    client: Client, name: str, arguments: dict[str, str]
) -> None:
    with pytest.raises(MCPError) as caught:
        await client.get_prompt(name, arguments)
    assert caught.value.error.code == INVALID_PARAMS
