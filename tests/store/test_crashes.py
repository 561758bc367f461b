"""The process may die at any file operation, and nothing that was told is lost."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.house.sources import ROOT

SHARES = 2


@pytest.mark.crash
@pytest.mark.timeout(180)
@pytest.mark.req("SPEC:7.crash-anywhere", "001:L12", "001:L18", "000:4.4.4", "002:L63", "SPEC:7.void-claim")
@pytest.mark.parametrize("share", range(SHARES))
def test_a_crash_at_any_file_operation_loses_nothing_that_was_told(scratch: Path, share: int) -> None:
    command = [sys.executable, "-m", "tests.store.crashing", str(scratch), str(share), str(SHARES)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=170, check=False)
    assert ended.returncode == 0, ended.stderr
    told = json.loads(ended.stdout)
    assert told["wrong"] == {}
    assert told["points"] > 50
