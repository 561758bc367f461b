"""The five tools as they are listed: what a model reads before it calls one."""

from dataclasses import dataclass
from functools import cache

from mcp.types import Tool, ToolAnnotations

from engine_mcp.server.json_schema import schema_of
from engine_mcp.server.results import Account, Overview, PeriodAccount, Shown, ShownExecution, output_schema
from engine_mcp.server.schemas import (
    Arguments,
    BudgetArguments,
    ExecuteArguments,
    InterruptArguments,
    ResumeArguments,
    StatusArguments,
)

INSTRUCTIONS = """\
engine runs work that is too long, too wide or too costly for one conversation, and never loses what was done.

- engine_execute starts an execution: steps with dependencies, a script, a tool call or a task in words. It \
waits a little and returns the result, or a handle while the execution goes on in the background.
- engine_status with the execution_id tells how it stands; wait_s waits for it, cursor lists its events. \
Without an id it lists the executions, the usable runtimes and the tools.
- engine_interrupt stops it and keeps everything; engine_resume goes on where it stopped, also after a crash \
or a restart, without running completed steps again. engine_budget reads and sets its limits, and those that \
all executions share in a day or month.

Where `next_actions` is given, it holds the exact calls that help. Large outputs are files named in the \
result, and `snapshot` is the file with the complete state. Errors carry code, message, hint and next_actions.
"""

EXECUTE = """\
Start an execution and return its result, or its handle if it takes longer than wait_s. It is durable: every \
change is on record first, it survives this server, and it can be interrupted and resumed without running \
completed steps again.

Say the work in one way:
- steps: a list of steps {id, code | tool + arguments | task, depends_on}. A step starts when all it depends \
on have completed; independent steps run side by side; one failure leaves unrelated steps alone.
- code: one script. - tool + arguments: one tool call. - task: words for an agent, on Claude Code, OpenCode, \
the Anthropic API or a command (engine_status tells which are usable); code and tools need none of them.

A script is the body of an async JavaScript function in a sandbox without network, modules or processes; \
what it returns is its output (JSON). It sees: input (= context), outputs.<step id> of the steps it depends \
on, await files.read(path), files.list(path, {recursive, pattern}), files.stat(path), \
files.write(path, text) (permissions.mode "write"), await tools.<name>(arguments), tools.list(), sleep(ms), \
progress(done, total, message), console.log. Use Promise.all for calls side by side.
Example: {"steps": [{"id": "names", "code": "return (await files.list('src')).entries.map(e => e.path)"}, \
{"id": "count", "depends_on": ["names"], "code": "return outputs.names.length"}]}

At a limit of its budget an execution goes on with a warning, or with on_exceed "pause" waits for more. \
fallback says what agents may leave when their route breaks. A step with requires_approval waits for approve \
in engine_resume.

The result tells status, each step with output or error, usage, fallbacks, and next_actions where something \
is missing. While status is pending or running, ask engine_status again after next_poll_s."""

STATUS = """\
Tell how an execution stands, or what the engine holds. Changes nothing.

With execution_id: status, steps with output or error, result, usage, budget, warnings, next_actions. wait_s \
waits for its end, with progress. cursor (0 at first, then that of the last answer) adds its events page \
by page; with cursor and wait_s the call returns as soon as there is a later event.
Without execution_id: the executions, newest first (filter by status and text, page with after), the usable \
runtimes, the tools that steps and scripts can call, the strategies, the load, `breakers` (what is broken \
and when it is tried again) and `spending` of this day and month."""

BUDGET = """\
Read or change limits on tokens, dollars, seconds and requests.

scope execution (default, with execution_id): limits, what is spent, reserved by running steps and left, \
warnings, and one entry for each attempt and model with what was reported and computed (after 0 lists them \
page by page); drift is how far the two are apart. budget sets the limits it names, also while the execution \
runs; reset goes back to the limits of the plan first. audit compares the totals with the journal. A paused \
execution goes on with engine_resume.
scope day or month: the same for what all executions of the user spend together in it; budget sets shared \
limits, reset takes them all away first; what is spent still counts, and `changes` holds who changed what.
Every change is recorded. The operator's limits (caps) cannot be raised here."""

INTERRUPT = """\
Stop an execution and keep everything: results, sessions, partial outputs. mode now (default) stops running \
attempts, gracefully first; after_step lets the running steps end; cancel is final, nothing can be resumed. \
Returns once it has stopped and is on record, and `happened` tells what was done. Interrupting again changes \
nothing; an execution that has ended is an error. Go on with engine_resume."""

RESUME = """\
Go on with an execution that is interrupted, paused or failed, also after a crash or in another process. \
Completed steps keep their results and are not run again.

Optional changes: budget (raise the limit that paused it), approve / deny (ids of steps that wait for \
approval), steps (in place of all that are not completed), from_step (run this completed step and all that \
depend on it again), runtime, model. Waits wait_s for the end, then returns like engine_execute. The record, \
its version and the project are checked first; if one does not fit, nothing is changed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """A tool before it is turned into what the protocol lists."""

    name: str
    title: str
    description: str
    takes: type[Arguments]
    gives: tuple[type[Shown], ...] = (ShownExecution,)
    hints: ToolAnnotations
    always_loaded: bool = False


_LISTED = (
    Listed(
        name="engine_execute",
        title="Execute a plan",
        description=EXECUTE,
        takes=ExecuteArguments,
        hints=ToolAnnotations(
            read_only_hint=False, destructive_hint=True, idempotent_hint=False, open_world_hint=True
        ),
        always_loaded=True,
    ),
    Listed(
        name="engine_status",
        title="Status of executions",
        description=STATUS,
        takes=StatusArguments,
        gives=(ShownExecution, Overview),
        hints=ToolAnnotations(read_only_hint=True, idempotent_hint=True, open_world_hint=False),
        always_loaded=True,
    ),
    Listed(
        name="engine_budget",
        title="Budgets",
        description=BUDGET,
        takes=BudgetArguments,
        gives=(Account, PeriodAccount),
        hints=ToolAnnotations(
            read_only_hint=False, destructive_hint=False, idempotent_hint=True, open_world_hint=False
        ),
    ),
    Listed(
        name="engine_interrupt",
        title="Interrupt an execution",
        description=INTERRUPT,
        takes=InterruptArguments,
        hints=ToolAnnotations(
            read_only_hint=False, destructive_hint=True, idempotent_hint=True, open_world_hint=False
        ),
    ),
    Listed(
        name="engine_resume",
        title="Resume an execution",
        description=RESUME,
        takes=ResumeArguments,
        hints=ToolAnnotations(
            read_only_hint=False, destructive_hint=True, idempotent_hint=False, open_world_hint=True
        ),
    ),
)


def _tool(listed: Listed) -> Tool:
    return Tool(
        name=listed.name,
        title=listed.title,
        description=listed.description,
        input_schema=schema_of(listed.takes),
        output_schema=output_schema(*listed.gives),
        annotations=listed.hints,
        # Clients that hide tools until somebody searches for them show these at once.
        _meta={"anthropic/alwaysLoad": True} if listed.always_loaded else None,
    )


@cache
def tools() -> tuple[Tool, ...]:
    """The tools, always in this order."""
    return tuple(_tool(listed) for listed in _LISTED)
