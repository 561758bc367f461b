"""What may be asked of an execution that exists already."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from engine_mcp.core.budget import Limits
from engine_mcp.core.plan import StepSpec
from engine_mcp.core.window import WindowLimits


@dataclass(frozen=True, slots=True, kw_only=True)
class Resume:
    """Go on, with these changes; step ids in `approve` and `deny`. `by_itself`: nobody asked, the time came.

    `steps` replaces the steps that are not completed; `from_step` drops the results of that step and
    of all that depend on it into the history and runs them again. `step_budgets` changes the limits that
    it names of steps which are not completed; they go on where they are. `window` changes when
    conversations are reduced. Those of the steps in `summarize` are at their next turn, those in `restore`
    go on with their original messages; empty: of all steps that have one, None: of none.
    """

    budget: Limits = field(default_factory=Limits)
    approve: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()
    runtime: str | None = None
    model: str | None = None
    steps: tuple[StepSpec, ...] = ()
    from_step: str | None = None
    step_budgets: Mapping[str, Limits] = field(default_factory=dict[str, Limits])
    window: WindowLimits = field(default_factory=WindowLimits)
    summarize: tuple[str, ...] | None = None
    restore: tuple[str, ...] | None = None
    by_itself: bool = False

    @property
    def only_answers(self) -> bool:
        """Whether approvals are answered or summaries asked for and no more: what runs can take that too."""
        said = bool(self.approve or self.deny) or self.summarize is not None
        return said and self == Resume(approve=self.approve, deny=self.deny, summarize=self.summarize)
