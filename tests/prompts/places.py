"""A project and a user with files of their own, and the library that reads them."""

from dataclasses import dataclass
from pathlib import Path

import anyio

from engine_mcp.core.brief import Brief, Prompt, Role, Skill
from engine_mcp.core.plan import Mode
from engine_mcp.prompts.excerpts import Room
from engine_mcp.prompts.library import FileLibrary

PROJECT = ".engine-mcp"


@dataclass(frozen=True)
class Places:
    """A project, a user's folder of the engine, and a home, all empty at first."""

    project: Path
    user: Path
    home: Path
    room: Room

    @property
    def library(self) -> FileLibrary:
        return FileLibrary(user=self.user, home=self.home, room=self.room)

    def write(self, path: str, text: str | bytes) -> Path:
        """Write a file below the folder that holds project, user and home."""
        file = self.project.parent / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        return file

    def template(self, name: str, text: str) -> Path:
        """Write a template of the project."""
        return self.write(f"project/{PROJECT}/templates/{name}.md.j2", text)

    def brief(self, task: str = "Do it.", mode: Mode = Mode.READ, files: tuple[str, ...] = ()) -> Brief:
        return Brief(task=task, project=str(self.project), mode=mode, files=files)

    def prompt(self, brief: Brief) -> Prompt:
        return anyio.run(self.library.prompt, brief)

    def roles(self) -> dict[str, Role]:
        return dict(anyio.run(self.library.roles, str(self.project)))

    def skills(self) -> dict[str, Skill]:
        return dict(anyio.run(self.library.skills, str(self.project)))


def places(folder: Path, room: Room | None = None) -> Places:
    """Make the three folders."""
    made = Places(folder / "project", folder / "user", folder / "home", room or Room())
    for place in (made.project, made.user, made.home):
        place.mkdir()
    return made
