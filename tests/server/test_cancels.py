"""A cancel means what its reason says, and only for the request it names."""

import pytest
from mcp.types import JSONRPCNotification, JSONRPCRequest

from engine_mcp.server.cancels import KEPT, Cancels


def cancel(request_id: object, reason: object = None) -> JSONRPCNotification:
    params = {"requestId": request_id} | ({} if reason is None else {"reason": reason})
    return JSONRPCNotification(jsonrpc="2.0", method="notifications/cancelled", params=params)


@pytest.mark.parametrize("reason", ["user pressed escape", "AbortError: The operation was aborted.", ""])
def test_a_client_that_wants_the_work_to_stop_is_heard(reason: str) -> None:
    cancels = Cancels()
    cancels.note(cancel(7, reason))
    assert cancels.wanted(7) == reason
    assert cancels.wanted("7") == reason


@pytest.mark.parametrize(
    "reason",
    [
        "SdkError: Request timed out",
        "timed out after 3s",
        "McpError: MCP error -32001: Request timed out",
        "Timeout",
        "time-out",
    ],
)
def test_a_client_whose_time_was_up_does_not_want_the_work_to_stop(reason: str) -> None:
    cancels = Cancels()
    cancels.note(cancel(7, reason))
    assert cancels.wanted(7) is None


def test_without_a_cancel_nobody_wants_anything() -> None:
    cancels = Cancels()
    cancels.note(cancel(6))
    cancels.note(JSONRPCNotification(jsonrpc="2.0", method="notifications/progress", params={"requestId": 7}))
    cancels.note(JSONRPCRequest(jsonrpc="2.0", id=7, method="notifications/cancelled"))
    assert cancels.wanted(7) is None
    assert cancels.wanted(None) is None


@pytest.mark.parametrize("params", [None, {}, {"requestId": None}, {"requestId": [1], "reason": {}}])
def test_a_cancel_of_nothing_is_harmless(params: dict[str, object] | None) -> None:
    cancels = Cancels()
    cancels.note(JSONRPCNotification(jsonrpc="2.0", method="notifications/cancelled", params=params))
    assert cancels.wanted(1) is None


def test_only_the_latest_cancels_are_kept() -> None:
    cancels = Cancels()
    for number in range(KEPT + 1):
        cancels.note(cancel(number))
    assert cancels.wanted(0) is None
    assert cancels.wanted(KEPT) == ""
