"""The golden prompts: one brief with everything in it, told to each role.

`python -m tests.prompts.golden_prompts` writes them anew; look at the difference before you keep it.
"""

import tempfile
from dataclasses import replace
from pathlib import Path

from engine_mcp.core.brief import Brief, Prompt, Shown
from engine_mcp.core.handoff import Packet
from engine_mcp.core.plan import Mode, TaskType
from tests.prompts.places import Places, places

FOLDER = Path(__file__).parent / "golden"
ROLES = ("product", "architect", "senior", "developer", "reviewer", "ops")
SKILL = """---
name: house-style
description: How this project writes code. Use when writing code.
---
# House style

Small functions. Names say what a thing is.
"""
BRIEF = Brief(
    task="Let the export write CSV as well as JSON.\n\nKeep {{ this }} as it is.",
    project="",
    task_type=TaskType.FEATURE,
    mode=Mode.WRITE,
    skills=("house-style",),
    files=("src/export.py", "docs/notes.md", "logo.png", "missing.txt"),
    context={"ticket": "EX-17", "formats": ["json", "csv"]},
    outputs=(
        Shown(step="survey", text="Two callers use the export.\n```python\nexport(rows)\n```"),
        Shown(step="log", text="line 1\nline 2", path="/records/log", size=70_000),
    ),
    packets={
        "architect": Packet(
            task="Let the export write CSV as well as JSON.",
            summary="The export gets a writer per format.",
            constraints=("JSON stays byte for byte what it was.",),
            decisions=("A table of writers by format; no classes.",),
            files_changed=("docs/notes.md",),
            next_step="Write the table of writers.",
            budget_left={"cost_usd": 1.5},
        )
    },
    hands_on=True,
)


def prepare(at: Places) -> None:
    """Write the files that the brief speaks of."""
    at.write("project/src/export.py", "import json\n\n\ndef export(rows):\n    return json.dumps(rows)\n")
    at.write("project/docs/notes.md", "Run it:\n\n````sh\n```\n````\n")
    at.write("project/logo.png", b"\x89PNG\r\n\x1a\n\0\0")
    at.write("home/.claude/skills/house-style/SKILL.md", SKILL)


def told(at: Places, brief: Brief) -> str:
    """The prompt as a page; paths of this machine are left out."""
    prompt = at.prompt(replace(brief, project=str(at.project)))
    return page(prompt).replace(str(at.project.parent), "")


def page(prompt: Prompt) -> str:
    parts = (("system", prompt.system), ("text", prompt.text), ("again", prompt.again))
    return "\n".join(f"<!-- {name} -->\n{text}\n" for name, text in parts)


def golden(role: str, at: Places) -> str:
    """The page of a role."""
    return told(at, replace(BRIEF, role=role, again="The attempt before this one was interrupted."))


def main() -> None:
    """Write every page anew."""
    with tempfile.TemporaryDirectory() as folder:
        at = places(Path(folder))
        prepare(at)
        FOLDER.mkdir(exist_ok=True)
        for role in ROLES:
            (FOLDER / f"{role}.md").write_text(golden(role, at), encoding="utf-8")


if __name__ == "__main__":
    main()
