"""Roles: Markdown files with front matter, by name."""

import re
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

from engine_mcp.core.brief import Role
from engine_mcp.core.choice import Tier
from engine_mcp.prompts.front_matter import Document, defect, document
from engine_mcp.prompts.reading import Place

BUILT_IN = Path(__file__).parent / "roles"
FIELDS = ("name", "description", "tier")
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")


def roles_of(places: Iterable[Place]) -> dict[str, Role]:
    """The roles of all places by name, the first place with a name deciding; raises TemplateError."""
    found: dict[str, Role] = {}
    for place in places:
        for name in place.names():
            stem = name.removesuffix(".md")
            if name.endswith(".md") and not name.startswith(".") and stem not in found:
                found[stem] = _read(place, name)
    return found


def _read(place: Place, name: str) -> Role:
    path = str(place.folder / name)
    try:
        text = place.text(name)
    except (OSError, ValueError) as error:
        raise defect(path, None, f"it cannot be read: {_why(error)}") from None
    if text is None:
        raise defect(path, None, "it cannot be read: it leads nowhere")
    return _role(text, path, "built in" if place.folder == BUILT_IN else path)


@lru_cache(maxsize=256)
def _role(text: str, path: str, source: str) -> Role:
    found = document(text, path)
    for name in found.fields:
        if name not in FIELDS:
            raise found.wrong(name, f"a role has no {name!r}; it has {', '.join(FIELDS)}")
    if not found.text:
        raise defect(path, None, "there is no text after its front matter")
    return Role(
        name=_name(found, Path(path).stem),
        description=_description(found),
        text=found.text,
        tier=_tier(found),
        source=source,
    )


def _name(found: Document, stem: str) -> str:
    if not _NAME.fullmatch(stem):
        raise found.wrong("name", "the name of a role is small letters, digits, - and _, at most 64")
    if (name := found.string("name")) != stem:
        told = "there is no name" if name is None else f"the name is {name!r}"
        raise found.wrong("name", f"{told}, but the file is {stem}.md")
    return stem


def _description(found: Document) -> str:
    description = found.string("description")
    if description is None:
        raise found.wrong("description", "there is no description")
    return description


def _tier(found: Document) -> str | None:
    tier = found.string("tier")
    if tier is not None and tier not in set(Tier):
        raise found.wrong("tier", f"there is no tier {tier!r}; there are {', '.join(Tier)}")
    return tier


def _why(error: OSError | ValueError) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
