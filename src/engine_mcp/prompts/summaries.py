"""The prompt of a summary: what its templates are given, and which prompt it was."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from hashlib import sha256
from pathlib import Path

from engine_mcp.core.brief import Prompt, SummaryBrief
from engine_mcp.prompts.front_matter import defect
from engine_mcp.prompts.meter import Meter
from engine_mcp.prompts.render import SUFFIX, Shelf, rendered

SYSTEM, TEXT = f"summary_system{SUFFIX}", f"summary{SUFFIX}"
MOST = {SYSTEM: 120 << 10, TEXT: 16 << 20}
"""Bytes of each part, as of any other prompt."""
_STANDS_IN = {"source": "<the conversation>", "previous": "<the previous notes>"}


def prompt_of(brief: SummaryBrief, shelf: Shelf) -> Prompt:
    """The prompt of a summary; `again`, which it has no use for, is the digest of the templates.

    Two prompts have the same digest where the same templates say the same around what is summarized.
    Raises TemplateError that names the file, also where a template does not show what is to be summarized.
    """
    blank = replace(brief, task="<the task>", project="", pins=("<a pin>",), most_tokens=0, **_STANDS_IN)
    frame = _parts(blank, shelf)
    for name, mark in _STANDS_IN.items():
        if mark not in frame[TEXT]:
            raise defect(_file(shelf), None, f"the template does not show `{name}`")
    parts = _parts(brief, shelf)
    digest = sha256("\0".join(frame.values()).encode()).hexdigest()
    return Prompt(system=parts[SYSTEM], text=parts[TEXT], again=digest)


def values(brief: SummaryBrief) -> Mapping[str, object]:
    """Everything that a template of a summary may name; what there is none of is empty."""
    return {
        "task": brief.task,
        "task_type": str(brief.task_type),
        "focus": f"summary_{brief.task_type}{SUFFIX}",
        "project": brief.project,
        "source": brief.source,
        "previous": brief.previous,
        "pins": list(brief.pins),
        "most_tokens": brief.most_tokens,
    }


def _parts(brief: SummaryBrief, shelf: Shelf) -> dict[str, str]:
    part = partial(rendered, values=values(brief), shelf=shelf, meter=Meter())
    return {name: part(name, most=most) for name, most in MOST.items()}


def _file(shelf: Shelf) -> str:
    return next(file for file in shelf.files if Path(file).name == TEXT)
