"""Passage: what the fallback policy is asked about a step, made from the state and the outlook."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from engine_mcp.core.admission import deadline, is_bound
from engine_mcp.core.breaker import Breaker
from engine_mcp.core.execution import AttemptStatus, Execution, Failure, Step, Switched
from engine_mcp.core.fallback import Case, Fail, Switch, Verdict, after_failure, before_start
from engine_mcp.core.outlook import Outlook
from engine_mcp.core.retry import is_final


@dataclass(frozen=True)
class Ways:
    """The ways of an execution's steps as one decision sees them."""

    execution: Execution
    outlook: Outlook
    now: float

    @cached_property
    def deadline(self) -> float | None:
        """When the execution's time is up, in Unix seconds."""
        return deadline(self.execution, (), self.now, self.outlook)

    @cached_property
    def _switched(self) -> int:
        steps = self.execution.steps.values()
        return sum(bool(switch.code) for step in steps for switch in step.switches)

    def case(self, step: Step) -> Case | None:
        """The case of a step as it stands; None for steps that take no route."""
        choice = step.choice
        if choice is None or choice.route is None:
            return None
        return Case(
            step=step,
            route=choice.route,
            others=choice.others,
            allowed=frozenset(self.execution.plan.fallback),
            breakers=_seen(self.execution, step, self.outlook),
            switches=tuple(switch.domain for switch in step.switches),
            switched=self._switched,
            forced=choice.forced,
            now=self.now,
            deadline=self.deadline,
            key=self.execution.id,
        )


def trial_of(execution_id: str, step_id: str) -> str:
    """Who carries out a trial, as `Outlook.trials` names it."""
    return f"{execution_id}/{step_id}"


def _seen(execution: Execution, step: Step, outlook: Outlook) -> Mapping[str, Breaker]:
    """The breakers without those that this step tries out."""
    mine = trial_of(execution.id, step.spec.id)
    if mine not in outlook.trials.values():
        return outlook.breakers
    return {part: found for part, found in outlook.breakers.items() if outlook.trials.get(part) != mine}


def verdict(case: Case) -> Verdict | None:
    """What follows for a step that could start: from its last attempt if that failed, else from its route."""
    last = case.step.attempt
    failed = case.step.tries and last is not None and last.status is AttemptStatus.FAILED
    return after_failure(case) if failed else before_start(case)


def is_last(execution: Execution, step: Step, failure: Failure, outlook: Outlook, now: float) -> bool:
    """Whether the step fails for good with this failure of its attempt under way."""
    if failure.code == "spending_limit" and is_bound(step):
        return False
    case = Ways(execution, outlook, now).case(step)
    if case is None:
        return is_final(step, failure)
    return isinstance(after_failure(replace(case, failure=failure)), Fail)


def switched(step: Step, switch: Switch, now: float) -> Switched:
    """The change of route as the record keeps it."""
    if step.choice is None or step.choice.route is None:
        raise ValueError(f"The step {step.spec.id!r} has no route to switch from.")
    failure = step.attempts[-1].failure if step.attempts else None
    return Switched(
        at=now,
        origin=step.choice.route,
        to=switch.to,
        domain=switch.domain,
        code=failure.code if failure is not None and step.tries else "",
        why=switch.why,
    )
