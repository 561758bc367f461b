"""Each layer is worth its place: without it something is allowed, or goes on, that it stops."""

import os
import sys
from dataclasses import dataclass

import pytest

from engine_mcp.core.script import Outcome, Script, ScriptLimits
from engine_mcp.errors import SandboxUnavailable
from engine_mcp.sandbox.layers import ALL_LAYERS, Layer
from engine_mcp.sandbox.pool import SandboxOptions, SandboxPool
from engine_mcp.sandbox.stock import StockOptions
from tests.sandbox.attacks import ATTACKS
from tests.sandbox.hosts import run
from tests.sandbox.siege import siege

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.usefixtures("warm_loop", "no_leaks"),
    pytest.mark.skipif(sys.platform != "linux", reason="the layers are Linux's"),
]

AS_ROOT = pytest.param(False, id="root", marks=pytest.mark.skipif(os.geteuid() != 0, reason="needs root"))
AS_USER = pytest.param(True, id="user", marks=pytest.mark.skipif(os.geteuid() != 0, reason="needs root"))
AS_IS = pytest.param(False, id="self", marks=pytest.mark.skipif(os.geteuid() == 0, reason="is root"))
# What no engine can interrupt: one native loop of many seconds.
NATIVE_LOOP = "return new Array(1e9).join('xxxxxxxx').length"


@dataclass(frozen=True, slots=True)
class Mutation:
    """A layer, the attack that it stops, and which other layers would stop that too."""

    layer: Layer
    attack: str
    others: frozenset[Layer] = frozenset()
    as_user: bool = False


MUTATIONS = (
    Mutation(Layer.SECCOMP, "keep_key"),
    Mutation(Layer.SECCOMP, "map_code"),
    Mutation(Layer.SECCOMP, "limit_server", as_user=True),
    Mutation(Layer.LANDLOCK, "make_directory", frozenset({Layer.SECCOMP})),
    Mutation(Layer.LANDLOCK, "signal_server", frozenset({Layer.SECCOMP}), as_user=True),
    Mutation(Layer.RLIMITS, "make_sockets", frozenset({Layer.SECCOMP})),
    Mutation(Layer.RLIMITS, "fork", frozenset({Layer.SECCOMP})),
    Mutation(Layer.NETNS, "send_udp", frozenset({Layer.SECCOMP, Layer.RLIMITS})),
    Mutation(Layer.NETNS, "connect_tcp", frozenset({Layer.SECCOMP, Layer.RLIMITS, Layer.LANDLOCK})),
    Mutation(Layer.UID, "become_root", frozenset({Layer.SECCOMP})),
    Mutation(Layer.UID, "trace_server", frozenset({Layer.SECCOMP, Layer.LANDLOCK})),
    Mutation(
        Layer.NO_NEW_PRIVS, "become_root_by_file", frozenset({Layer.SECCOMP, Layer.RLIMITS, Layer.LANDLOCK})
    ),
    Mutation(Layer.UNDUMPABLE, "trace_zygote", frozenset({Layer.SECCOMP, Layer.NETNS}), as_user=True),
)


@pytest.mark.crash
@pytest.mark.req("000:1.4.2", "SPEC:5.hardened-child")
@pytest.mark.parametrize("as_user", [AS_ROOT, AS_USER, AS_IS])
async def test_no_attack_by_native_code_is_allowed(*, as_user: bool) -> None:
    with siege(as_user=as_user) as attackers:
        found = await attackers.attempts(list(ATTACKS), ALL_LAYERS)
    assert {name: became for name, became in found.items() if became == "allowed"} == {}
    assert len(found) >= 20


@pytest.mark.crash
@pytest.mark.parametrize("as_user", [AS_ROOT])
async def test_without_any_layer_every_attack_is_allowed(*, as_user: bool) -> None:
    with siege(as_user=as_user) as attackers:
        found = await attackers.attempts(list(ATTACKS), frozenset())
    assert {name: became for name, became in found.items() if became != "allowed"} == {}


@pytest.mark.crash
@pytest.mark.req("000:L287")
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda it: f"{it.layer}-{it.attack}")
async def test_a_layer_that_is_off_lets_an_attack_in(mutation: Mutation) -> None:
    held = ALL_LAYERS - mutation.others
    with siege(as_user=mutation.as_user) as attackers:
        assert await attackers.attempt(mutation.attack, held) in {"refused", "killed"}
        assert await attackers.attempt(mutation.attack, held - {mutation.layer}) == "allowed"


@pytest.mark.req("000:L287", "000:1.1.2")
@pytest.mark.parametrize(
    ("layers", "outcome"),
    [
        (ALL_LAYERS, Outcome.CPU_LIMIT),
        (ALL_LAYERS - {Layer.RLIMITS}, Outcome.CPU_LIMIT),
        (ALL_LAYERS - {Layer.CPU_TIMER}, Outcome.CPU_LIMIT),
        (ALL_LAYERS - {Layer.CPU_TIMER, Layer.RLIMITS}, Outcome.TIMEOUT),
    ],
    ids=["all", "timer", "kernel-limit", "neither"],
)
async def test_a_native_loop_ends_by_timer_or_kernel_and_else_only_by_the_clock(
    layers: frozenset[Layer], outcome: Outcome
) -> None:
    limits = ScriptLimits(memory_mb=12_000, cpu_s=0.1, wall_s=4.0)
    async with SandboxPool(SandboxOptions(stock=StockOptions(layers=layers))) as pool:
        result = await run(pool, Script(code=NATIVE_LOOP, limits=limits))
    assert result.outcome is outcome, result


async def test_what_holds_is_reported_with_every_result() -> None:
    async with SandboxPool() as pool:
        isolation = (await run(pool, "return 1")).isolation
    assert isolation.process
    assert isolation.rlimits
    assert isolation.no_new_privs
    assert isolation.uid != 0


@pytest.mark.parametrize(
    "layer", [Layer.SECCOMP, Layer.LANDLOCK, Layer.NETNS, Layer.RLIMITS, Layer.NO_NEW_PRIVS]
)
async def test_a_layer_that_is_off_is_reported_and_the_script_runs(layer: Layer) -> None:
    stock = StockOptions(layers=ALL_LAYERS - {layer})
    async with SandboxPool(SandboxOptions(stock=stock)) as pool:
        result = await run(pool, "return 1")
    assert result.value == "1"
    assert not getattr(result.isolation, layer.value)


async def test_a_required_layer_that_does_not_hold_is_a_refusal() -> None:
    stock = StockOptions(
        layers=ALL_LAYERS - {Layer.SECCOMP}, require=frozenset({Layer.SECCOMP, Layer.RLIMITS})
    )
    async with SandboxPool(SandboxOptions(stock=stock)) as pool:
        with pytest.raises(SandboxUnavailable, match="not held: seccomp"):
            await run(pool, "return 1")


@pytest.mark.skipif(os.geteuid() != 0, reason="the user who runs this may lack namespaces")
async def test_all_layers_can_be_required_where_they_hold() -> None:
    stock = StockOptions(require=ALL_LAYERS)
    async with SandboxPool(SandboxOptions(stock=stock)) as pool:
        assert (await run(pool, "return 1")).value == "1"
