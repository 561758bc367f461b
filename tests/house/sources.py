"""The project's own files, as the house rules look at them."""

import ast
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
NOT_OURS = {"__pycache__", "build", "dist"}
OURS_THOUGH_HIDDEN = {".ci", ".dockerignore", ".gitignore"}


@dataclass(frozen=True, slots=True)
class Source:
    """One Python file: its path from the project's root, its text, its tree."""

    name: str
    text: str
    tree: ast.Module

    @property
    def lines(self) -> int:
        return self.text.count("\n")

    def functions(self) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
        for node in ast.walk(self.tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield node

    def classes(self) -> Iterator[ast.ClassDef]:
        for node in ast.walk(self.tree):
            if isinstance(node, ast.ClassDef):
                yield node

    def words(self) -> set[str]:
        """Every whole string and every name that the code mentions."""
        found: set[str] = set()
        for node in ast.walk(self.tree):
            match node:
                case ast.Constant(value=str(value)):
                    found.add(value)
                case ast.Name(id=name) | ast.Attribute(attr=name) | ast.alias(name=name):
                    found.add(name)
                case _:
                    pass
        return found

    def imports(self) -> set[str]:
        """The top-level modules it imports."""
        found: set[str] = set()
        for node in ast.walk(self.tree):
            match node:
                case ast.Import(names=names):
                    found.update(alias.name.partition(".")[0] for alias in names)
                case ast.ImportFrom(module=str(module), level=0):
                    found.add(module.partition(".")[0])
                case _:
                    pass
        return found


def python(*folders: str) -> tuple[Source, ...]:
    """Every Python file under these folders of the project, in a fixed order."""
    return tuple(source for folder in folders for source in _python(folder))


@cache
def _python(folder: str) -> tuple[Source, ...]:
    files = sorted((ROOT / folder).rglob("*.py"))
    texts = ((file.relative_to(ROOT).as_posix(), file.read_text(encoding="utf-8")) for file in files)
    return tuple(Source(name, text, ast.parse(text, name)) for name, text in texts)


def ours(names: Iterable[str]) -> list[str]:
    return [
        name
        for name in names
        if name not in NOT_OURS and (not name.startswith(".") or name in OURS_THOUGH_HIDDEN)
    ]


def files() -> Iterator[Path]:
    """Every file that belongs to the project, tracked or about to be."""
    for folder, below, names in os.walk(ROOT):
        below[:] = ours(below)
        yield from (Path(folder, name) for name in ours(names))
