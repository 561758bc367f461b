"""`python -m tests.crash.worker <root>` goes on with the work until it rests.

Prints a line for each event once it counts, and last how the execution rests.
"""

import os
import sys
from pathlib import Path

import anyio

from tests.crash.story import drive


def say(line: str) -> None:
    os.write(1, f"{line}\n".encode())


if __name__ == "__main__":
    say(anyio.run(drive, Path(sys.argv[1]), say))
