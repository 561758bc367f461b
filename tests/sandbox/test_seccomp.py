import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine_mcp.sandbox.seccomp import (
    ALLOW,
    JUMP_IF_ANY_BIT,
    JUMP_IF_AT_LEAST,
    JUMP_IF_EQUAL,
    KILL_PROCESS,
    LOAD,
    MACHINES,
    PROT_EXEC,
    RETURN,
    X32_BIT,
    program,
)

PID = 4711
CONDITIONAL = {"mmap", "mprotect", "prlimit64", "tgkill"}
OTHER_MACHINE = 0x40000003


def verdict(steps: bytes, audit: int, number: int, arguments: tuple[int, ...] = ()) -> int:
    """What the kernel would do: the few instructions of BPF that the filter uses, carried out."""
    facts = struct.pack("=IIQ6Q", number, audit, 0, *arguments, *([0] * (6 - len(arguments))))
    held, at = 0, 0
    while True:
        code, yes, no, constant = struct.unpack_from("=HBBI", steps, at * 8)
        at += 1
        match code:
            case 0x20:
                (held,) = struct.unpack_from("=I", facts, constant)
            case 0x15:
                at += yes if held == constant else no
            case 0x35:
                at += yes if held >= constant else no
            case 0x45:
                at += yes if held & constant else no
            case _:
                assert code == RETURN
                return constant


def test_the_instructions_are_those_the_simulation_knows() -> None:
    assert (LOAD, JUMP_IF_EQUAL, JUMP_IF_AT_LEAST, JUMP_IF_ANY_BIT) == (0x20, 0x15, 0x35, 0x45)


@pytest.mark.parametrize("machine", MACHINES)
def test_each_call_of_the_list_is_allowed_and_its_neighbours_kill(machine: str) -> None:
    steps, known = program(PID, machine), MACHINES[machine]
    assert steps is not None
    allowed = set(known.numbers.values())
    for number in range(600):
        arguments = (PID,) if number == known.numbers["tgkill"] else ()
        expected = ALLOW if number in allowed else KILL_PROCESS
        assert verdict(steps, known.audit, number, arguments) == expected, number


@given(st.sampled_from(sorted(MACHINES)), st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1))
def test_the_conditions_hold_for_any_argument(machine: str, first: int, third: int) -> None:
    steps, known = program(PID, machine), MACHINES[machine]
    assert steps is not None
    expected = {
        "mmap": not third & PROT_EXEC,
        "mprotect": not third & PROT_EXEC,
        "prlimit64": first == 0,
        "tgkill": first == PID,
    }
    assert expected.keys() == CONDITIONAL
    for name, allowed in expected.items():
        found = verdict(steps, known.audit, known.numbers[name], (first, 0, third))
        assert found == (ALLOW if allowed else KILL_PROCESS), name


@pytest.mark.parametrize("machine", MACHINES)
def test_calls_in_the_way_of_another_machine_kill(machine: str) -> None:
    steps, known = program(PID, machine), MACHINES[machine]
    assert steps is not None
    assert verdict(steps, OTHER_MACHINE, known.numbers["read"]) == KILL_PROCESS
    assert verdict(steps, known.audit, known.numbers["read"] | X32_BIT) == KILL_PROCESS


def test_every_machine_allows_the_same_calls() -> None:
    names = [set(machine.numbers) for machine in MACHINES.values()]
    assert all(found == names[0] for found in names)


def test_a_machine_whose_numbers_are_unknown_has_no_filter() -> None:
    assert program(PID, "mips") is None
