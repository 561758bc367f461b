"""Old records in today's shape: pure functions from one schema version to the next."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from pydantic import JsonValue

from engine_mcp.errors import RecordNewer

Raw = dict[str, JsonValue]
Step = Callable[[Raw], Raw]


@dataclass(frozen=True, slots=True, kw_only=True)
class Schema:
    """A schema version, and for each older one what turns its events and states into the next one's."""

    version: int
    events: Mapping[int, Step] = field(default_factory=dict[int, Step])
    states: Mapping[int, Step] = field(default_factory=dict[int, Step])

    def event(self, version: int, raw: Raw) -> Raw:
        """An event of that version in this one's shape; raises RecordNewer."""
        return self._moved(self.events, version, raw)

    def state(self, version: int, raw: Raw) -> Raw:
        """An execution of that version in this one's shape; raises RecordNewer."""
        return self._moved(self.states, version, raw)

    def check(self, version: int, engine: str) -> None:
        """Raise RecordNewer for a version above this one, naming the engine that wrote it."""
        if version > self.version:
            raise RecordNewer(
                f"The record has schema {version}, written by engine-mcp {engine or '(unknown)'}; "
                f"this engine reads up to schema {self.version}."
            )

    def _moved(self, steps: Mapping[int, Step], version: int, raw: Raw) -> Raw:
        self.check(version, "")
        for number in range(version, self.version):
            raw = steps[number](raw)
        return raw


SCHEMA = Schema(version=1)
