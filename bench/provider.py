"""The wire server of the tests in a process of its own, which writes as many pieces as a request asks for.

`python -m bench.provider PER_S` prints its address, and serves until its stdin ends; each stream gets PER_S
events a second, with 0 as many as there is time for.
"""

import itertools
import re
import sys

import anyio
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tests.wire.app import application
from tests.wire.listening import listening
from tests.wire.received import Received
from tests.wire.script import Script
from tests.wire.turns import Turn

PIECE = "four more words and "
_WANTED = re.compile(r"Write (\d+) pieces")
# Streams that begin together would bring all their events in the same moments.
_APART = 0.618


def written(received: Received) -> Turn:
    """The answer to a request: so many pieces."""
    wanted = _WANTED.search(received.text)
    return Turn(PIECE * int(wanted.group(1)) if wanted else "done", chunk=len(PIECE))


def paced(inner: ASGIApp, per_s: float) -> ASGIApp:
    """The same application, each of whose streams sends so many events a second."""
    streams = itertools.count()

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        begun = anyio.current_time() + next(streams) * _APART % 1 / per_s
        events = itertools.count()

        async def slowly(message: Message) -> None:
            if message.get("more_body"):
                await anyio.sleep_until(begun + next(events) / per_s)
            await send(message)

        await inner(scope, receive, slowly)

    return serve


def main(per_s: float) -> None:
    """Serve until stdin ends."""
    script = Script()
    script.otherwise(written)
    served = application(script)
    with listening(paced(served, per_s) if per_s else served) as url:
        print(url, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main(float(sys.argv[1]))
