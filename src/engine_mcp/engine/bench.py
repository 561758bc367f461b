"""The workbench of one tool call."""

import dataclasses

from engine_mcp.core.event import ArtifactWritten
from engine_mcp.core.execution import Artifact
from engine_mcp.core.tool import Tree
from engine_mcp.engine.attempt import Running


@dataclasses.dataclass(frozen=True, slots=True)
class Bench:
    """Fulfils `ports.Workbench` for the calls of one attempt."""

    attempt: Running

    @property
    def tree(self) -> Tree:
        """The project directory and how far the step may reach into it."""
        return Tree(root=self.attempt.desk.execution.plan.path, mode=self.attempt.step.spec.permissions.mode)

    async def keep(self, content: bytes, *, name: str, media_type: str) -> Artifact:
        """Keep a named artifact; on return both the content and its mention are durable."""
        artifact = await self.attempt.desk.keep(content, name=name, media_type=media_type)
        at, step = self.attempt.parts.clock.now(), self.attempt.step.spec.id
        await self.attempt.desk.say(ArtifactWritten(at=at, step=step, artifact=artifact))
        return artifact
