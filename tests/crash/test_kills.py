"""A process of the engine is killed, at every file operation and at any moment; another one goes on."""

import random
import signal
from pathlib import Path

import pytest

from engine_mcp.core.execution import Output
from tests.crash.conftest import Nursery, prove

pytestmark = [pytest.mark.crash, pytest.mark.slow]
KILLED = -signal.SIGKILL
MOST = 400
WAYS = ("before", "half")


def died(ended: int) -> bool:
    assert ended in {0, KILLED}
    return ended == KILLED


@pytest.mark.timeout(300)
@pytest.mark.req("001:L12", "000:L272", "002:L199", "001:L59", "002:L63")
@pytest.mark.parametrize("when", WAYS)
def test_killed_at_any_file_operation_it_is_finished_by_another_process(
    nursery: Nursery, tmp_path: Path, when: str
) -> None:
    kills = 0
    for at in range(1, MOST):
        folder = tmp_path / str(at)
        folder.mkdir()
        if not died(nursery.run(folder, at=at, when=when)):
            break
        kills += 1
        assert nursery.run(folder) == 0, (folder / "errors").read_text()
        prove(folder, kills=1)
    assert kills > 30


@pytest.mark.timeout(300)
@pytest.mark.req("000:4.4.4", "000:7.1.4", "000:5.2.4")
def test_killed_again_and_again_it_is_finished_in_the_end(nursery: Nursery, tmp_path: Path) -> None:
    draw = random.Random(20_261_121)  # noqa: S311 - the same kills in every run
    for turn in range(20):
        folder = tmp_path / str(turn)
        folder.mkdir()
        kills = 0
        while kills < 4 and died(nursery.run(folder, at=draw.randint(1, 45), when=draw.choice(WAYS))):
            kills += 1
        assert nursery.run(folder) == 0, (folder / "errors").read_text()
        prove(folder, kills)


@pytest.mark.timeout(300)
@pytest.mark.req("000:5.1.4", "000:7.1.3", "001:L10")
def test_killed_at_any_moment_of_a_script_its_recorded_calls_are_not_made_again(
    nursery: Nursery, tmp_path: Path
) -> None:
    draw = random.Random(7)  # noqa: S311 - the same moments in every run, as far as a machine can
    for turn in range(25):
        folder = tmp_path / str(turn)
        folder.mkdir()
        kills = 0
        while kills < 3 and died(nursery.run(folder, scripts=True, kill_after_s=draw.uniform(0.01, 0.4))):
            kills += 1
        assert nursery.run(folder, scripts=True) == 0, (folder / "errors").read_text()
        found = prove(folder, kills)
        assert {"a", "b", "c", "s1", "s2", "s3"} == set(found.marks)
        assert isinstance(found.execution.steps["s"].output, Output)
