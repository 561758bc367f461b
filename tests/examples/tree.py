"""A small source tree of several languages whose figures are known by counting."""

from pathlib import Path

SIX = """\
total = first + second
average = total / count
spread = highest - lowest
ratio = spread / average
label = name.strip()
result = (label, ratio)
"""

FILES = {
    "app/__init__.py": "",
    "app/one.py": f'''\
"""A docstring that says def not_a_function(): nothing."""

from app.two import second
import json  # TODO: use the faster one


def first(
    a,
    b,
) -> int:
    text = """
not indented, and still inside
"""
    if a:
        def inner():
            return b

        return inner()
    return text


class Holder:
    async def method(self):
        return (
            1,
)


{SIX}''',
    "app/two.py": f"""\
from __future__ import annotations

import typing

from . import one
if typing.TYPE_CHECKING:
    from app import three

{SIX}
def second(): return 2


def lazy():
    from app.three import third
    return third
""",
    "app/three.py": "from .one import first\n\n# FIXME rename this\nthird = first\nTODO = 'not a note'\n",
    "web/index.js": """\
import { helper } from "./lib/helper.js";
import React from "react";
const fs = require("fs");

// HACK: until the real one is there
export const start = async (name) => {
  if (name) {
    return helper("}");
  }
};

class Box {
  open(key) {
    return `{${key}}`;
  }
}
""",
    "web/lib/helper.ts": """\
import { start } from "../index";
/* { not a brace } */
export function helper(text: string): string {
  for (const part of text) {
    start(part);
  }
  return text;
}
""",
    "native/sum.c": "#if defined(FAST)\n#define X {\n#endif\nint sum(int a, int b)\n{\n  return a + b;\n}\n",
    "tests/test_app.py": """\
from app.one import first


def test_first():
    assert first(0, 1)


async def test_again():
    assert first(1, 2) == 2
    assert True
""",
    "web/box.test.js": 'test("opens", () => { expect(1).toBe(1); });\nit("closes", () => {});\n',
    "README.md": "# TODO: not a source file\n",
    "node_modules/dep/index.js": "function huge() {\n}\n",
    ".hidden/secret.py": "def hidden(): pass\n",
}
BYTES = {"app/latin.py": b"name = '\xe4\xf6'\n", "app/generated.py": b"x = 1\n" * 100_000}


def plant(root: Path) -> None:
    """Write the tree."""
    for name, text in FILES.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    for name, content in BYTES.items():
        (root / name).write_bytes(content)
    (root / "app/link.py").symlink_to("one.py")
