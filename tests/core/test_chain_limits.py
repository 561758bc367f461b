"""A chain of roles keeps to what its request may have."""

from engine_mcp.core.plan import Draft, Mode, Permissions, StrategyName
from engine_mcp.core.script import ScriptLimits
from engine_mcp.core.strategy import plan


def test_every_role_of_a_chain_has_the_limits_and_permissions_of_the_request() -> None:
    limits, permissions = ScriptLimits(wall_s=5, memory_mb=16), Permissions(mode=Mode.NONE)
    draft = Draft(path="/", task="do it", strategy=StrategyName.MULTI, limits=limits, permissions=permissions)
    assert {(spec.limits, spec.permissions) for spec in plan(draft).steps} == {(limits, permissions)}
