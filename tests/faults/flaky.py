"""A program that crashes at a rate, in one of several ways; runs with the standard library alone."""

import os
import random
import re
import signal
import sys

RATE = 0.4
MOST = 3
"""Crashes at one step."""


def main(root: str, seed: str) -> None:
    """Answer the prompt on stdin, or crash."""
    if "--version" in sys.argv:
        sys.stdout.write("flaky 1.0\n")
        return
    found = re.search(r"\[\[(\w+)/(\w+)/\d\]\]", sys.stdin.read())
    step = f"{found[1]}/{found[2]}" if found else "nobody"
    notes = f"{root}/notes/{step.replace('/', '-')}"
    with open(notes, "a", encoding="utf-8") as file:  # noqa: PTH123 - pathlib is slow to load
        file.write("x")
    times = os.path.getsize(notes)  # noqa: PTH202 - as above
    chance = random.Random(f"{seed} {step} {times}")  # noqa: S311 - chance that repeats
    if times <= MOST and chance.random() < RATE:
        _crash(chance)
    sys.stdout.write(answer(step))


def answer(step: str) -> str:
    """What it answers for a step."""
    return f"This is the output of {step}."


def _crash(chance: random.Random) -> None:
    sys.stdout.write("This is the beginn")
    sys.stdout.flush()
    if chance.random() < 0.5:
        sys.exit("it broke its leg")
    os.kill(os.getpid(), signal.SIGSEGV)
