"""The desk: what an attempt under way may ask of the driver of its execution."""

from typing import Protocol

from engine_mcp.core.event import Event
from engine_mcp.core.execution import Artifact, Execution, Failure, Step
from engine_mcp.core.outlook import Outlook


class Desk(Protocol):
    """The driver as its attempts see it; they tell it events and never change the state themselves.

    `inlined` counts the bytes of outputs put into the record by this driver.
    """

    inlined: int

    @property
    def execution(self) -> Execution:
        """The state that counts now."""
        ...

    @property
    def outlook(self) -> Outlook:
        """What is known of the world outside the execution."""
        ...

    async def failed(self, step: Step, failure: Failure) -> None:
        """Note what an attempt at a step says is broken."""
        ...

    async def succeeded(self, step: Step, began: float) -> None:
        """Note that the route of a step carried an attempt to its end that began at `began`."""
        ...

    def post(self, event: Event) -> None:
        """Leave an event to be recorded soon, in the order of posting; returns at once."""
        ...

    async def say(self, event: Event) -> None:
        """Leave an event and return once it is durable; raises the EngineError that prevents it."""
        ...

    async def keep(self, content: bytes, *, name: str | None, media_type: str) -> Artifact:
        """Keep content as an artifact of the execution, durably."""
        ...

    async def artifact(self, digest: str) -> bytes:
        """The content of an artifact of the execution."""
        ...
