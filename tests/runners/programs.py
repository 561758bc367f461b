"""Programs for tests of children: a line of shell or Python, run under a guard."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from uuid import uuid4

from engine_mcp.runners.child import Program

MARK = f"{uuid4()}/step/1"
"""Another one in each process, so that tests side by side do not take each other's processes."""
SURROUNDINGS: Mapping[str, str] = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8"}


def shell(line: str, cwd: Path | str = "/", mark: str = MARK) -> Program:
    return Program(argv=("sh", "-c", line), cwd=str(cwd), env=SURROUNDINGS, mark=mark)


def python(code: str, cwd: Path | str = "/", mark: str = MARK) -> Program:
    return Program(argv=(sys.executable, "-IS", "-c", code), cwd=str(cwd), env=SURROUNDINGS, mark=mark)
