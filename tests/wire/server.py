"""A local server that speaks the Messages API, answers as a test scripts it, and records what it received."""

from contextlib import ExitStack
from types import TracebackType
from typing import Self

from tests.wire.app import application
from tests.wire.listening import listening
from tests.wire.script import Script


class Wire(Script):
    """The server, from entering it to leaving it, in a thread of its own.

    `window`: a request whose messages take more tokens is refused as too long, and is a violation.
    """

    def __init__(self, *, window: int | None = None) -> None:
        super().__init__(window=window)
        self.url = ""
        self._open = ExitStack()

    def __enter__(self) -> Self:
        self.url = self._open.enter_context(listening(application(self)))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()
        if error is None:
            self.check()
