"""A script inside the engine: one context, one CPU budget over all entries, limits as one exception.

Any engine module with this small surface will do. Only ASCII text goes in and comes out: what the
binding would do with other values, and with callbacks into Python, is not relied upon.
"""

import math
import time
from collections.abc import Callable
from typing import NamedTuple, Protocol, TypeVar, cast

AFTERMATH_S = 0.1

T = TypeVar("T")


class Dispatch(Protocol):
    """The function that the shim gives: start, deliver, drain or count."""

    def __call__(self, order: str, *parts: str) -> str:
        """Carry out one order."""
        ...


class Context(Protocol):
    """What is needed of an engine's context."""

    def eval(self, code: str) -> object:
        """Evaluate a program."""
        ...

    def execute_pending_job(self) -> bool:
        """Run one promise job, if there is one."""
        ...

    def set_time_limit(self, limit: float) -> None:
        """Allow so many seconds of CPU to each entry."""
        ...

    def set_memory_limit(self, limit: int) -> None:
        """Allow so many bytes of heap."""
        ...

    def set_max_stack_size(self, limit: int) -> None:
        """Allow so many bytes of stack."""
        ...

    def memory(self) -> dict[str, int]:
        """Count what is allocated."""
        ...


class Engine(Protocol):
    """What is needed of an engine's extension module."""

    JSException: type[Exception]
    StackOverflow: type[Exception]
    Context: Callable[[], Context]


class Limits(NamedTuple):
    """What a script may use: MiB of heap, seconds of CPU, KiB of stack."""

    memory_mb: int
    cpu_s: float
    stack_kb: int


class Spent(Exception):
    """A script used up the resource that this names as `Limits` does."""


class Evaluation:
    """One script in a context of its own."""

    def __init__(self, engine: Engine, shim: str) -> None:
        """Make the context ready, before anything of a script is known."""
        self._engine = engine
        self._context = engine.Context()
        self._dispatch = cast("Dispatch", self._context.eval(shim))
        self._cpu_end = math.inf

    def allow(self, limits: Limits) -> None:
        """Hold the script to its limits from now on."""
        self._cpu_end = time.process_time() + limits.cpu_s
        self._context.set_memory_limit(limits.memory_mb << 20)
        self._context.set_max_stack_size(limits.stack_kb << 10)

    def order(self, order: str, *parts: str) -> str:
        """Call the shim. Raises Spent, and the engine's exception where the shim itself failed."""
        return self._enter(lambda: self._dispatch(order, *parts))

    def job(self) -> bool:
        """Run one promise job; False where there is none. Raises like `order`."""
        return self._enter(self._context.execute_pending_job)

    def end(self) -> None:
        """Allow the shim a last moment, to hand over what it holds."""
        self._cpu_end = time.process_time() + AFTERMATH_S
        self._context.set_memory_limit(-1)

    def heap(self) -> int:
        """Bytes that the engine has allocated."""
        return self._context.memory()["malloc_size"]

    def _enter(self, entry: Callable[[], T]) -> T:
        left = self._cpu_end - time.process_time()
        if left <= 0:
            raise Spent("cpu_s")
        self._context.set_time_limit(left)
        try:
            return entry()
        except self._engine.StackOverflow as error:
            raise Spent("stack_kb") from error
        except self._engine.JSException as error:
            raise _meaning(error) from error
        except MemoryError as error:
            raise Spent("memory_mb") from error


def _meaning(error: Exception) -> Exception:
    """Tell a limit from a fault of the shim, by the words of the engine."""
    words = str(error)
    if words.startswith("InternalError: interrupted"):
        return Spent("cpu_s")
    if words.startswith("InternalError: out of memory") or words.strip() == "null":
        return Spent("memory_mb")
    return error
