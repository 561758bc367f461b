"""Hosts for scripts in tests, and the short way to run one."""

import json
from collections.abc import Awaitable, Callable, Mapping

import anyio

from engine_mcp.core.script import HostAnswer, HostCall, Script, ScriptResult
from engine_mcp.ports import Sandbox

RUN_S = 20

Answer = Callable[[HostCall], Awaitable[HostAnswer]]


async def echo(call: HostCall) -> HostAnswer:
    return HostAnswer(value=call.arguments)


async def never(_: HostCall) -> HostAnswer:
    await anyio.sleep_forever()
    raise AssertionError


async def pause(call: HostCall) -> HostAnswer:
    await anyio.sleep(json.loads(call.arguments)["ms"] / 1000)
    return HostAnswer(value="null")


async def denied(call: HostCall) -> HostAnswer:
    return HostAnswer(error_name="Denied", error_message=f"{call.name} is not allowed")


class Host:
    """Answers by name, denies what it does not know, and notes everything."""

    def __init__(self, answers: Mapping[str, Answer] | None = None) -> None:
        self.answers = {"echo": echo, "never": never, "sleep": pause, **(answers or {})}
        self.calls: list[HostCall] = []
        self.steps: list[tuple[float, float | None, str]] = []
        self.most_at_once = 0
        self.under_way = 0

    async def call(self, call: HostCall) -> HostAnswer:
        self.calls.append(call)
        self.under_way += 1
        self.most_at_once = max(self.most_at_once, self.under_way)
        try:
            return await self.answers.get(call.name, denied)(call)
        finally:
            self.under_way -= 1

    def progress(self, done: float, total: float | None, message: str) -> None:
        self.steps.append((done, total, message))


async def run(pool: Sandbox, script: Script | str, host: Host | None = None) -> ScriptResult:
    """Run a script, or code without more, and wait for it no longer than a test may."""
    wanted = Script(code=script) if isinstance(script, str) else script
    with anyio.fail_after(RUN_S):
        return await pool.run(wanted, host or Host())
