"""The server over stdio against a bare hello server: processor time per call, and cold start."""

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import IO, Any

import psutil

from bench.children import ROOT, Children, UnmeasurableError, environment
from bench.figures import Figure

CALLS = 300
ROUNDS = 5
STARTS = 11
END_S = 10
CALL_RATIO = 1.0
START_RATIO = 1.15
# Runs for as long as it is measured, and gives the tool something to tell.
PLAN: Mapping[str, object] = MappingProxyType({"code": "await sleep(250_000)", "wait_s": 0})
_ME = {"name": "bench", "version": "1"}


class Era(StrEnum):
    """Which protocol the client speaks."""

    MODERN = "2026-07-28"
    LEGACY = "2025-11-25"


class Server:
    """A server's process and the client's end of its pipes."""

    def __init__(self, command: list[str], era: Era) -> None:
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        self.process = subprocess.Popen(command, env=environment(), bufsize=0, **pipes)
        self._era, self._last = era, 0
        self._incoming: IO[bytes] = self.process.stdout  # pyright: ignore[reportAttributeAccessIssue]
