"""Skills: `SKILL.md` files in the places where Claude Code and OpenCode keep them, by name.

The first place that has a name speaks for it:

1. in the project `.claude/skills/`, `.opencode/skills/`, `.opencode/skill/` and `.agents/skills/`;
2. in the user's home `.claude/skills/`, `.config/opencode/skills/`, `.config/opencode/skill/` and
   `.agents/skills/`.
"""

import logging
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

from engine_mcp.core.brief import Skill
from engine_mcp.errors import TemplateError
from engine_mcp.prompts.front_matter import document
from engine_mcp.prompts.reading import Place

FILE = "SKILL.md"
IN_PROJECT = (".claude/skills", ".opencode/skills", ".opencode/skill", ".agents/skills")
IN_HOME = (".claude/skills", ".config/opencode/skills", ".config/opencode/skill", ".agents/skills")

log = logging.getLogger(__name__)


def places(project: Path, home: Path | None) -> tuple[Place, ...]:
    """The folders that skills are looked for in, the strongest first."""
    own = () if home is None else tuple(Place(home / folder) for folder in IN_HOME)
    return (*(Place(project / folder, within=project) for folder in IN_PROJECT), *own)


def skills_of(found_in: Iterable[Place]) -> dict[str, Skill]:
    """The skills of all places by name; what cannot be read is left out and logged."""
    found: dict[str, Skill] = {}
    for place in found_in:
        for folder in place.names():
            skill = _read(place, folder)
            if skill is not None:
                found.setdefault(skill.name, skill)
    return found


def _read(place: Place, folder: str) -> Skill | None:
    path = place.folder / folder / FILE
    try:
        text = place.text(f"{folder}/{FILE}")
        return None if text is None else _skill(text, str(path))
    except (OSError, ValueError, TemplateError) as error:
        log.debug("the skill %s is left out: %s", path, error)
        return None


@lru_cache(maxsize=512)
def _skill(text: str, path: str) -> Skill:
    found = document(text, path, lenient=True)
    name = found.string("name") or Path(path).parent.name
    description = found.string("description") or next(iter(found.text.splitlines()), "")
    return Skill(name=name, description=description, text=found.text, path=path)
