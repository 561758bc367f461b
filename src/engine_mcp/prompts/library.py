"""The library on files: those of a project before those of the user and the built-in ones."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import partial
from pathlib import Path

from anyio.to_thread import run_sync

from engine_mcp.core.brief import Brief, Prompt, Role, Skill, SummaryBrief
from engine_mcp.errors import UnknownRole, UnknownSkill
from engine_mcp.prompts import roles, skills
from engine_mcp.prompts.excerpts import STATE, Room, excerpts
from engine_mcp.prompts.meter import Meter
from engine_mcp.prompts.reading import Place
from engine_mcp.prompts.values import values

TEMPLATES = Path(__file__).parent / "templates"
MOST = {"system": 120 << 10, "text": 16 << 20, "again": 64 << 10}
"""Bytes of each part of a prompt; the system's go to some programs as one argument, which holds 128 KiB."""


@dataclass(frozen=True, slots=True)
class FileLibrary:
    """Fulfils `ports.Library` from files.

    `user` is the user's own folder of the engine, which may hold `roles/` and `templates/`; `home` is where
    the skills of Claude Code and OpenCode are looked for; `room` is how much of a plan's files is shown.
    """

    user: Path | None = None
    home: Path | None = None
    room: Room = field(default_factory=Room)

    async def roles(self, project: str) -> Mapping[str, Role]:
        """The roles by name; raises TemplateError that names a file which is none."""
        return await run_sync(self._roles, Path(project))

    async def skills(self, project: str) -> Mapping[str, Skill]:
        """The skills by name; unreadable ones are left out."""
        return await run_sync(self._skills, Path(project))

    async def prompt(self, brief: Brief) -> Prompt:
        """The prompt of an attempt; raises TemplateError, UnknownRole or UnknownSkill."""
        return await run_sync(self._prompt, brief)

    async def summary_prompt(self, brief: SummaryBrief) -> Prompt:
        """The prompt of a summary; raises TemplateError. `again` is a digest of the templates."""
        return await run_sync(self._summary_prompt, brief)

    def _roles(self, project: Path) -> dict[str, Role]:
        return roles.roles_of(self._places(project, "roles", roles.BUILT_IN))

    def _skills(self, project: Path) -> dict[str, Skill]:
        return skills.skills_of(skills.places(project, self.home))

    def _places(self, project: Path, folder: str, built_in: Path) -> tuple[Place, ...]:
        own = () if self.user is None else (Place(self.user / folder),)
        return (Place(project / STATE / folder, within=project), *own, Place(built_in))

    def _prompt(self, brief: Brief) -> Prompt:
        # Jinja takes a while to load, and a server that starts no agent never needs it.
        from engine_mcp.prompts.render import SUFFIX, Shelf, rendered  # noqa: PLC0415 - see above

        project = Path(brief.project)
        shown = values(
            brief,
            None if brief.role is None else _role(brief.role, self._roles(project)),
            _wanted(brief.skills, self._skills(project) if brief.skills else {}),
            excerpts(project, brief.files, self.room),
        )
        shelf, meter = Shelf(self._places(project, "templates", TEMPLATES)), Meter()
        part = partial(rendered, values=shown, shelf=shelf, meter=meter)
        return Prompt(**{name: part(f"{name}{SUFFIX}", most=most) for name, most in MOST.items()})

    def _summary_prompt(self, brief: SummaryBrief) -> Prompt:
        # These load Jinja too.
        from engine_mcp.prompts.render import Shelf  # noqa: PLC0415 - see above
        from engine_mcp.prompts.summaries import prompt_of  # noqa: PLC0415 - see above

        return prompt_of(brief, Shelf(self._places(Path(brief.project), "templates", TEMPLATES)))


def _role(name: str, known: Mapping[str, Role]) -> Role:
    if name not in known:
        raise UnknownRole(f"No role is named {name!r}.", field="agent", hint=_nearest(name, known))
    return known[name]


def _wanted(names: Iterable[str], known: Mapping[str, Skill]) -> list[Skill]:
    for name in names:
        if name not in known:
            raise UnknownSkill(f"No skill is named {name!r}.", field="skills", hint=_nearest(name, known))
    return [known[name] for name in names]


def _nearest(wanted: str, known: Iterable[str]) -> str:
    names = sorted(known)
    near = get_close_matches(wanted, names, n=1)
    return f"Did you mean {near[0]!r}?" if near else f"There are {', '.join(names) or 'none'}."
