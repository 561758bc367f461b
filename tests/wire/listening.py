"""A uvicorn server in a thread of its own, that starts before it is asked and ends at once."""

import socket
from asyncio import Transport  # the connections are the loop's own
from collections.abc import Generator
from contextlib import contextmanager

import anyio
from anyio.from_thread import start_blocking_portal
from starlette.types import ASGIApp
from uvicorn import Config, Server
from uvicorn.protocols.http.h11_impl import H11Protocol

ENDED_WITHIN_S = 10
OFTEN_S = 0.001


class _Protocol(H11Protocol):
    """Tells the application its connection, so that this can be cut, and sends each event at once.

    The event loop sees to the latter only for sockets that name TCP: what a delayed packet holds would be
    lost where the connection is reset.
    """

    def connection_made(self, transport: Transport) -> None:
        super().connection_made(transport)
        connection: socket.socket = transport.get_extra_info("socket")
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.app_state = {**self.app_state, "transport": transport}


class _Server(Server):
    """Serves until `ending` is set, then drops what is still connected, without waiting for it."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.ending = anyio.Event()

    async def main_loop(self) -> None:
        await self.ending.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        del sockets  # their owner closes them
        for server in self.servers:
            server.close()
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        with anyio.fail_after(ENDED_WITHIN_S):
            while self.server_state.connections or self.server_state.tasks:  # noqa: ASYNC110 - uvicorn's own sets
                await anyio.sleep(OFTEN_S)


@contextmanager
def listening(application: ASGIApp) -> Generator[str]:
    """Serve an application on a port of this machine, and give its address."""
    config = Config(
        application, http=_Protocol, ws="none", lifespan="off", log_config=None, log_level="critical"
    )
    with socket.create_server(("127.0.0.1", 0), backlog=256) as place, start_blocking_portal() as portal:
        server = _Server(config)
        served = portal.start_task_soon(server.serve, [place])
        try:
            yield f"http://127.0.0.1:{place.getsockname()[1]}"
        finally:
            portal.call(server.ending.set)
            served.result()
