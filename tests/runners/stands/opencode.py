"""OpenCode in front of the contract, as a fake program that speaks its JSON events."""

from engine_mcp.core.budget import Usage
from engine_mcp.ports import Runner
from engine_mcp.runners.opencode import OpenCodeRunner
from tests.runners.stands.opencode_program import SESSION
from tests.runners.stands.stand import Place, Scenario

GRACE_S = 2.0


class OpenCodeStand:
    """Fulfils `Stand`."""

    name = "opencode"
    scenarios = frozenset(Scenario)
    program = True
    used = Usage(
        tokens_in=1000,
        tokens_out=230,
        cache_read=50,
        cache_write=70,
        requests=1,
        cost_micros=12_500,
        cost_basis="reported",
    )
    opens = SESSION
    session = SESSION
    streams = True
    huge = None

    def runner(self, scenario: Scenario, place: Place, stall_s: float) -> Runner:
        """Set it up."""
        if scenario is not Scenario.MISSING:
            place.install("opencode", "opencode_program", scenario)
        return OpenCodeRunner(environ=place.environ(), stall_s=stall_s, grace_s=GRACE_S)


STANDS = (OpenCodeStand(),)
