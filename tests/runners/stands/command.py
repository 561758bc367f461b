"""The stands of the runner for any CLI: one for each way to read what it writes."""

from dataclasses import dataclass

from pydantic import JsonValue

from engine_mcp.core.budget import Usage
from engine_mcp.ports import Runner
from engine_mcp.runners.command import CommandRunner
from engine_mcp.runners.command_template import load
from tests.runners.stands.command_fake import SESSION
from tests.runners.stands.stand import Place, Scenario, Stand

ALL = frozenset(Scenario) - {Scenario.WRONG_VERSION}
MODES: JsonValue = {"none": [], "read": [], "write": []}
TEXT: dict[str, JsonValue] = {"argv": ["fake-cli", "text"], "modes": MODES}
JSON: dict[str, JsonValue] = {
    "argv": ["fake-cli", "json", "--file", "{prompt_file}"],
    "modes": MODES,
    "prompt": "file",
    "output": "json",
    "answer": "response",
    "session": "session_id",
    "usage": {
        "tokens_in": "stats.models.*.tokens.prompt",
        "tokens_out": "stats.models.*.tokens.candidates",
        "cache_read": "stats.models.*.tokens.cached",
        "cached_is_input": True,
    },
}
NDJSON: dict[str, JsonValue] = {
    "argv": ["fake-cli", "ndjson"],
    "resume": ["fake-cli", "ndjson", "--resume", "{session}"],
    "modes": MODES,
    "output": "ndjson",
    "select": {"type": "item", "item.type": "text"},
    "answer": "item.text",
    "joined": True,
    "done": {"type": "end"},
    "session": "thread_id",
    "usage": {
        "tokens_in": "usage.in",
        "tokens_out": "usage.out",
        "cache_read": "usage.cached",
        "cost_usd": "usage.usd",
    },
    "cumulative": True,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandStand:
    name: str
    template: dict[str, JsonValue]
    scenarios: frozenset[Scenario]
    used: Usage
    opens: str | None = None
    session: str | None = None
    streams: bool = False
    huge: str | None = None
    program: bool = True

    def runner(self, scenario: Scenario, place: Place, stall_s: float) -> Runner:
        if scenario is not Scenario.MISSING:
            place.install("fake-cli", "command_fake", scenario)
        template = load(self.template)
        return CommandRunner("command", template, environ=place.environ(), stall_s=stall_s, grace_s=1)


STANDS: tuple[Stand, ...] = (
    CommandStand(
        name="command-text",
        template=TEXT,
        scenarios=ALL - {Scenario.GARBAGE, Scenario.TRUNCATED, Scenario.CHATTY},
        used=Usage(requests=1, cost_basis="unpriced"),
        huge="output_too_large",
    ),
    CommandStand(
        name="command-json",
        template=JSON,
        scenarios=ALL - {Scenario.CHATTY},
        used=Usage(tokens_in=600, tokens_out=200, cache_read=400, requests=1, cost_basis="unpriced"),
        opens=SESSION,
        huge="output_too_large",
    ),
    CommandStand(
        name="command-ndjson",
        template=NDJSON,
        scenarios=ALL,
        used=Usage(
            tokens_in=1000,
            tokens_out=200,
            cache_read=400,
            requests=1,
            cost_micros=250_000,
            cost_basis="reported",
        ),
        opens=SESSION,
        session="5f0e0000-0000-5000-a000-000000000001",
        streams=True,
    ),
)
