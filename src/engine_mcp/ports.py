"""The ports: what the engine needs of the outside. Each docstring is the contract of its adapters."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from pydantic import JsonValue

from engine_mcp.core.agent import AgentCall, AgentReport, AgentResult, AgentTask
from engine_mcp.core.breaker import Breaker
from engine_mcp.core.brief import Brief, Prompt, Role, Skill
from engine_mcp.core.budget import Limits, Resource, Usage
from engine_mcp.core.charge import Quote
from engine_mcp.core.event import Event, ExecutionCreated
from engine_mcp.core.execution import Artifact, Execution
from engine_mcp.core.listing import Page, Query
from engine_mcp.core.period import Change, Period, Room
from engine_mcp.core.plan import StepSpec
from engine_mcp.core.route import Route
from engine_mcp.core.script import HostAnswer, HostCall, Script, ScriptResult
from engine_mcp.core.spending import Hold, Posting
from engine_mcp.core.tool import Health, ToolResult, ToolSpec, Tree


class Clock(Protocol):
    """Time as the engine sees it."""

    def now(self) -> float:
        """Seconds since the Unix epoch."""
        ...

    async def sleep_until(self, at: float) -> None:
        """Return once `now()` has reached `at`."""
        ...


class ScriptHost(Protocol):
    """What a running script may ask of its host; the gate between code mode and the engine."""

    async def call(self, call: HostCall) -> HostAnswer:
        """Carry out one host call. Calls run concurrently; never raises for an expected failure."""
        ...

    def progress(self, done: float, total: float | None, message: str) -> None:
        """Take a progress report of the script; returns at once."""
        ...


class Sandbox(Protocol):
    """Runs JavaScript away from the server's process."""

    async def run(self, script: Script, host: ScriptHost) -> ScriptResult:
        """Run `script` in a fresh, hardened, single-use child.

        Always returns exactly one result; limits, crashes and script errors are outcomes, never
        exceptions. Host calls still in flight at the end are cancelled and awaited first.
        Cancelling the caller kills the child, awaits its end, and raises on.
        Raises `SandboxUnavailable` where no child can be had.
        """
        ...


class Workbench(Protocol):
    """What a tool gets from the engine for one call: where it may work, and a place for artifacts."""

    @property
    def tree(self) -> Tree:
        """The project directory and how far the call may reach into it."""
        ...

    async def keep(self, content: bytes, *, name: str, media_type: str) -> Artifact:
        """Keep a named artifact of the execution, durably; the newest of a name is the one shown."""
        ...


class ToolAdapter(Protocol):
    """Carries out the calls of one tool."""

    @property
    def spec(self) -> ToolSpec:
        """What the tool says of itself; constant."""
        ...

    async def execute(self, arguments: Mapping[str, JsonValue], bench: Workbench) -> ToolResult:
        """Carry out one call whose arguments meet the tool's schema; calls run concurrently.

        Expected failures are results with a code of the catalogue, never exceptions. A cancelled
        call leaves nothing half done. Blocking work is done in a thread.
        """
        ...

    def estimated_s(self, arguments: Mapping[str, JsonValue]) -> float | None:
        """How long the call will take, in seconds; None if nobody knows."""
        ...

    async def health(self) -> Health:
        """Whether the tool can be used now; bounded in time, spends nothing."""
        ...


class AgentHost(Protocol):
    """What a runner may tell and ask while it carries out an attempt; the way back into the engine."""

    @property
    def tools(self) -> Sequence[ToolSpec]:
        """The tools that the step may call through `call`, code mode (`script`) among them."""
        ...

    def affordable(self, asking: int = 0) -> int | None:
        """The most tokens that the next answer may have within the attempt's share; None without a bound.

        `asking` are the tokens of the request itself. It is 0 where nothing is left.
        """
        ...

    def report(self, news: AgentReport) -> None:
        """Take news: use, progress, text as it is written. Returns at once; may be called very often."""
        ...

    async def opened(self, session: str) -> None:
        """Record the session's own name where the runtime chose it; durable on return."""
        ...

    async def recall(self) -> Sequence[Mapping[str, JsonValue]]:
        """The conversation that earlier attempts of this session remembered, in order."""
        ...

    async def remember(self, message: Mapping[str, JsonValue]) -> None:
        """Record one message of a conversation, `role` among its fields; durable on return."""
        ...

    async def call(self, call: AgentCall) -> ToolResult:
        """Carry out a tool call behind the gate: permissions, budget, record. Calls run concurrently.

        A call that was answered in an earlier attempt is answered from the record; one that was cut off
        and may have changed something fails with `outcome_unknown`. Expected failures are results.
        """
        ...


class Runner(Protocol):
    """Carries out agent attempts on one runtime."""

    @property
    def name(self) -> str:
        """The runtime's name, as in `runtime` of a step."""
        ...

    async def run(self, task: AgentTask, host: AgentHost) -> AgentResult:
        """Carry out one attempt and report usage, text and progress as they come.

        Expected failures are results, never exceptions. Cancelling the caller stops the attempt:
        first so that its session is saved, then by force, within a bounded time; what was used up
        to the end has been reported when the cancellation goes on, and no process of the attempt is
        left. A session that exists goes on; one that was only announced is begun.
        """
        ...

    def objection(self, step: StepSpec) -> str:
        """Why this runtime cannot carry out a step as it is planned, in one sentence; empty if it can.

        Asked before anything is recorded or spent: permissions or tools that it cannot grant.
        """
        ...

    def route(self, model: str | None) -> Route:
        """Where an attempt on this model would go: family, endpoint and the account that pays.

        Cheap and without I/O: from the settings and the environment that the attempt would get.
        """
        ...

    @property
    def tells_cost(self) -> bool:
        """Whether attempts report what they cost, whatever the model is."""
        ...

    @property
    def bounds(self) -> frozenset[Resource]:
        """The resources, tokens or cost, whose reserved share attempts keep to by themselves."""
        ...

    async def health(self, *, fresh: bool = False) -> Health:
        """Whether the runtime can be used now; bounded in time, spends nothing.

        The answer is kept for a while; `fresh` asks again.
        """
        ...


class PriceBook(Protocol):
    """What models cost."""

    async def open(self) -> None:
        """Load the prices; returns at once where that is done. Nothing else may be asked before.

        Raises InvalidArgument that names a price file which cannot be read.
        """
        ...

    def quote(self, model: str, usage: Usage, at: float) -> Quote:
        """What a use of a model cost at a time (Unix seconds), the model as a runtime names it.

        `micros` is None for a model without a price; never 0 for one that is not known to be free.
        """
        ...


class Ledger(Protocol):
    """What a user's executions spent and hold, over all projects and processes; and the limits on that.

    It can be rebuilt from the records at any time. Amounts count to the micro-dollar.
    """

    async def posted(self, execution_id: str) -> int:
        """The sequence number up to which the ledger knows what an execution spent; 0 for none of it."""
        ...

    async def post(self, posting: Posting) -> bool:
        """Enter what was spent, and what is held now in the place of what was.

        Nothing happens, and the answer is False, where the ledger does not stand at `posting.after`.
        """
        ...

    async def reserve(
        self, posting: Posting, holds: Sequence[Hold], now: float, *, pauses: bool = True
    ) -> Room | None:
        """Post and hold more, all of it or none, so that no limit that pauses is passed by it.

        None once that is done. Else the room as it stands, and nothing was held; what was posted counts.
        `pauses` tells what becomes of limits that do not say so themselves. `holds` that ask for nothing
        of a limited resource are granted while the limit is not reached.
        Of several processes that ask at once none sees room that another has taken.
        """
        ...

    async def abandoned(self) -> Sequence[str]:
        """The ids of the executions that hold something for a process that is gone."""
        ...

    async def room(self, now: float) -> Room:
        """The shared limits, what is spent of each and what running attempts hold of it."""
        ...

    async def spent(self, period: Period, now: float) -> Usage:
        """What was spent in the period that holds `now`."""
        ...

    async def limit(self, period: Period, limits: Limits, change: Change) -> None:
        """Set the limits given of a period, the others stay; with `change.reset` all are taken away first."""
        ...

    async def changes(self, period: Period | None, limit: int) -> Sequence[Change]:
        """The newest changes of shared limits, the newest first; None for every period."""
        ...


class Breakers(Protocol):
    """The breakers of a user, over all projects and processes."""

    async def read(self) -> Mapping[str, Breaker]:
        """Every breaker that is not closed or has counted failures, by its part."""
        ...

    async def write(self, before: Breaker | None, after: Breaker) -> bool:
        """Put `after` in the place of `before`; False, and nothing happens, if another came between."""
        ...


class Library(Protocol):
    """Roles, skills and prompt templates, those of a project before those of the user and the built-in."""

    async def roles(self, project: str) -> Mapping[str, Role]:
        """The roles by name; raises TemplateError that names a file which is none."""
        ...

    async def skills(self, project: str) -> Mapping[str, Skill]:
        """The skills by name, as Claude Code and OpenCode would find them; unreadable ones are left out."""
        ...

    async def prompt(self, brief: Brief) -> Prompt:
        """The prompt of an attempt; raises TemplateError, UnknownRole or UnknownSkill."""
        ...


class Sweeper(Protocol):
    """Ends what a dead engine left running."""

    async def sweep(self, execution_id: str) -> int:
        """End every process of this user that belongs to an attempt of the execution; how many there were.

        Only called where nobody drives the execution. On return none of them is alive.
        """
        ...


class ExecutionLog(Protocol):
    """The record of one execution, open for writing under its lease. One append at a time."""

    @property
    def epoch(self) -> int:
        """How often a process took this lease, this one included."""
        ...

    async def append(self, events: Sequence[Event], after: Execution) -> None:
        """Make `events` durable; `after` is the execution they lead to, for the snapshot.

        On return they survive any crash. Raises StorageError where they cannot be written: then
        none of them counts, and the record shows the state before. Cancellation waits for the end
        of the write. A snapshot is written whenever the journal has outgrown the last one.
        """
        ...

    async def save(self, after: Execution) -> None:
        """Write the snapshot now; raises StorageError, which costs speed and not state."""
        ...

    async def keep(self, content: bytes, *, name: str | None, media_type: str) -> Artifact:
        """Keep content beside the snapshot under its digest; durable on return, the same content once."""
        ...

    async def close(self) -> None:
        """Give the lease back; later calls fail. Closing twice does nothing."""
        ...


class Store(Protocol):
    """Keeps the records of all executions of a project."""

    async def create(self, event: ExecutionCreated) -> tuple[Execution, ExecutionLog]:
        """Begin a record with its first event, under a new lease.

        With an idempotency key in the plan: the one execution that ever had this key is looked up
        by `claimed` first; creating claims the key. Raises IdempotencyConflict where another
        process claimed it in between, StorageError where nothing can be written.
        """
        ...

    async def claimed(self, key: str) -> str | None:
        """The id of the execution that holds this idempotency key."""
        ...

    async def open(self, execution_id: str) -> tuple[Execution, ExecutionLog]:
        """Take the lease and read the record, as the newest valid snapshot and the journal after it.

        Raises ExecutionNotFound, ExecutionOwned, RecordCorrupt, RecordNewer or StorageError.
        """
        ...

    async def read(self, execution_id: str) -> Execution:
        """The execution as on record, without a lease; another process may be driving it.

        Raises ExecutionNotFound, RecordCorrupt or RecordNewer.
        """
        ...

    async def events(self, execution_id: str, after: int, limit: int) -> tuple[tuple[int, Event], ...]:
        """Up to `limit` events with a sequence number above `after`, with their numbers (from 1, no gaps)."""
        ...

    async def artifact(self, execution_id: str, digest: str) -> bytes:
        """The content of an artifact; raises ExecutionNotFound, RecordCorrupt where it is not what it was."""
        ...

    async def list(self, query: Query) -> Page:
        """A page of the executions, newest first; unreadable ones are left out and reported by `damaged`."""
        ...

    async def abandoned(self) -> tuple[str, ...]:
        """The ids of executions that are pending or running on record and that nobody drives."""
        ...

    async def owner(self, execution_id: str) -> str | None:
        """The control address of the process that drives the execution; None if nobody does."""
        ...

    def place(self, execution_id: str, digest: str | None = None) -> str:
        """Where a person finds the snapshot, or the artifact of this digest."""
        ...
