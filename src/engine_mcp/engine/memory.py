"""The memory of a process: what is loaded for good is kept out of the collector's way."""

import gc
from functools import cache


@cache
def settle() -> None:
    """Have the collector look no more at what is there by now, once in a process.

    To look at all modules again and again would stop the loop for a twentieth of a second each time.
    """
    gc.collect()
    gc.freeze()
