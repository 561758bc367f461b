"""The ports: what the engine needs of the outside. Each docstring is the contract of its adapters."""

from typing import Protocol

from engine_mcp.core.script import HostAnswer, HostCall, Script, ScriptResult


class Clock(Protocol):
    """Time as the engine sees it."""

    def now(self) -> float:
        """Seconds since the Unix epoch."""
        ...

    async def sleep_until(self, at: float) -> None:
        """Return once `now()` has reached `at`."""
        ...


class ScriptHost(Protocol):
    """What a running script may ask of its host; the gate between code mode and the engine."""

    async def call(self, call: HostCall) -> HostAnswer:
        """Carry out one host call. Calls run concurrently; never raises for an expected failure."""
        ...

    def progress(self, done: float, total: float | None, message: str) -> None:
        """Take a progress report of the script; returns at once."""
        ...


class Sandbox(Protocol):
    """Runs JavaScript away from the server's process."""

    async def run(self, script: Script, host: ScriptHost) -> ScriptResult:
        """Run `script` in a fresh, hardened, single-use child.

        Always returns exactly one result; limits, crashes and script errors are outcomes, never
        exceptions. Host calls still in flight at the end are cancelled and awaited first.
        Cancelling the caller kills the child, awaits its end, and raises on.
        Raises `SandboxUnavailable` where no child can be had.
        """
        ...
