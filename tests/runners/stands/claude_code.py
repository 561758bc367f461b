"""Claude Code in front of the contract, as a fake program that speaks its stream-json."""

from engine_mcp.core.budget import Usage
from engine_mcp.ports import Runner
from engine_mcp.runners.claude_code import ClaudeCodeRunner
from tests.runners.stands.stand import Place, Scenario

SESSION = "5a0a55f0-6d2e-5c7b-a111-0123456789ab"
GRACE_S = 0.5


class ClaudeCodeStand:
    """Fulfils `Stand`."""

    name = "claude-code"
    scenarios = frozenset(Scenario)
    program = True
    used = Usage(
        tokens_in=1000,
        tokens_out=200,
        cache_read=50,
        cache_write=70,
        requests=1,
        cost_micros=12_500,
        cost_basis="reported",
    )
    opens = None
    session = SESSION
    streams = True
    huge = None

    def runner(self, scenario: Scenario, place: Place, stall_s: float) -> Runner:
        """Set it up."""
        if scenario is not Scenario.MISSING:
            place.install("claude", "claude_code_program", scenario)
        return ClaudeCodeRunner(environ=place.environ(), stall_s=stall_s, grace_s=GRACE_S)


STANDS = (ClaudeCodeStand(),)
