"""An attempt in an engine's own process, which a test may kill; imports no more than its stand needs."""

from importlib import import_module
from pathlib import Path

from tests.runners.host import RecordingHost
from tests.runners.stands.stand import Place, Scenario, Stand, task

STALL_S = 60.0
PROGRAM = """
import sys
import anyio
from tests.runners.driving import drive
anyio.run(drive, *sys.argv[1:])
"""


def arguments(stand: Stand, place: Place) -> tuple[str, str, str]:
    """What `drive` is given."""
    return type(stand).__module__, stand.name, str(place.root)


async def drive(module: str, name: str, root: str) -> None:
    """Carry out the attempt of a stand, which never ends by itself."""
    stands: tuple[Stand, ...] = import_module(module).STANDS
    stand = next(stand for stand in stands if stand.name == name)
    place = Place(Path(root))
    runner = stand.runner(Scenario.SLOW, place, STALL_S)
    await runner.run(task(place, session=stand.session), RecordingHost())
