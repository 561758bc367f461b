"""The generated pages: written from the code, compared with it by `--check`.

`python -m scripts.pages` writes them; with `--check` it changes nothing and returns 1 if a page
differs. A page is either generated whole or, like the state diagrams of the architecture page,
between two marker comments.
"""

import difflib
import sys
from collections.abc import Callable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

import click

from engine_mcp.catalogue import CATALOGUE
from engine_mcp.core import transitions
from scripts import choice_page, fault_page, survival_page, tool_page
from scripts.markdown import between, table

DOCS = Path(__file__).resolve().parents[1] / "docs"

Status = TypeVar("Status", bound=StrEnum)


def diagram(changes: Mapping[Status, frozenset[Status]]) -> str:
    """Draw a table of changes; the first status is where it begins, one without a way out is an end."""
    order = list(changes)
    lines = [f"    [*] --> {order[0]}"]
    for old, ways in changes.items():
        lines += [f"    {old} --> {new}" for new in sorted(ways, key=order.index)]
        if not ways:
            lines.append(f"    {old} --> [*]")
    return "\n".join(["```mermaid", "stateDiagram-v2", *lines, "```"])


def architecture(text: str) -> str:
    """Draw both state diagrams into the architecture page."""
    text = between(text, "execution", diagram(transitions.EXECUTION))
    return between(text, "step", diagram(transitions.STEP))


def errors(_: str) -> str:
    """Write the catalogue of errors, in the catalogue's own order."""
    rows = [(f"`{code}`", entry.cause, entry.remedy, entry.retry.value) for code, entry in CATALOGUE.items()]
    return f"""# Errors

Every error carries a code of this list, as `{{code, message, hint}}` in a tool's result and in the
status of a step. Codes are stable; messages may change. The last column says what another attempt
could change: a `transient` failure is tried again by itself, a `logic` failure never.

{table(("Code", "What happened", "What to do", "Retry"), rows)}
"""


HELP = ["-h", "--help"]
"""What asks every command for help: click keeps what it was asked first, as the command line does."""


def commands(command: click.Command, path: str) -> list[str]:
    """Give the help text of a command and of all below it."""
    context = click.Context(
        command, info_name=path, max_content_width=100, terminal_width=100, help_option_names=HELP
    )
    found = [f"## {path}\n\n```text\n{command.get_help(context)}\n```"]
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            found += commands(below, f"{path} {name}") if below else []
    return found


def cli(_: str) -> str:
    """Write the reference of the command line from its own help texts."""
    from engine_mcp.cli import cli as root  # noqa: PLC0415 - the other pages need no command line

    return "\n\n".join(["# Command line", *commands(root, "engine-mcp")]) + "\n"


def tools(_: str) -> str:
    """Write the reference of the tools."""
    return tool_page.page()


def choices(_: str) -> str:
    """Write the reference of what the engine chooses."""
    return choice_page.page()


def faults(_: str) -> str:
    """Write the reference of what is done about faults."""
    return fault_page.page()


def survival(_: str) -> str:
    """Write the reference of what survives summaries."""
    return survival_page.page()


PAGES: Mapping[str, Callable[[str], str]] = {
    "architecture.md": architecture,
    "errors.md": errors,
    "reference/choice.md": choices,
    "reference/cli.md": cli,
    "reference/faults.md": faults,
    "reference/survival.md": survival,
    "reference/tools.md": tools,
}


def difference(name: str) -> str:
    """Compare a page with what the code gives: the differing lines, or nothing."""
    page = DOCS / name
    text = page.read_text(encoding="utf-8") if page.exists() else ""
    now = PAGES[name](text)
    lines = difflib.unified_diff(text.splitlines(), now.splitlines(), name, "the code", lineterm="")
    return "\n".join(lines)


def write(name: str) -> None:
    """Write a page anew."""
    page = DOCS / name
    text = page.read_text(encoding="utf-8") if page.exists() else ""
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(PAGES[name](text), encoding="utf-8")


def main(arguments: list[str]) -> int:
    """Write the pages, or with `--check` compare them; return 1 if one differs."""
    if arguments != ["--check"]:
        for name in PAGES:
            write(name)
        return 0
    found = [diff for name in PAGES if (diff := difference(name))]
    print("\n".join(found) if found else "the generated pages agree with the code")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
