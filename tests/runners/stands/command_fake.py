"""A CLI that speaks text, JSON or lines of JSON, as its first argument says."""

import json
import sys
from collections.abc import Callable

from tests.runners.stands.playing import CHATTY, PIECES, Play

SESSION = "thread-1"
VERSION = "fake 1.2.3"


def main(play: Play) -> None:
    """Answer a prompt from stdin, from the file after `--file`, or from the argument after `--say`."""
    if "--version" in play.argv:
        print(VERSION)  # noqa: T201 - this is what the program is for
        return
    play.begin(asked(play))
    style = play.argv[0]
    if "--resume" in play.argv and not play.known(play.argv[play.argv.index("--resume") + 1]):
        play.die()
    play.note(f"session-{SESSION}", "begun")
    speak = {"text": text, "json": whole, "ndjson": lines}[style]
    speak(play)


def asked(play: Play) -> str:
    """What the CLI was asked."""
    if "--file" in play.argv:
        with open(play.argv[play.argv.index("--file") + 1], encoding="utf-8") as file:  # noqa: PTH123 - as in playing.py
            return file.read()
    if "--say" in play.argv:
        return play.argv[play.argv.index("--say") + 1]
    return sys.stdin.buffer.read().decode()


def act(play: Play, say: Callable[[str], None], broken: str) -> bool:
    """Play what all styles have in common; whether the answer goes on to its end."""
    if play.scenario == "garbage":
        play.write("no { such\nprotocol: at all\n")
        return False
    begin(play, say)
    say(PIECES[0])
    if play.scenario == "truncated":
        play.write(broken)
        return False
    end(play)
    say(PIECES[1])
    if play.scenario == "held":
        play.held()
    return True


def begin(play: Play, say: Callable[[str], None]) -> None:
    """Play what comes before the answer."""
    if play.scenario == "silent":
        play.hang()
    if play.scenario == "huge":
        play.huge()
    for number in range(CHATTY if play.scenario == "chatty" else 0):
        say(f"{number} ")


def end(play: Play) -> None:
    """Play what the rest of an answer does not come after."""
    if play.scenario == "dies":
        play.die()
    if play.scenario == "mute":
        play.mute()
    if play.scenario == "deaf":
        play.deaf()
    if play.scenario in {"slow", "deaf"}:
        play.sleeper()
        play.hang()


def text(play: Play) -> None:
    """The answer as it is."""
    act(play, play.write, "")


def whole(play: Play) -> None:
    """One document at the end."""
    said: list[str] = []
    if act(play, said.append, '{"response": "Hello fr'):
        use = {"prompt": 1000, "candidates": 200, "cached": 400}
        document = {
            "session_id": SESSION,
            "response": "".join(said),
            "stats": {"models": {"a.b": {"tokens": use}}},
        }
        play.write(json.dumps(document, indent=1))


def lines(play: Play) -> None:
    """One value a line: a session, pieces of text, and the use of the whole thread."""

    def tell(value: object) -> None:
        play.write(json.dumps(value) + "\n")

    def say(piece: str) -> None:
        tell({"type": "item", "item": {"type": "text", "text": piece}})

    if play.scenario not in {"silent", "garbage"}:
        tell({"type": "begun", "thread_id": SESSION})
        tell({"type": "item", "item": {"type": "tool", "text": "not an answer"}})
    if act(play, say, '{"type": "end", "usage": {"in"'):
        turns = 2 if "--resume" in play.argv else 1
        tell(
            {
                "type": "end",
                "usage": {"in": 1000 * turns, "out": 200 * turns, "cached": 400 * turns, "usd": 0.25 * turns},
            }
        )
