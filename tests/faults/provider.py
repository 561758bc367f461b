"""A provider that fails at given rates, by a seed, and knows afterwards what it said and did."""

import json
import random
from collections import Counter
from dataclasses import dataclass, field

from tests.faults.orders import MODEL, Mark, mark_in
from tests.wire.received import Received
from tests.wire.turns import StopReason, ToolUse, Trouble, Turn

MOST = 4
"""Faults of one step: they pass, so that what is tried often enough succeeds."""
CHARACTERS = 4
"""Characters of a token."""
OUTAGE = range(120, 135)
"""Requests, by number, that find the provider down."""
FOR_GOOD = 0.006
TRIAL = 0.05


def _error(status: int, kind: str, **more: object) -> Trouble:
    return Trouble(status=status, kind=kind, **more)  # type: ignore[arg-type] - as named


TROUBLES: tuple[tuple[float, Trouble], ...] = (
    (0.04, _error(529, "overloaded_error")),
    (0.03, _error(500, "api_error", message="Internal server error")),
    (0.02, _error(429, "rate_limit_error", message="Too many requests.", retry_after="1")),
    (0.02, Trouble(cut="close")),
    (0.02, Trouble(cut="reset")),
    (0.02, Trouble(cut="end")),
    (0.01, Trouble(cut="close", at="start")),
    (0.02, Trouble(at="middle")),
    (0.02, Trouble(kind="api_error", message="Internal server error", at="middle")),
)
DOWN = _error(503, "api_error", message="Service unavailable")
REJECTED = _error(400, "invalid_request_error", message="This makes no sense.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """An answer: to which step (None: a trial) and turn, under which name of a model, and what is in it."""

    step: str | None
    turn: int
    model: str
    text: str = ""
    stop: StopReason | None = None
    trouble: Trouble | None = None

    @property
    def for_good(self) -> bool:
        """Whether no other attempt can mend it."""
        return self.stop == "refusal" or self.trouble == REJECTED


@dataclass
class Provider:
    """Answers requests; each under a model's name of its own, so that every charge tells what it is for."""

    seed: int
    given: list[Given] = field(default_factory=list[Given])
    _asked: Counter[str] = field(default_factory=Counter[str])
    _failed: Counter[str] = field(default_factory=Counter[str])

    def __call__(self, request: Received) -> Turn:
        mark = mark_in(request.text)
        name = mark.step if mark is not None else "trial"
        self._asked[name] += 1
        chance = random.Random(f"{self.seed} {name} {self._asked[name]}")  # noqa: S311 - chance that repeats
        trouble = self._trouble(name, chance)
        # The date of a release says nothing of the price.
        model = f"{MODEL}-20{len(self.given):06d}"
        turn = _turn(mark, request, chance)
        if mark is not None and trouble is None and self._asked[name] == 1 and chance.random() < FOR_GOOD:
            trouble = REJECTED if chance.random() < 0.5 else None
            turn = Turn("", stop_reason="refusal") if trouble is None else turn
        asked = _tokens(request)
        cached = chance.randint(0, asked // 2)
        self.given.append(
            Given(
                step=mark.step if mark is not None else None,
                turn=_spoken(request),
                model=model,
                text=turn.text,
                stop=turn.ends,
                trouble=trouble,
            )
        )
        return Turn(
            turn.text,
            turn.blocks,
            turn.stop_reason,
            input_tokens=asked - cached,
            output_tokens=turn.output_tokens,
            cache_read=cached,
            chunk=80,
            trouble=trouble,
            model=model,
        )

    def _trouble(self, name: str, chance: random.Random) -> Trouble | None:
        if name == "trial":
            return TROUBLES[0][1] if chance.random() < TRIAL else None
        if self._failed[name] >= MOST:
            return None
        drawn, found = chance.random(), None
        for rate, trouble in TROUBLES:
            if found is None and drawn < rate:
                found = trouble
            drawn -= rate
        if found is None and len(self.given) in OUTAGE:
            found = DOWN
        self._failed[name] += found is not None
        return found


def _turn(mark: Mark | None, request: Received, chance: random.Random) -> Turn:
    """The answer to a request that nothing goes wrong with, kept to the tokens that it may have."""
    if mark is None:
        return Turn("OK", output_tokens=1)
    number = len(request.results)
    if number + 1 < mark.turns:
        return Turn(blocks=[ToolUse("files_read", {"path": "a.txt"})], output_tokens=20)
    text = f"This is the answer of {mark.step}. " + "so on " * chance.randint(1, 60)
    most = int(request.body["max_tokens"])
    tokens = -(-len(text) // CHARACTERS)
    if tokens <= most:
        return Turn(text, output_tokens=tokens)
    return Turn(text[: most * CHARACTERS], stop_reason="max_tokens", output_tokens=most)


def _tokens(request: Received) -> int:
    """What a request has in tokens."""
    parts = [request.body.get(name) for name in ("system", "tools", "messages")]
    return len(json.dumps(parts)) // CHARACTERS


def _spoken(request: Received) -> int:
    """How often the model has spoken already."""
    return sum(message["role"] == "assistant" for message in request.body["messages"])
