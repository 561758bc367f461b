"""Whether a pool is at rest: of its runs nothing is left but the children that wait for the next one."""

import anyio
import psutil

from tests.leaks import open_descriptors

READY = 2
REST_S = 10.0
LOOK_S = 0.01
CALM_LOOKS = 3


def processes() -> list[psutil.Process]:
    """Every process below this one, dead ones that nobody collected included."""
    return psutil.Process().children(recursive=True)


async def rest() -> int:
    """Wait until there are one zygote and its ready children, and nothing moves any more.

    Gives how many descriptors are open then. Raises TimeoutError where that never comes.
    """
    calm, last = 0, 0
    with anyio.fail_after(REST_S):
        while calm < CALM_LOOKS:
            await anyio.sleep(LOOK_S)
            now = len(open_descriptors())
            calm = calm + 1 if len(processes()) == 1 + READY and now == last else 0
            last = now
    return last
