"""Cancels of clients, with their reasons, which the SDK applies but does not pass on."""

import re
from collections import OrderedDict

from mcp.types import JSONRPCMessage, JSONRPCNotification

KEPT = 1000
_TIMED_OUT = re.compile(r"tim(ed|e)[ -]?out", re.IGNORECASE)


class Cancels:
    """The latest cancels of one connection; a cancel of a finished call is noted and never asked for."""

    def __init__(self) -> None:
        self._reasons: OrderedDict[str, str] = OrderedDict()

    def note(self, message: JSONRPCMessage) -> None:
        """Look at a message before it takes effect, and keep it if it is a cancel."""
        if not isinstance(message, JSONRPCNotification) or message.method != "notifications/cancelled":
            return
        params = message.params or {}
        self._reasons[str(params.get("requestId"))] = str(params.get("reason") or "")
        while len(self._reasons) > KEPT:
            self._reasons.popitem(last=False)

    def wanted(self, request_id: str | int | None) -> str | None:
        """Why the client wanted to stop the work of this request.

        None if it did not: the connection ended, or the client only stopped waiting because its time
        was up.
        """
        reason = self._reasons.get(str(request_id))
        return None if reason is None or _TIMED_OUT.search(reason) else reason
