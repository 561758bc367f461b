"""Asking: what only a person can decide is put to whoever sits behind the client, once for each question."""

import logging
from collections import OrderedDict
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import anyio
from anyio.abc import TaskGroup

from engine_mcp.core.execution import Execution
from engine_mcp.engine.engine import Engine
from engine_mcp.errors import EngineError
from engine_mcp.server.progress import Reporter
from engine_mcp.server.questions import Question, about_limits, carry_out, matching, questions
from engine_mcp.server.view import ACTIVE

_log = logging.getLogger(__name__)

ANSWER_S = 600.0
"""How long a question stays open; its execution does not wait for that."""
KEPT, MOST_OPEN = 1000, 20
LOOK_S = 2.0
MOST_ROUNDS = 8
"""How often a call is ended with questions; clients give up after about ten."""

Ask = Callable[[Question], Awaitable[str | None]]
"""How a person is asked: the choice made, None if none was."""
Warn = Callable[[str], Awaitable[None]]
"""How a client is warned."""


async def unheard(_: str) -> None:
    """Whoever calls is not to be warned."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """A call that is made again with answers: its execution, how often, and the warnings known before."""

    execution_id: str
    rounds: int
    warned: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """How the person behind a client can be asked: with `ask` at once, or not at all.

    `hands_back`: by ending the call with questions; the client makes it again, with the `answers` by key
    and with what was `begun`.
    """

    ask: Ask | None = None
    hands_back: bool = False
    answers: Mapping[str, str] = field(default_factory=dict[str, str])
    begun: Begun | None = None


NOBODY = Reach()


class HandedBack(Exception):
    """A call ends with questions; the client makes it again with the answers."""

    def __init__(self, begun: Begun, asked: tuple[Question, ...]) -> None:
        super().__init__(begun.execution_id)
        self.begun, self.asked = begun, asked


class Asker:
    """Asks the person behind one connection; questions end with it."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._asked = OrderedDict[str, None]()
        self._open: dict[str, str] = {}
        self._tasks: TaskGroup | None = None
        self.changed = anyio.Event()

    @asynccontextmanager
    async def opened(self) -> AsyncGenerator[None]:
        """For the time of the connection."""
        async with anyio.create_task_group() as self._tasks:
            yield
            self._tasks.cancel_scope.cancel()

    def fresh(self, found: Iterable[Question]) -> tuple[Question, ...]:
        """Those that were not asked yet, as far as there is room; they count as asked from here on."""
        new = [
            question for question in found if question.key not in self._asked and not self._alike(question)
        ]
        new = new[: max(0, MOST_OPEN - len(self._open))]
        self._asked.update(dict.fromkeys(question.key for question in new))
        while len(self._asked) > KEPT:
            self._asked.popitem(last=False)
        return tuple(new)

    def _alike(self, question: Question) -> bool:
        """Whether a question about limits is put while another about them is open."""
        about = about_limits(question.execution_id)
        return question.key.startswith(about) and any(key.startswith(about) for key in self._open)

    def waits(self, execution_id: str) -> bool:
        """Whether a question is open that the execution waits for; for one about its limits it never does."""
        about = about_limits(execution_id)
        return any(asked == execution_id and not key.startswith(about) for key, asked in self._open.items())

    def ask(self, question: Question, ask: Ask) -> anyio.CancelScope:
        """Ask, and carry the answer out whenever it comes; the scope takes the question back."""
        scope = anyio.CancelScope()
        if self._tasks is not None:
            self._open[question.key] = question.execution_id
            self._tasks.start_soon(self._put, question, ask, scope)
        return scope

    async def _put(self, question: Question, ask: Ask, scope: anyio.CancelScope) -> None:
        try:
            with scope, anyio.move_on_after(ANSWER_S):
                await self.answered(question, await ask(question))
        except Exception:  # noqa: BLE001 - an answer of no sense costs its question, not the connection
            _log.exception("the question %s has no answer", question.key)
        finally:
            del self._open[question.key]
            self.changed.set()
            self.changed = anyio.Event()

    async def answered(self, question: Question, answer: str | None) -> None:
        """Carry an answer out, unless there is none or it comes too late."""
        if answer not in question.choices:
            return
        try:
            await carry_out(self._engine, question, answer)
        except EngineError as error:
            _log.info("the answer %r to %s came too late: %s", answer, question.key, error)


class Attendance:
    """Looks after what one call waits for: tells its client of warnings, and has its questions asked."""

    def __init__(self, asker: Asker, engine: Engine, reach: Reach, warn: Warn) -> None:
        self._asker, self._engine, self._reach, self._warn = asker, engine, reach, warn
        self._scopes: list[anyio.CancelScope] = []
        self._known = self._told = 0

    async def begin(self, execution: Execution) -> Execution:
        """Note what was known before the call, and carry out the answers that it brings; as it is then."""
        begun = self._reach.begun
        self._told = len(execution.warnings)
        self._known = self._told if begun is None else begun.warned
        for key, answer in self._reach.answers.items():
            if (question := matching(execution, key)) is not None:
                await self._asker.answered(question, answer)
                execution = await self._engine.show(execution.id)
        return execution

    async def look(self, execution: Execution) -> None:
        """See what is new; raises HandedBack where the call has to end for it."""
        for text in execution.warnings[self._told :]:
            await self._warn(text)
        self._told = len(execution.warnings)
        reach, found = self._reach, questions(execution, self._known)
        if reach.ask is not None:
            self._scopes += [self._asker.ask(new, reach.ask) for new in self._asker.fresh(found)]
        elif reach.hands_back:
            self._hand_back(execution, found)

    async def answered(self, execution: Execution, until: float, report: Reporter) -> Execution:
        """The execution once it goes on, nothing is open, or the time is up; for one that rests."""
        while (
            execution.status not in ACTIVE
            and self._asker.waits(execution.id)
            and (left := until - anyio.current_time()) > 0
        ):
            with anyio.move_on_after(min(LOOK_S, left)):
                await self._asker.changed.wait()
            await report(execution)
            execution = await self._engine.show(execution.id)
        return execution

    def withdraw(self) -> None:
        """Take the questions of this call back: nobody wants the answers any more."""
        for scope in self._scopes:
            scope.cancel()

    def _hand_back(self, execution: Execution, found: Iterable[Question]) -> None:
        begun = self._reach.begun
        rounds = begun.rounds if begun is not None else 0
        if rounds >= MOST_ROUNDS or not (fresh := self._asker.fresh(found)):
            return
        raise HandedBack(Begun(execution_id=execution.id, rounds=rounds + 1, warned=self._known), fresh)
