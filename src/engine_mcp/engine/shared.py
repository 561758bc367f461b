"""What all executions of an engine share: places, limits, and what is known to be broken."""

from dataclasses import dataclass, field

import anyio

from engine_mcp.core.budget import Limits
from engine_mcp.engine.accounts import Accounts
from engine_mcp.engine.circuits import Circuits
from engine_mcp.engine.left_holds import LeftHolds
from engine_mcp.engine.mending import Mender
from engine_mcp.engine.parts import EngineOptions, Parts
from engine_mcp.engine.places import Places


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """`executions` are the places to run, `steps` those for attempts; `caps` limit each execution.

    `mender` settles what nobody drives, `left` what dead processes hold.
    """

    executions: anyio.CapacityLimiter
    steps: Places
    accounts: Accounts
    circuits: Circuits
    mender: Mender
    left: LeftHolds
    caps: Limits = field(default_factory=Limits)


def shared_by(parts: Parts, options: EngineOptions) -> Shared:
    """What the executions of an engine with these parts share."""
    accounts = Accounts(parts.ledger, parts.store, parts.clock)
    mender = Mender(parts, accounts)
    return Shared(
        executions=anyio.CapacityLimiter(options.executions),
        steps=Places(options.steps, parts.pressure),
        accounts=accounts,
        circuits=Circuits(parts.breakers, parts.clock),
        mender=mender,
        left=LeftHolds(mender, parts.clock),
        caps=options.caps,
    )
