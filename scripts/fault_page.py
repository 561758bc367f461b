"""The reference of faults, from the table of treatments and the numbers beside the rules."""

from engine_mcp.core import breaker as br
from engine_mcp.core.execution import Failure
from engine_mcp.core.fallback import MOST_SWITCHES, PATIENCE_S
from engine_mcp.core.plan import StepSpec
from engine_mcp.core.retry import FIRST_DELAY_S, LONGEST_DELAY_S, LONGEST_WAIT_S, tries_allowed
from engine_mcp.core.route import Domain
from engine_mcp.core.treatment import NEVER_ENDS, TREATMENTS, FallBack, Treatment, Trip
from engine_mcp.engine.warden import REPEATS
from scripts.markdown import table

TRIES = StepSpec(id="any").max_attempts
"""What a step gets that does not say `max_attempts`."""
DOMAINS = {
    Domain.HARNESS: ("the runtime: its program, or how it was started", "the same runtime"),
    Domain.ENDPOINT: ("the address that answers for the models", "the same address"),
    Domain.POOL: ("the account that pays: a key, a plan or a login", "the same account"),
    Domain.MODEL: ("the model", "the same model at the same address"),
    Domain.HOST: ("this machine: its network, its disk, its sandbox", "any route"),
    Domain.REQUEST: ("what was asked; it would be refused elsewhere too", ""),
    Domain.POLICY: ("nothing: somebody decided", ""),
    Domain.TASK: ("the work itself", ""),
}
"""What each domain is, and which routes have their part of it in common."""
ROUNDS = {
    FallBack.NEVER: "no",
    FallBack.AT_ONCE: "at once",
    FallBack.AFTER_RETRIES: "after these tries",
    FallBack.IF_LONG: "after these tries, at once if the wait is long",
}
UNITS = ((3600, "hour"), (60, "minute"), (1, "second"))


def lasting(seconds: float) -> str:
    """Write a time in the largest unit that it is a whole number of."""
    size, unit = next(each for each in UNITS if seconds % each[0] == 0)
    count = int(seconds // size)
    return f"{count} {unit}" if count == 1 else f"{count} {unit}s"


def tries(code: str, rule: Treatment) -> str:
    """Write how many tries there are here, and how many if there is no other way."""
    most = tries_allowed(code, TRIES)
    here = most if rule.tries is None else min(most, 1 + rule.tries)
    return str(most) if rule.fall_back is FallBack.NEVER or here == most else f"{here}, else {most}"


def tripped(code: str, rule: Treatment) -> str:
    """Write what the failure does to a breaker."""
    match rule.trip:
        case Trip.NOTHING:
            return ""
        case Trip.COUNT:
            return "counts"
        case Trip.COOLDOWN:
            return f"opens for as long as was asked for, else {_opened(code, rule)}"
        case Trip.AT_ONCE if rule.pause == "quota":
            return f"opens until the quota resets, where that is not known for {_opened(code, rule)}"
        case Trip.AT_ONCE:
            which = f" with failure {1 + rule.tries} in a row" if rule.tries else ""
            return f"opens{which} {_until(code, rule)}"


def round_it(rule: Treatment) -> str:
    """Write when another route is taken, and what is waited for where there is none."""
    return ROUNDS[rule.fall_back] + (f"; else it pauses (`{rule.pause}`)" if rule.pause else "")


def _until(code: str, rule: Treatment) -> str:
    found = _opened(code, rule)
    return f"for {found}" if found else "until somebody resumes"


def _opened(code: str, rule: Treatment) -> str:
    """How long a breaker stays open that this failure opens; empty if that does not end by itself."""
    held: br.Breaker | None = None
    while held is None or held.state is br.BreakerState.CLOSED:
        held = br.counted(held, "part", Failure(code, ""), rule, 0.0)
    return "" if held.retry_at is None else lasting(held.retry_at)


def codes() -> str:
    """Write what is done about each code, by what it says is broken."""
    rows = [
        (f"`{code}`", rule.domain, tries(code, rule), round_it(rule), tripped(code, rule))
        for domain in Domain
        for code, rule in TREATMENTS.items()
        if rule.domain is domain
    ]
    return table(("Code", "Broken", "Tries", "Another route", "Breaker"), rows)


def domains() -> str:
    """Write what can be broken."""
    return table(("Domain", "What it is", "Shared by"), [(f"`{name}`", *DOMAINS[name]) for name in Domain])


def page() -> str:
    """Write the whole page."""
    return f"{_table()}\n{_rules()}"


def _table() -> str:
    return f"""# What is done about faults

Each failure of an attempt has a code, and each code one treatment, whatever the runtime. What the codes mean
stands in [the list of errors](../errors.md), how to deal with faults in [a guide](../how-to/faults.md).

## What can be broken

Another route helps only if it does not share what is broken.

{domains()}

## The treatments

*Tries* are all tries on one route, the first among them, for a step with the usual `max_attempts` of {TRIES};
a second number holds where there is no other route. An attempt that used up its share of a limit
(`spending_limit`) is no failed try: the step goes on with what is left, or the execution pauses.

{codes()}

These codes are never the end of an attempt: {", ".join(f"`{code}`" for code in sorted(NEVER_ENDS))}.
"""


def _rules() -> str:
    return f"""## The numbers

- Before another try there is a pause of {lasting(FIRST_DELAY_S)}, then twice as long each time, up to
  {lasting(LONGEST_DELAY_S)}; chance takes off up to half of it. Who asks for a longer pause gets it.
- A wait is long if it takes more than {lasting(PATIENCE_S)}, or would end after the limit on seconds. An
  account that asks for more than {lasting(LONGEST_WAIT_S)} is not waited for: the execution pauses.
- A step leaves each domain once; failures of one execution lead to {MOST_SWITCHES} changes of route at most.
- A breaker opens after {br.FAILURES} failures in a row that count, within {lasting(br.WITHIN_S)}. It stays
  open for {lasting(br.OPEN_S)}, and twice as long with each attempt that shows the part still broken, up to
  {lasting(br.LONGEST_OPEN_S)}.
- When its time is over, one attempt goes through and the others wait for how that goes. One that says nothing
  for {lasting(br.TRIAL_S)} is not waited for any longer.
- The same call, made {REPEATS} times in a row with the same arguments, ends an attempt with `no_progress`.
"""
