"""Texts of the kinds that conversations are made of, each another one, the same for the same seed."""

import inspect
import json
import random
import uuid
from argparse import ArgumentParser
from collections.abc import Callable, Mapping, Sequence
from configparser import RawConfigParser
from functools import cache
from tarfile import TarFile
from textwrap import TextWrapper

from pydantic import JsonValue

Draw = Callable[[random.Random, int], str]

SENTENCES = (
    "The build failed on the second attempt, and nobody could say why the first one had passed.",
    "We decided to keep the old interface until every caller had been moved to the new one.",
    "A request that waits longer than its deadline is cancelled, and what it held is given back.",
    "Please look at the way in which the parser treats comments; it seems to drop the last of them.",
    "The customer wrote that the report was empty, although the figures had been there in the morning.",
    "It would be better to ask once and to remember the answer than to ask again at every step.",
    "Nothing in the log explains the pause, but the disk was almost full at the time.",
    "Whoever changes the schema has to write a migration, and a test that shows it works both ways.",
    "There were three suggestions: to retry, to give up at once, or to let the user choose.",
    "I prefer short functions, even where that means that there are a few more of them.",
    "The second paragraph contradicts the first; one of them must have been written much later.",
    "After the meeting she sent a summary in which the most important decision was missing.",
    "Both services read the same table, so a lock in one of them does not help the other.",
    "Under load the queue grows faster than it is emptied, and memory runs out within minutes.",
    "He suggested an index on the column, which made the slow query fast and the fast one slow.",
    "If the server does not answer, the client should tell the user so instead of spinning for ever.",
    "Most of the tests are quick; the few that are not take nine tenths of the time.",
    "That explains the difference between the two machines, but not the one between the two days.",
)
FOREIGN = {
    "german": "Über die größeren Häuser hinweg zog der müde Wanderer weiter, während er über seine "
    "künftigen Geschäfte und die Schwierigkeiten der vergangenen Monate nachdachte. ",
    "russian": "Быстрая коричневая лиса прыгает через ленивую собаку, и потом бежит дальше по дороге. ",
    "chinese": "敏捷的棕色狐狸跳过了懒狗。然后沿着路继续跑回家。我们正在讨论模型的上下文窗口。",
}
NAMES = ("ada", "grace", "edsger", "barbara", "donald", "tony", "leslie", "frances", "john", "adele")
PLACES = ("orders", "users", "invoices", "sessions", "tokens", "reports", "jobs", "files")


def code(rng: random.Random, characters: int) -> str:
    """Some lines of Python from the standard library."""
    source = _sources()[rng.randrange(len(_sources()))]
    begin = rng.randrange(max(1, len(source) - characters))
    return source[begin : begin + characters]


@cache
def _sources() -> Sequence[str]:
    return [inspect.getsource(kind) for kind in (ArgumentParser, RawConfigParser, TarFile, TextWrapper)]


def prose(rng: random.Random, characters: int) -> str:
    """Some English sentences."""
    return _filled(lambda: rng.choice(SENTENCES), " ", characters)


def data(rng: random.Random, characters: int) -> str:
    """A JSON document."""
    return _filled(lambda: json.dumps(_record(rng), indent=2), ",\n", characters)


def _record(rng: random.Random) -> dict[str, JsonValue]:
    return {
        "id": rng.randrange(100_000),
        "name": rng.choice(NAMES),
        "kind": rng.choice(PLACES),
        "price": round(rng.random() * 1000, 2),
        "active": rng.random() < 0.5,
        "tags": [rng.choice(PLACES) for _ in range(rng.randrange(4))],
        "updated_at": f"2026-{rng.randint(1, 12):02}-{rng.randint(1, 28):02}T{rng.randrange(24):02}:00:00Z",
    }


def log(rng: random.Random, characters: int) -> str:
    """The lines of a log, with times and ids."""
    return _filled(lambda: _line(rng), "\n", characters)


def _line(rng: random.Random) -> str:
    at = f"{rng.randrange(24):02}:{rng.randrange(60):02}:{rng.randrange(60):02}.{rng.randrange(1000):03}"
    name = uuid.UUID(int=rng.getrandbits(128))
    level, place = rng.choice(("INFO", "WARN", "DEBUG")), rng.choice(PLACES)
    return f"2026-11-21T{at}Z {level} [{name}] GET /v2/{place}/{rng.randrange(9999)} {rng.randrange(500)}ms"


def _filled(piece: Callable[[], str], between: str, characters: int) -> str:
    pieces, length = list[str](), 0
    while length < characters:
        pieces.append(piece())
        length += len(pieces[-1])
    return between.join(pieces)[:characters]


KINDS: Mapping[str, Draw] = {"code": code, "prose": prose, "json": data, "log": log}


def drawn(kind: str, characters: int, seed: int = 1) -> str:
    """A text of a kind."""
    return KINDS[kind](_drawing(seed), characters)


def _drawing(seed: int) -> random.Random:
    return random.Random(seed)  # noqa: S311 - it draws texts, not secrets


def conversation(seed: int, turns: int, *kinds: str, characters: int = 1500) -> list[dict[str, JsonValue]]:
    """A task and so many turns with one call each, whose results are texts of the kinds, in any order."""
    rng = _drawing(seed)
    messages: list[dict[str, JsonValue]] = [{"role": "user", "content": prose(rng, 400)}]
    for turn in range(turns):
        call, path = f"toolu_{turn:06d}", f"src/{rng.choice(PLACES)}/{rng.choice(NAMES)}.py"
        found = KINDS[rng.choice(kinds or list(KINDS))](rng, rng.randint(characters // 4, characters))
        asked: list[JsonValue] = [
            {"type": "text", "text": prose(rng, rng.randint(20, 300))},
            {"type": "tool_use", "id": call, "name": "files_read", "input": {"path": path}},
        ]
        messages.append({"role": "assistant", "content": asked, "stop_reason": "tool_use"})
        result: JsonValue = {"type": "tool_result", "tool_use_id": call, "content": found}
        messages.append({"role": "user", "content": [result]})
    return messages
