"""Models: which tiers and names there are, and what each is called on each runtime."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches

from engine_mcp.core.choice import Tier
from engine_mcp.errors import UnknownModel


@dataclass(frozen=True, slots=True, kw_only=True)
class Models:
    """The models there are.

    `tiers` and `names` give the id of a tier or of a name (aliases among them) by runtime; `patterns`
    are regular expressions by runtime for ids that are taken as they are.
    """

    tiers: Mapping[Tier, Mapping[str, str]] = field(default_factory=dict[Tier, Mapping[str, str]])
    names: Mapping[str, Mapping[str, str]] = field(default_factory=dict[str, Mapping[str, str]])
    patterns: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])

    def of_tier(self, tier: Tier, runtime: str) -> str | None:
        """The id of a tier's model on a runtime; None leaves the choice to the runtime."""
        return self.tiers.get(tier, {}).get(_family(runtime))

    def named(self, wanted: str, runtime: str) -> str:
        """The id of a model by its name or id; raises UnknownModel with the nearest known name."""
        family = _family(runtime)
        ids = self.names.get(wanted.casefold(), {})
        if family in ids:
            return ids[family]
        if wanted in self.ids(family) or self._fits(wanted, family):
            return wanted
        known = sorted({name for name, ids in self.names.items() if family in ids})
        near = get_close_matches(wanted.casefold(), known, n=1)
        hint = f"Did you mean {near[0]!r}?" if near else f"There are {', '.join(known) or 'none'}."
        text = f"No model of {runtime} is named {wanted!r}."
        raise UnknownModel(text, field="model", hint=f"{hint} Others can be declared in the settings.")

    def _fits(self, wanted: str, runtime: str) -> bool:
        patterns = self.patterns.get(runtime, ())
        return wanted.isprintable() and any(re.fullmatch(pattern, wanted) for pattern in patterns)

    def ids(self, runtime: str) -> frozenset[str]:
        """The ids that are known on a runtime."""
        tables = (*self.names.values(), *self.tiers.values())
        return frozenset(ids[runtime] for ids in tables if runtime in ids)


def _family(runtime: str) -> str:
    """The runtime without the name of a template: `command` for `command:codex`."""
    return runtime.partition(":")[0]
