"""The cache of whoever runs the tests, where programs are installed once for all; tests have another one."""

import os
from pathlib import Path

_KEPT = "TESTS_CACHE_HOME"


def keep() -> None:
    """Remember where the cache is before another one takes its place, in the processes of tests too."""
    os.environ.setdefault(_KEPT, os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache"))


def user_cache() -> Path:
    """Where the cache is."""
    return Path(os.environ[_KEPT])
