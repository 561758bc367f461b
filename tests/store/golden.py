"""A record with every kind of event, as schema 1 keeps it; its files in `golden/` never change.

`python -m tests.store.golden` wrote them. Once a version with this schema is out they stay as they
are for ever, and a new schema gets files of its own.
"""

import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

import anyio

from engine_mcp.core import event as ev
from engine_mcp.core.budget import Limits, OnExceed, Resource, Usage
from engine_mcp.core.charge import Charge
from engine_mcp.core.choice import Choice, Level, Tier
from engine_mcp.core.execution import (
    Artifact,
    Asking,
    Failure,
    Message,
    Output,
    Progress,
    RecordedCall,
    ScriptReport,
    StopMode,
    Switched,
)
from engine_mcp.core.period import Period
from engine_mcp.core.plan import (
    Mode,
    OnCancel,
    Permissions,
    Plan,
    StepSpec,
    StrategyName,
    TaskType,
    Unanswered,
)
from engine_mcp.core.route import Allowed, Domain, Route
from engine_mcp.core.script import Isolation, LimitHit, LogLine, Outcome, ScriptError, ScriptLimits
from engine_mcp.core.summary import Shape, Summary
from engine_mcp.core.window import WindowLimits
from tests.store.plans import Hand, file_store

FOLDER = Path(__file__).parent / "golden"
FILES = ("journal-0001-0001.jsonl", "journal-0002-0001.jsonl", "snapshot.json")
NAME = "golden-1"
AT = 1_800_000_000.25

_SPECS = (
    StepSpec(id="count", code="return 1", limits=ScriptLimits(memory_mb=64), timeout_s=2.5),
    StepSpec(
        id="fetch",
        tool="files.read",
        arguments={"path": "a.txt", "deep": [1, 2.5, None, True]},
        depends_on=("count",),
        requires_approval=True,
        approval_timeout_s=9.0,
        if_unanswered=Unanswered.SKIP,
        permissions=Permissions(mode=Mode.WRITE, allowed_tools=("files.read",)),
        output_schema={"type": "string"},
    ),
    StepSpec(
        id="tell",
        task="Say it: größer 😀",
        optional=True,
        skills=("brevity",),
        runtime="api",
        model="m",
        window=WindowLimits(max_tokens=9000, price_cliffs=True),
    ),
)
_ROUTE = Route(runtime="api", family="api", endpoint="here", pool="key 1", model="m", tier="fast")
_OTHER = replace(_ROUTE, runtime="opencode")
_PLAN = Plan(
    fallback=(Allowed.POOL,),
    auto_resume=True,
    path="/project",
    task="Count, fetch, tell",
    task_type=TaskType.REFACTOR,
    steps=_SPECS,
    strategy=StrategyName.PARALLEL,
    files=("a.txt",),
    context={"k": ["v", 1]},
    budget=Limits(max_tokens=10, max_cost_usd=0.5, max_seconds=9.5, max_requests=3, on_exceed=OnExceed.PAUSE),
    parallelism=2,
    on_cancel=OnCancel.CONTINUE,
    idempotency_key="golden",
    window=WindowLimits(trigger=0.7, target=0.3, model="haiku"),
    pins=("The port is 8080.",),
)
_USAGE = Usage(
    tokens_in=1,
    tokens_out=2,
    cache_read=3,
    cache_write=4,
    requests=5,
    seconds=0.5,
    cost_micros=7,
    cost_basis="computed",
)
_ARTIFACT = Artifact(digest="0" * 64, size=3, media_type="text/plain", name="notes", excerpt="abc")
_CALL = RecordedCall(
    ordinal=0, name="files.read", digest="1" * 64, at_ms=1_800_000_000_250, output=Output(artifact=_ARTIFACT)
)
_REPORT = ScriptReport(
    outcome=Outcome.MEMORY_LIMIT,
    error=ScriptError("Error", "out of memory", "at 1:2", 1, 2),
    limit=LimitHit("memory_mb", 64.0, 65.5),
    logs=(LogLine("info", "hello"),),
    logs_dropped=1,
    isolation=Isolation(rlimits=True, seccomp=True, landlock=3, uid=1000),
    cpu_ms=1.5,
    max_rss_kb=10,
    calls=1,
)
_CHOICE = Choice(
    runtime="api",
    role="senior",
    level=Level.COMPLEX,
    tier=Tier.STRONG,
    model="m",
    skills=("s",),
    why=("w",),
    route=_ROUTE,
    others=(_OTHER,),
    forced=True,
    priced=False,
    passed={"claude-code": "it is not there"},
)
_FAILURE = Failure("memory_limit", "Too much.", "Use less.")
_SUMMARY = Summary(
    id="sum_1",
    parent="sum_0",
    first=0,
    last=1,
    level=2,
    content=Output(value={"goal": "Count."}),
    shape=Shape(last=1, masked=1, retold=1),
    model="m",
    prompt="3" * 64,
    fallback="the answer was empty",
    lost=Output(value=[{"id": "m0", "kind": "number", "excerpt": "12", "why": "invented"}]),
    messages=1,
    tokens_before=20,
    tokens_after=8,
    usage=_USAGE,
)

EARLIER: tuple[ev.Event, ...] = (
    ev.ExecutionStarted(at=AT, epoch=1, owner="/run/a.sock"),
    ev.AttemptStarted(
        at=AT,
        step="count",
        number=1,
        seed=7,
        clock_ms=8,
        runtime="api",
        model="m",
        session="s",
        reserved=_USAGE,
    ),
    ev.SessionOpened(at=AT, step="count", number=1, session="ses_1"),
    ev.MessageRecorded(
        at=AT, step="count", number=1, message=Message(role="user", output=Output(value={"role": "user"}))
    ),
    ev.ResultsMasked(
        at=AT,
        step="count",
        number=1,
        shape=Shape(masked=1),
        results=1,
        tokens_before=30,
        tokens_after=20,
    ),
    ev.SummaryRequested(at=AT, steps=("count",)),
    ev.SummaryStarted(
        at=AT,
        step="count",
        number=1,
        summary="sum_1",
        first=0,
        last=1,
        level=1,
        tokens=20,
        trigger=16,
        usable=20,
        window=25,
        source="settings",
        model="m",
        manual=True,
    ),
    ev.SummaryFinished(at=AT, step="count", number=1, summary=_SUMMARY),
    ev.SummaryFinished(at=AT, step="count", number=1, failure=_FAILURE),
    ev.TextStreamed(at=AT, step="count", number=1, text="I begin."),
    ev.UsageReported(
        at=AT,
        step="count",
        number=1,
        usage=_USAGE,
        charge=Charge(model="m", usage=_USAGE, reported_micros=8, computed_micros=9, price="list 1"),
    ),
    ev.CallStarted(at=AT, step="count", number=1, ordinal=0, name="files.read", digest="1" * 64),
    ev.CallRecorded(at=AT, step="count", number=1, call=_CALL, requests=1),
    ev.ProgressReported(at=AT, step="count", progress=Progress(done=1.0, total=2.0, message="half")),
    ev.ArtifactWritten(at=AT, step="count", artifact=_ARTIFACT),
    ev.AttemptFailed(
        at=AT,
        step="count",
        number=1,
        failure=_FAILURE,
        final=False,
        usage=_USAGE,
        report=_REPORT,
        output=Output(value=[1]),
    ),
    ev.AttemptStarted(at=AT, step="count", number=2),
    ev.AttemptSucceeded(at=AT, step="count", number=2, output=Output(value={"n": 1}), usage=_USAGE),
    ev.RouteSwitched(
        at=AT,
        step="tell",
        switch=Switched(
            at=AT,
            origin=_ROUTE,
            to=_OTHER,
            domain=Domain.HARNESS,
            code="runtime_missing",
            why="It is not there.",
        ),
    ),
    ev.ApprovalRequested(
        at=AT,
        step="fetch",
        asking=Asking(since=AT, until=AT + 9, call="files.write", digest="2" * 64, arguments="{}"),
    ),
    ev.BudgetSet(at=AT, budget=Limits(max_tokens=20)),
    ev.BudgetWarned(at=AT, resource=Resource.TOKENS, limit=20.0, used=21.0, period=Period.DAY, step="count"),
    ev.StopRequested(at=AT, mode=StopMode.AFTER_STEP, reason="asked for"),
    ev.ExecutionPaused(at=AT, reason="approval", until=AT + 9),
    ev.ExecutionResumed(
        at=AT,
        approve=("fetch",),
        budget=Limits(max_seconds=60.0),
        model="m2",
        choices={"tell": replace(_CHOICE, model="m2")},
        window=WindowLimits(trigger=0.6),
        summarize=("tell",),
        restore=("count",),
    ),
)
LATER: tuple[ev.Event, ...] = (
    ev.ExecutionStarted(at=AT, epoch=2, owner="/run/b.sock"),
    ev.AttemptStarted(at=AT, step="fetch", number=1),
    ev.AttemptLost(at=AT, step="fetch", number=1, usage=_USAGE),
    ev.SummariesUndone(at=AT, steps=("fetch",)),
    ev.StepSkipped(at=AT, step="tell", failure=_FAILURE),
    ev.ExecutionInterrupted(at=AT, reason="process ended"),
    ev.ExecutionResumed(at=AT, redo=("count",), steps=_SPECS[1:]),
    ev.ExecutionStarted(at=AT, epoch=2, owner="/run/b.sock"),
    ev.AttemptStarted(at=AT, step="fetch", number=1),
    ev.AttemptInterrupted(at=AT, step="fetch", number=1, usage=_USAGE),
    ev.ExecutionFailed(at=AT, reason="dependency_failed"),
    ev.ExecutionResumed(at=AT),
    ev.ExecutionStarted(at=AT, epoch=2, owner="/run/b.sock"),
    ev.ApprovalRequested(at=AT, step="count", asking=Asking(since=AT)),
    ev.ApprovalAnswered(at=AT, step="count", answer=Unanswered.SKIP, by="timeout"),
    ev.ExecutionCompleted(at=AT),
    ev.ExecutionResumed(at=AT, deny=("fetch",), runtime="command"),
    ev.ExecutionCancelled(at=AT, reason="asked for"),
)
CREATED = ev.ExecutionCreated(
    at=AT,
    execution_id=NAME,
    plan=_PLAN,
    budget=Limits(max_tokens=10, on_exceed=OnExceed.WARN),
    choices={"tell": _CHOICE},
    missing={"count": Failure("runtime_unavailable", "There is none.")},
)
EVERY: tuple[ev.Event, ...] = (CREATED, *EARLIER, *LATER)


async def write(root: Path) -> None:
    """Keep the record under `root`: two owners, and a snapshot in the middle of what the second did."""
    store = file_store(root)
    hand = Hand(*await store.create(CREATED))
    for one in EARLIER:
        await hand.note(one)
    await hand.log.close()
    hand = Hand(*await store.open(NAME))
    await hand.note(*LATER[:3])
    await hand.save()
    for one in LATER[3:]:
        await hand.note(one)
    await hand.log.close()
    store.close()


def main() -> None:
    """Write the files of the present schema."""
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        anyio.run(write, Path(scratch))
        for name in FILES:
            shutil.copy(Path(scratch, ".engine-mcp", "executions", NAME, name), FOLDER / name)
            (FOLDER / name).chmod(0o644)


if __name__ == "__main__":
    main()
