"""Canaries: what is said in a conversation, and what of it must be there, or gone, after any summary."""

from dataclasses import dataclass

from engine_mcp.core.context.pin import PinKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Canary:
    """One thing that is said; `role` says it, in the order of `said`.

    `name` is the type in the table of survival. `survives` are values that must be found word for word,
    `gone` words that must not be found any more.
    """

    name: str
    kind: PinKind
    said: tuple[str, ...]
    survives: tuple[str, ...]
    gone: tuple[str, ...] = ()
    role: str = "user"


CANARIES = (
    Canary(
        name="constraint",
        kind=PinKind.CONSTRAINT,
        said=("Before we begin: never write to the table `billing_events`, not even in tests.",),
        survives=("never write to the table `billing_events`",),
    ),
    Canary(
        name="constraint",
        kind=PinKind.CONSTRAINT,
        said=("Use at most 7 connections to the replica. The nightly export must be over by 04:15.",),
        survives=("at most 7 connections to the replica", "must be over by 04:15"),
    ),
    Canary(
        name="decision",
        kind=PinKind.DECISION,
        said=("I looked at both. I chose msgpack because the payloads hold raw bytes.",),
        survives=("chose msgpack because the payloads hold raw bytes",),
        role="assistant",
    ),
    Canary(
        name="decision",
        kind=PinKind.DECISION,
        said=("We decided to keep the old endpoint for one more release.",),
        survives=("keep the old endpoint for one more release",),
    ),
    Canary(
        name="path",
        kind=PinKind.PATH,
        said=(
            "The handler that needs the change lives in services/intake/Handlers/retry_queue.py, I found.",
        ),
        survives=("services/intake/Handlers/retry_queue.py",),
        role="assistant",
    ),
    Canary(
        name="path",
        kind=PinKind.PATH,
        said=("Compare it with /etc/gateway/routes.d/20-legacy.conf on the host.",),
        survives=("/etc/gateway/routes.d/20-legacy.conf",),
    ),
    Canary(
        name="id",
        kind=PinKind.ID,
        said=("This is about ticket QUARK-4711, deployed with 9f3c2ab81d.",),
        survives=("QUARK-4711", "9f3c2ab81d"),
    ),
    Canary(
        name="id",
        kind=PinKind.ID,
        said=("The trace was 6f1c0f6e-3a52-4b0e-9c41-0d6b8f2e7a15, from yesterday.",),
        survives=("6f1c0f6e-3a52-4b0e-9c41-0d6b8f2e7a15",),
        role="assistant",
    ),
    Canary(
        name="number",
        kind=PinKind.NUMBER,
        said=("With the new index the query went from 840 ms down to 37 ms over 5,200 rows.",),
        survives=("840 ms", "37 ms", "5,200 rows"),
        role="assistant",
    ),
    Canary(
        name="number",
        kind=PinKind.NUMBER,
        said=("The upload we saw failing had 23.5 MB and cost us $0.0413 each time.",),
        survives=("23.5 MB", "$0.0413"),
    ),
    Canary(
        name="error",
        kind=PinKind.ERROR,
        said=("The worker died with `KeyError: 'tenant_region'` twice.",),
        survives=("KeyError: 'tenant_region'",),
    ),
    Canary(
        name="error",
        kind=PinKind.ERROR,
        said=("Here is what it printed:\n```\nfatal: refusing to merge unrelated histories\n```",),
        survives=("fatal: refusing to merge unrelated histories",),
        role="assistant",
    ),
    Canary(
        name="preference",
        kind=PinKind.PREFERENCE,
        said=("I prefer tables over long paragraphs.",),
        survives=("prefer tables over long paragraphs",),
    ),
    Canary(
        name="preference",
        kind=PinKind.PREFERENCE,
        said=("Please always give distances in kilometres.",),
        survives=("always give distances in kilometres",),
    ),
    Canary(
        name="command",
        kind=PinKind.COMMAND,
        said=("To see it, run `make smoke REGION=eu-3 -j2` in the checkout.",),
        survives=("make smoke REGION=eu-3 -j2",),
    ),
    Canary(
        name="open",
        kind=PinKind.OPEN,
        said=("- [ ] rotate the signing key of the staging bucket\n- [ ] tell the support team",),
        survives=("rotate the signing key of the staging bucket", "tell the support team"),
    ),
    Canary(
        name="fact",
        kind=PinKind.FACT,
        said=("The primary region is ap-southeast-7.", "queue_depth_limit = 12000"),
        survives=("ap-southeast-7", "queue_depth_limit = 12000"),
    ),
    Canary(
        name="superseded value",
        kind=PinKind.FACT,
        said=("gateway_port = 8080", "gateway_port = 9090"),
        survives=("gateway_port = 9090",),
        gone=("8080",),
    ),
    Canary(
        name="superseded value",
        kind=PinKind.FACT,
        said=(
            "The release deadline is Friday the 9th.",
            "Update: the release deadline moved to Monday the 12th.",
        ),
        survives=("Monday the 12th",),
        gone=("Friday the 9th",),
    ),
    Canary(
        name="superseded value",
        kind=PinKind.DECISION,
        said=("Use Memcached for the sessions.", "We decided to use Valkey instead of Memcached."),
        survives=("use Valkey instead of Memcached",),
        gone=("Use Memcached",),
    ),
    Canary(
        name="near-duplicate",
        kind=PinKind.FACT,
        said=("The port of the intake service is 7101.", "The port of the audit service is 7102."),
        survives=("intake service is 7101", "audit service is 7102"),
    ),
    Canary(
        name="near-duplicate",
        kind=PinKind.CONSTRAINT,
        said=("Never restart node-11 during the day.", "Never restart node-12 during the day."),
        survives=("Never restart node-11", "Never restart node-12"),
    ),
)
