"""Markdown for generated pages."""

from collections.abc import Sequence


def table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Write a table; a bar inside a cell is escaped."""
    escaped = ([cell.replace("|", "\\|") for cell in row] for row in rows)
    lines = [headings, ["---"] * len(headings), *escaped]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def between(text: str, name: str, content: str) -> str:
    """Put `content` between the marker comments of that name; raises ValueError if they are missing."""
    begin, end = f"<!-- {name}: generated -->", f"<!-- {name}: end -->"
    head, _, rest = text.partition(begin)
    _, found, tail = rest.partition(end)
    if not found:
        msg = f"no markers {begin} and {end}"
        raise ValueError(msg)
    return f"{head}{begin}\n{content}\n{end}{tail}"
