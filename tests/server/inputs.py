"""Inputs drawn at random: JSON of any shape, and arguments that the schemas admit."""

from typing import Any

from hypothesis import strategies as st

from engine_mcp.core.execution import ExecutionStatus
from engine_mcp.core.plan import TaskType

Value = st.SearchStrategy[Any]
Arguments = st.SearchStrategy[dict[str, Any]]

TEXT = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)
IDS = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,8}", fullmatch=True)
UUIDS = st.uuids().map(str)


def json_values() -> Value:
    """Any JSON value, small."""
    leaves = (
        st.none()
        | st.booleans()
        | st.integers(-(2**70), 2**70)
        | st.floats(allow_nan=False, allow_infinity=False)
        | TEXT
    )
    found: Value = st.recursive(
        leaves,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
        max_leaves=8,
    )
    return found


def _objects() -> Value:
    return st.dictionaries(TEXT, json_values(), max_size=2)


def _chosen(**fields: Value) -> Arguments:
    """Some of these arguments."""
    return st.fixed_dictionaries({}, optional=fields)


BUDGETS = _chosen(
    max_tokens=st.integers(0, 10**15),
    max_cost_usd=st.floats(0, 1e9),
    max_seconds=st.floats(0, 1e9),
    max_requests=st.integers(0, 10**15),
    on_exceed=st.sampled_from(["warn", "pause"]),
)
LIMITS = _chosen(
    memory_mb=st.integers(8, 16384), cpu_s=st.floats(0.1, 86400), max_calls=st.integers(1, 10**6)
)
PERMISSIONS = _chosen(
    mode=st.sampled_from(["none", "read", "write"]), allowed_tools=st.lists(TEXT, max_size=3)
)
WINDOWS = _chosen(
    trigger=st.floats(0.05, 1),
    max_tokens=st.integers(1000, 10**8),
    target=st.floats(0.02, 0.9),
    model=TEXT,
    price_cliffs=st.booleans(),
)


def _steps() -> Arguments:
    return st.fixed_dictionaries(
        {"id": IDS},
        optional={
            "task": TEXT,
            "code": TEXT,
            "tool": TEXT,
            "arguments": _objects(),
            "depends_on": st.lists(IDS, max_size=3),
            "runtime": st.sampled_from(["claude-code", "opencode", "api", "command"]),
            "permissions": PERMISSIONS,
            "output_schema": _objects(),
            "optional": st.booleans(),
            "requires_approval": st.booleans(),
            "approval_timeout_s": st.floats(0.1, 10**6),
            "if_unanswered": st.sampled_from(["deny", "skip", "approve"]),
            "timeout_s": st.floats(0.1, 86400),
            "max_attempts": st.integers(1, 10),
            "budget": BUDGETS,
            "limits": LIMITS,
            "window": WINDOWS,
        },
    )


def plans() -> Arguments:
    """Arguments that the schema of `engine_execute` admits; most make no sense."""
    return _chosen(
        task=TEXT,
        steps=st.lists(_steps(), max_size=3),
        code=TEXT,
        tool=TEXT,
        arguments=_objects(),
        path=TEXT,
        files=st.lists(TEXT, max_size=2),
        context=_objects(),
        task_type=st.sampled_from([str(kind) for kind in TaskType]),
        strategy=st.sampled_from(["auto", "single", "multi", "parallel"]),
        parallelism=st.integers(1, 64),
        permissions=PERMISSIONS,
        limits=LIMITS,
        budget=BUDGETS,
        on_cancel=st.sampled_from(["interrupt", "continue"]),
        fallback=st.lists(st.sampled_from(["family", "pool", "tier"]), max_size=3),
        auto_resume=st.booleans(),
        window=WINDOWS,
        pins=st.lists(TEXT, max_size=3),
        wait_s=st.floats(0, 600),
    )


def scripts() -> Arguments:
    """Arguments of `engine_execute` that make sense but for what the script says."""
    return st.fixed_dictionaries(
        {"code": TEXT | st.just("return input")},
        optional={"context": _objects(), "task": TEXT, "permissions": _chosen(mode=st.just("none"))},
    )


STATUS_ARGUMENTS: Arguments = _chosen(
    execution_id=UUIDS,
    cursor=st.integers(0, 10**15),
    wait_s=st.floats(0, 600),
    status=st.sampled_from([str(status) for status in ExecutionStatus]),
    text=st.text(st.characters(codec="utf-8"), max_size=20),
    limit=st.integers(1, 50),
    after=UUIDS,
)
BUDGET_ARGUMENTS: Arguments = _chosen(
    scope=st.sampled_from(["execution", "day", "month"]),
    execution_id=UUIDS,
    after=st.integers(0, 10**15),
    limit=st.integers(1, 100),
    audit=st.booleans(),
)
"""None that sets anything: what is set is the user's."""
