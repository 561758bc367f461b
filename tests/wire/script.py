"""What the wire server is to answer and what it received; a test's thread and the server's share it."""

import threading
from collections import defaultdict, deque
from dataclasses import dataclass

import anyio.to_thread

from tests.wire import stream
from tests.wire.received import Received
from tests.wire.turns import Answer, Trouble, Turn
from tests.wire.validity import objection

WITHIN_S = 30.0


@dataclass(frozen=True, slots=True)
class Billed:
    """The tokens of the turns that were sent to their end."""

    turns: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read: int = 0
    cache_write: int = 0

    def and_also(self, turn: Turn) -> "Billed":
        return Billed(
            self.turns + 1,
            self.input_tokens + turn.input_tokens,
            self.output_tokens + turn.output_tokens,
            self.cache_read + turn.cache_read,
            self.cache_write + turn.cache_write,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """The usage that an answer has told on the wire, by the last event that told any.

    `model` is the one that the answer names. `whole`: the answer has told all, be it cut after that or not.
    """

    model: str = ""
    tokens_in: int = 0
    tokens_out: int = 0
    cache_read: int = 0
    cache_write: int = 0
    whole: bool = False


class Script:
    """Queues of answers, and the record of requests.

    `requests` are the requests for a message, in the order in which they came; `others` are the rest
    (token counts, models, titles, probes). `violations` are the requests that the API would not take: beyond
    the window with what their answers may have, calls without results, thinking in another place than its
    own. The test fails for them in the end, unless they were `forgiven`.
    """

    def __init__(self, *, window: int | None = None) -> None:
        self.window = window
        self._changed = threading.Condition()
        self._queues: dict[str | None, deque[Answer]] = defaultdict(deque)
        self._otherwise: dict[str | None, Answer] = {None: Turn("done")}
        self._requests: list[Received] = []
        self._others: list[Received] = []
        self._violations: list[Received] = []
        self._objections: list[str] = []
        self._thought: frozenset[str] = frozenset()
        self._broken: list[Exception] = []
        self._billed = Billed()
        self._told: dict[int, Told] = {}
        self._answered = 0

    def answer(self, *turns: Answer, to: str | None = None) -> None:
        """Queue answers; with `to`, for requests whose body contains that text, and for no others.

        Choose a text that no CLI has in its own prompts: Claude Code's name an architect too.
        """
        with self._changed:
            self._queues[to].extend(turns)

    def otherwise(self, turn: Answer, to: str | None = None) -> None:
        """Set what an empty queue answers, over and over; without this it is `Turn("done")`."""
        with self._changed:
            self._otherwise[to] = turn

    @property
    def requests(self) -> list[Received]:
        with self._changed:
            return list(self._requests)

    @property
    def others(self) -> list[Received]:
        with self._changed:
            return list(self._others)

    @property
    def violations(self) -> list[Received]:
        with self._changed:
            return list(self._violations)

    @property
    def billed(self) -> Billed:
        with self._changed:
            return self._billed

    @property
    def told(self) -> dict[int, Told]:
        """What each answer has told of its use, by the number of the request (from 1); none without any."""
        with self._changed:
            return dict(self._told)

    def wait_for(self, count: int, *, to: str | None = None, timeout_s: float = WITHIN_S) -> list[Received]:
        """Block until `count` requests for a message came, and give them; with `to`, those that contain it.

        Raises TimeoutError if they do not come in time.
        """

        def found() -> list[Received]:
            return [request for request in self._requests if to is None or to in request.text]

        with self._changed:
            if not self._changed.wait_for(lambda: len(found()) >= count, timeout_s):
                raise TimeoutError(f"{len(found())} of {count} requests came in {timeout_s} s")
            return found()

    async def received(
        self, count: int, *, to: str | None = None, timeout_s: float = WITHIN_S
    ) -> list[Received]:
        """`wait_for`, without blocking the event loop."""
        return await anyio.to_thread.run_sync(
            lambda: self.wait_for(count, to=to, timeout_s=timeout_s), abandon_on_cancel=True
        )

    def taken(self, request: Received) -> tuple[int, Turn]:
        """Record a request for a message, and give its number and the turn that answers it."""
        with self._changed:
            self._requests.append(request)
            self._changed.notify_all()
            self._answered += 1
            if (why := self._objection(request)) is not None:
                self._violations.append(request)
                self._objections.append(why)
                return self._answered, _refusal(why)
            turn = self._made(self._chosen(request), request)
            turn = turn.answering(request.body, None if self.window is None else request.tokens)
            self._remember(turn)
            return self._answered, turn

    def noted(self, request: Received) -> None:
        """Record any other request."""
        with self._changed:
            self._others.append(request)

    def sent(self, turn: Turn) -> None:
        """Record that a turn was sent to its end."""
        with self._changed:
            self._billed = self._billed.and_also(turn)

    def tell(self, number: int, event: stream.Event) -> None:
        """Record what an event that is about to be sent tells of the use."""
        if (usage := stream.usage_of(event)) is None:
            return
        with self._changed:
            before = self._told.get(number, Told())
            self._told[number] = Told(
                model=event["message"]["model"] if "message" in event else before.model,
                tokens_in=usage["input_tokens"],
                tokens_out=usage["output_tokens"],
                cache_read=usage["cache_read_input_tokens"],
                cache_write=usage["cache_creation_input_tokens"],
                whole="message" not in event,
            )

    def forgiven(self) -> list[str]:
        """Why the API would not have taken the violations so far, which the test does not fail for then."""
        with self._changed:
            found, self._objections = self._objections, []
            return found

    def check(self) -> None:
        """Raise what an answer that is a function has raised, or AssertionError for a violation."""
        if self._broken:
            raise self._broken[0]
        if self._objections:
            raise AssertionError(f"The API would not have taken it: {self._objections[0]}")

    def _objection(self, request: Received) -> str | None:
        if self.window is not None and (why := beyond(request, self.window)):
            return why
        return objection(request.body, self._thought)

    def _remember(self, turn: Turn) -> None:
        """Keep which calls were made after some thinking."""
        whole = stream.message(turn, self._answered, "")["content"]
        called = {block["id"] for block in whole if block["type"] == "tool_use"}
        if any(block["type"] == "thinking" for block in whole):
            self._thought |= called
        else:
            self._thought -= called

    def _chosen(self, request: Received) -> Answer:
        text = request.text
        known = [to for to in {**self._queues, **self._otherwise} if to is not None and to in text]
        to = known[0] if known else None
        queue = self._queues[to]
        return queue.popleft() if queue else self._otherwise.get(to, self._otherwise[None])

    def _made(self, answer: Answer, request: Received) -> Turn:
        if isinstance(answer, Turn):
            return answer
        try:
            return answer(request)
        except Exception as error:  # noqa: BLE001 - whatever it is, the test hears of it at the end
            self._broken.append(error)
            return Turn(trouble=Trouble(status=400, kind="invalid_request_error", message=repr(error)))


def beyond(request: Received, window: int) -> str:
    """Why a request with its answer does not fit a window; empty if it does."""
    most = request.body.get("max_tokens", 0)
    if request.tokens > window:
        return f"prompt is too long: {request.tokens} tokens > {window} maximum"
    if request.tokens + most > window:
        sizes = f"{request.tokens} + {most} > {window}"
        return f"input length and `max_tokens` exceed context limit: {sizes}, decrease either and try again"
    return ""


def _refusal(why: str) -> Turn:
    return Turn(trouble=Trouble(status=400, kind="invalid_request_error", message=why))
