"""The same figures, computed in Python from Python's own view of the sources."""

import ast
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

WINDOW = 6
UNCOUNTED = re.compile(r"(#|//|/\*|\*|--|import\b|from\b.*\bimport\b|use\b|using\b|#include\b|[\W_]*$)")
NOTE = re.compile(r"(?:#|//|/\*|^\s*\*|<!--|--|;|%).*?\b(TODO|FIXME|HACK|XXX)\b")


@dataclass(frozen=True, slots=True)
class Python:
    """A Python file of a tree."""

    path: str
    text: str
    tree: ast.Module


def python(root: Path, paths: list[str]) -> list[Python]:
    """The Python files among these paths."""
    texts = {path: (root / path).read_text(encoding="utf-8") for path in paths if path.endswith(".py")}
    return [Python(path, text, ast.parse(text)) for path, text in texts.items()]


def functions(files: list[Python]) -> list[tuple[str, str, int, int]]:
    """Path, name, line and length of every function, the longest first."""
    found = [
        (file.path, node.name, node.lineno, (node.end_lineno or node.lineno) - node.lineno + 1)
        for file in files
        for node in ast.walk(file.tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    return sorted(found, key=lambda one: (-one[3], one[0], one[2]))


def cycles(files: list[Python]) -> list[list[str]]:
    """The files that import each other in circles when they are loaded, largest circle first."""
    edges = imports(files)
    reach = {path: _reached(path, edges) for path in edges}
    rings = {tuple(sorted(other for other in seen if path in reach[other])) for path, seen in reach.items()}
    return sorted((list(ring) for ring in rings if len(ring) > 1), key=lambda ring: (-len(ring), ring[0]))


def imports(files: list[Python]) -> dict[str, set[str]]:
    """What each file imports of the others when it is loaded."""
    paths = {file.path for file in files}
    names = {name: path for path in sorted(paths) for name in _names(path, paths)}
    edges: dict[str, set[str]] = {}
    for file in files:
        found = (target for node in _at_load(file.tree.body) for target in _targets(node, file.path, names))
        edges[file.path] = set(found) - {file.path}
    return edges


def _names(path: str, paths: set[str]) -> Iterator[str]:
    parts = path.removesuffix(".py").removesuffix("/__init__").split("/")
    top = len(parts) - 1
    while top > 0 and "/".join([*parts[:top], "__init__.py"]) in paths:
        top -= 1
    yield ".".join(parts)
    yield ".".join(parts[top:])


def _at_load(body: list[ast.stmt]) -> Iterator[ast.Import | ast.ImportFrom]:
    for node in body:
        match node:
            case ast.Import() | ast.ImportFrom():
                yield node
            case ast.If(test=test, body=then, orelse=other):
                yield from _at_load([] if "TYPE_CHECKING" in ast.unparse(test) else then)
                yield from _at_load(other)
            case ast.Try(body=then, handlers=catching, orelse=other, finalbody=last):
                handled = [inner for each in catching for inner in each.body]
                yield from _at_load([*then, *handled, *other, *last])
            case ast.With(body=then):
                yield from _at_load(then)
            case _:
                pass


def _targets(node: ast.Import | ast.ImportFrom, path: str, names: dict[str, str]) -> Iterator[str]:
    for alias in node.names:
        if isinstance(node, ast.Import):
            options: list[str] = [names.get(alias.name, "")]
        elif node.level:
            options = _relative(node, alias.name, path)
        else:
            options = [names.get(f"{node.module}.{alias.name}", ""), names.get(node.module or "", "")]
        known = {*names.values()}
        yield from [option for option in options if option in known][:1]


def _relative(node: ast.ImportFrom, name: str, path: str) -> list[str]:
    folder = "/".join([*path.split("/")[: -node.level], *(node.module or "").split(".")]).strip("/")
    stems = [f"{folder}/{name}".strip("/"), folder]
    return [f"{stem}{end}".strip("/") for stem in stems for end in (".py", "/__init__.py")]


def _reached(start: str, edges: dict[str, set[str]]) -> set[str]:
    seen: set[str] = set()
    waiting = [start]
    while waiting:
        fresh = edges[waiting.pop()] - seen
        seen |= fresh
        waiting += fresh
    return seen


def notes(root: Path, paths: list[str]) -> Counter[str]:
    """How often each kind of note stands in a comment."""
    lines = (line for path in paths for line in (root / path).read_text(encoding="utf-8").split("\n"))
    return Counter(match.group(1) for line in lines if (match := NOTE.search(line)))


def repeated(root: Path, paths: list[str]) -> tuple[int, int]:
    """The lines that count, and those that stand in six or more that stood somewhere before."""
    seen: dict[tuple[str, ...], tuple[str, int]] = {}
    counted = again = 0
    for path in paths:
        plain = (" ".join(line.split()) for line in (root / path).read_text(encoding="utf-8").split("\n"))
        lines = [line for line in plain if not UNCOUNTED.match(line)]
        marked: set[int] = set()
        for index in range(len(lines) - WINDOW + 1):
            first = seen.setdefault(tuple(lines[index : index + WINDOW]), (path, index))
            if first[0] != path or index - first[1] >= WINDOW:
                marked |= set(range(index, index + WINDOW))
        counted += len(lines)
        again += len(marked)
    return counted, again
