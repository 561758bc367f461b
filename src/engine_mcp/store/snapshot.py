"""`snapshot.json`: the complete state of an execution for people and for a quick start."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast
from zlib import crc32

from engine_mcp.core.execution import Execution
from engine_mcp.store.codec import Raw, decode_state, encode_state, parsed
from engine_mcp.store.disk import Disk, put
from engine_mcp.store.migrations import SCHEMA, Schema

NAME = "snapshot.json"
_SEAL = b',\n  "crc": "%08x"\n}\n'
_SEAL_SIZE = len(_SEAL % 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A state that was read: after `seq` events, written under `epoch`, `size` bytes in its file."""

    seq: int
    epoch: int
    size: int
    raw: Raw
    schema: int

    def execution(self, schema: Schema = SCHEMA) -> Execution:
        """The state itself; raises ValueError where it is none."""
        return decode_state(schema.state(self.schema, self.raw))


def render(execution: Execution, epoch: int, engine: str) -> bytes:
    """The file's bytes: indented JSON whose last member is the checksum of everything before it."""
    state = encode_state(execution, indent=2).replace(b"\n", b"\n  ")
    opening = b'{\n  "schema": %d,\n  "engine": "%b",\n  "seq": %d,\n  "epoch": %d,\n  "execution": '
    body = opening % (SCHEMA.version, engine.encode(), execution.revision, epoch) + state
    return body + _SEAL % crc32(body)


def write(disk: Disk, folder: Path, content: bytes) -> None:
    """Put a rendered snapshot in the place of the last one; raises OSError.

    The folder is not synced: until it is, a loss of power may bring the last one back, which costs
    time and nothing else.
    """
    put(disk, folder / NAME, content)


def read(content: bytes, schema: Schema = SCHEMA) -> Snapshot | None:
    """The snapshot of a file's bytes; None where it is damaged. Raises RecordNewer."""
    body = content[:-_SEAL_SIZE]
    if content[-_SEAL_SIZE:] != _SEAL % crc32(body):
        return None
    try:
        members = cast("dict[str, Any]", parsed(content))
        schema.check(members["schema"], members["engine"])
        return Snapshot(
            seq=members["seq"],
            epoch=members["epoch"],
            size=len(content),
            raw=members["execution"],
            schema=members["schema"],
        )
    except (ValueError, KeyError, TypeError):
        return None
