"""Routes: where an attempt may go, and the failure domains in which it can break there."""

from dataclasses import dataclass
from enum import StrEnum


class Domain(StrEnum):
    """What an error says is broken."""

    HARNESS = "harness"
    ENDPOINT = "endpoint"
    POOL = "pool"
    MODEL = "model"
    HOST = "host"
    REQUEST = "request"
    POLICY = "policy"
    TASK = "task"


class Allowed(StrEnum):
    """What a plan lets a fallback leave."""

    FAMILY = "family"
    POOL = "pool"
    TIER = "tier"


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """Runtime, endpoint, quota pool and model; `family` holds the runtimes that can replace each other.

    `pool` names the account that pays, without telling its key. `tier` is that of the model, which the
    runtime itself calls `asks_for`; `priced` says whether what it costs will be known.
    """

    runtime: str
    family: str = ""
    endpoint: str = ""
    pool: str = ""
    model: str | None = None
    tier: str = ""
    asks_for: str | None = None
    priced: bool = True

    def part(self, domain: Domain) -> str:
        """What of this route lies in a failure domain, as a name that others on the same part share.

        Empty for domains that belong to no route, and for what nobody can tell.
        """
        match domain:
            case Domain.HARNESS:
                return f"harness {self.runtime}"
            case Domain.ENDPOINT:
                return f"endpoint {self.endpoint}" if self.endpoint else ""
            case Domain.POOL:
                return f"pool {self.pool}" if self.pool else ""
            case Domain.MODEL:
                return f"model {self.model or 'default'} at {self.endpoint or self.runtime}"
            case Domain.HOST:
                return "host"
            case Domain.REQUEST | Domain.POLICY | Domain.TASK:
                return ""
