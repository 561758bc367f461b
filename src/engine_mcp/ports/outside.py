"""The machine: its clock, the sandbox, the processes that are left."""

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


class Sweeper(Protocol):
    """Ends what a dead engine left running."""

    async def sweep(self, execution_id: str) -> int:
        """End every process of this user that belongs to an attempt of the execution; how many there were.

        Only called where nobody drives the execution. On return none of them is alive.
        """
        ...
