"""Serving over stdio, until the client or a signal ends it."""

import asyncio
import signal
from collections.abc import Callable, Generator
from contextlib import contextmanager

import anyio
from mcp.server import Server

from engine_mcp.engine.engine import Engine
from engine_mcp.server.arguments import Edge
from engine_mcp.server.cancels import Cancels
from engine_mcp.server.descriptors import guarded
from engine_mcp.server.lines import Incoming, Outgoing
from engine_mcp.server.server import build

WIND_DOWN_S = 2.0
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


async def serve_stdio(engine: Engine, edge: Edge) -> None:
    """Serve one client on standard input and output; return once everything is interrupted and saved.

    The end of input, SIGINT and SIGTERM end it. From then on more signals change nothing, until the
    process ends: clients send several within a moment, and none may hurt what is being saved.
    """
    cancels = Cancels()
    with guarded() as wire:
        outgoing = Outgoing(wire.outgoing)
        incoming = Incoming(wire.incoming, outgoing, cancels.note)
        with _ended_by_signals(incoming.stop):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(_save, engine, incoming)
                await _serve(build(engine, edge, cancels), incoming, outgoing)


async def _serve(server: Server, incoming: Incoming, outgoing: Outgoing) -> None:
    """Serve until the connection ends, and a little longer for the last answers."""
    with anyio.CancelScope() as serving:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_wind_down, incoming, outgoing, serving)
            tasks.start_soon(_end_where_nobody_reads, incoming, outgoing)
            try:
                await server.run(incoming, outgoing, server.create_initialization_options())
            finally:
                incoming.stop("the connection broke")
            tasks.cancel_scope.cancel()


async def _wind_down(incoming: Incoming, outgoing: Outgoing, serving: anyio.CancelScope) -> None:
    await incoming.ended.wait()
    await anyio.sleep(WIND_DOWN_S)
    outgoing.abandon()
    serving.cancel()


async def _end_where_nobody_reads(incoming: Incoming, outgoing: Outgoing) -> None:
    await outgoing.gone.wait()
    incoming.stop("the client is gone")


async def _save(engine: Engine, incoming: Incoming) -> None:
    """Interrupt at once what runs: whoever ended the connection may kill the process in a moment."""
    await incoming.ended.wait()
    await engine.interrupt_all(incoming.reason)


@contextmanager
def _ended_by_signals(stop: Callable[[str], None]) -> Generator[None]:
    loop = asyncio.get_running_loop()
    for number in _SIGNALS:
        loop.add_signal_handler(number, stop, f"the server got {number.name}")
    try:
        yield
    finally:
        # Blocked for a moment, so that no signal meets its default action in between.
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        for number in _SIGNALS:
            loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
