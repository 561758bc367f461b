"""Values: what the templates of a prompt are given, as plain mappings, lists and texts."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from engine_mcp.core.brief import Brief, Role, Shown, Skill
from engine_mcp.core.handoff import LARGEST, LONGEST_ITEM, MOST_ITEMS, Packet
from engine_mcp.prompts.excerpts import Excerpt, Room, head

SKILLS = Room(total=48 << 10, each=24 << 10)
"""How much of its skills a prompt shows, so that with the role it fits into one argument of a program."""

Value = dict[str, object]


def values(brief: Brief, role: Role | None, skills: Iterable[Skill], files: Iterable[Excerpt]) -> Value:
    """Everything that a template may name; what there is none of is empty or none."""
    return {
        "task": brief.task,
        "task_type": str(brief.task_type),
        "project": brief.project,
        "mode": str(brief.mode),
        "role": None if role is None else _role(role),
        "skills": list(_skills(skills)),
        "files": [_file(file) for file in files],
        "context": brief.context,
        "pins": list(brief.pins),
        "outputs": [_output(shown) for shown in brief.outputs],
        "packets": [_packet(step, packet) for step, packet in brief.packets.items()],
        "hands_on": brief.hands_on,
        "handoff": {"kib": LARGEST >> 10, "items": MOST_ITEMS, "characters": LONGEST_ITEM},
        "output_schema": brief.output_schema,
        "again": brief.again,
    }


def _role(role: Role) -> Value:
    return {"name": role.name, "description": role.description, "text": role.text}


def _skills(skills: Iterable[Skill]) -> Iterator[Value]:
    left = SKILLS.total
    for skill in skills:
        whole = skill.text.encode(errors="surrogatepass")
        part = whole[: min(SKILLS.each, left)]
        text = head(part) or ""
        left -= len(part)
        yield {
            "name": skill.name,
            "description": skill.description,
            "text": text,
            "cut": len(part) < len(whole),
            "path": skill.path,
            "folder": str(Path(skill.path).parent),
        }


def _file(file: Excerpt) -> Value:
    return {"path": file.path, "text": file.text, "note": file.note, "size": file.size, "cut": file.cut}


def _output(shown: Shown) -> Value:
    facts = list(shown.facts)
    return {"step": shown.step, "text": shown.text, "path": shown.path, "size": shown.size, "facts": facts}


def _packet(step: str, packet: Packet) -> Value:
    told = packet.dumped()
    problem, source = told.pop("problem", ""), told.pop("source", "role")
    return {"step": step, "packet": told, "source": source, "problem": problem}
