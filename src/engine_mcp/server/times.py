"""Times as clients see them."""

from datetime import UTC, datetime

from engine_mcp.server.results import ShownTime

_LATEST = 253_402_300_799.0
"""The last second that has a date of four digits; providers may name any."""


def utc(at: float) -> str:
    """A Unix time as text."""
    return (
        datetime.fromtimestamp(min(at, _LATEST), UTC)
        .isoformat(timespec="milliseconds")
        .replace("+00:00", "Z")
    )


def to_come(at: float | None, now: float) -> ShownTime | None:
    """A time to come, as text and in seconds from now; None where it is not known."""
    return None if at is None else ShownTime(at=utc(at), in_s=round(max(0.0, at - now), 3))
