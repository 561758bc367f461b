"""The system calls a child may make: a filter that kills the process at any other.

The numbers are the kernel's, per machine: arch/x86/entry/syscalls/syscall_64.tbl and, for aarch64,
include/uapi/asm-generic/unistd.h. On any other machine there is no filter, and that is reported.
"""

import platform
import struct
from collections.abc import Iterator, Mapping
from typing import NamedTuple

PROT_EXEC = 0x4
ALLOW = 0x7FFF0000
KILL_PROCESS = 0x80000000
X32_BIT = 0x40000000

LOAD = 0x20  # BPF_LD | BPF_W | BPF_ABS
JUMP_IF_EQUAL = 0x15  # BPF_JMP | BPF_JEQ | BPF_K
JUMP_IF_AT_LEAST = 0x35  # BPF_JMP | BPF_JGE | BPF_K
JUMP_IF_ANY_BIT = 0x45  # BPF_JMP | BPF_JSET | BPF_K
RETURN = 0x06  # BPF_RET | BPF_K

NUMBER_AT, MACHINE_AT, ARGUMENTS_AT = 0, 4, 16

Instruction = tuple[int, int, int, int]


class Machine(NamedTuple):
    """How one kind of machine numbers its system calls; `audit` is its name in the filter."""

    audit: int
    numbers: Mapping[str, int]


MACHINES: Mapping[str, Machine] = {
    "x86_64": Machine(
        0xC000003E,
        {
            "read": 0,
            "write": 1,
            "mmap": 9,
            "mprotect": 10,
            "munmap": 11,
            "brk": 12,
            "rt_sigaction": 13,
            "rt_sigprocmask": 14,
            "rt_sigreturn": 15,
            "mremap": 25,
            "madvise": 28,
            "setitimer": 38,
            "getpid": 39,
            "sendto": 44,
            "recvfrom": 45,
            "exit": 60,
            "gettimeofday": 96,
            "getrusage": 98,
            "gettid": 186,
            "futex": 202,
            "restart_syscall": 219,
            "clock_gettime": 228,
            "exit_group": 231,
            "tgkill": 234,
            "prlimit64": 302,
        },
    ),
    "aarch64": Machine(
        0xC00000B7,
        {
            "read": 63,
            "write": 64,
            "exit": 93,
            "exit_group": 94,
            "futex": 98,
            "setitimer": 103,
            "clock_gettime": 113,
            "restart_syscall": 128,
            "tgkill": 131,
            "rt_sigaction": 134,
            "rt_sigprocmask": 135,
            "rt_sigreturn": 139,
            "getrusage": 165,
            "gettimeofday": 169,
            "getpid": 172,
            "gettid": 178,
            "sendto": 206,
            "recvfrom": 207,
            "brk": 214,
            "munmap": 215,
            "mremap": 216,
            "mmap": 222,
            "mprotect": 226,
            "madvise": 233,
            "prlimit64": 261,
        },
    ),
}


def program(pid: int, machine: str = "") -> bytes | None:
    """Write the filter for the process `pid` as BPF; None for a machine whose numbers are not known."""
    known = MACHINES.get(machine or platform.machine())
    if known is None:
        return None
    return b"".join(struct.pack("=HBBI", *step) for step in _steps(known, pid))


def _steps(machine: Machine, pid: int) -> Iterator[Instruction]:
    yield (LOAD, 0, 0, MACHINE_AT)
    yield (JUMP_IF_EQUAL, 1, 0, machine.audit)
    yield (RETURN, 0, 0, KILL_PROCESS)
    yield (LOAD, 0, 0, NUMBER_AT)
    yield (JUMP_IF_AT_LEAST, 0, 1, X32_BIT)
    yield (RETURN, 0, 0, KILL_PROCESS)
    # Its own limits only; its own signals only (abort); no memory that is both written and run.
    conditions: Mapping[str, tuple[int, Instruction]] = {
        "prlimit64": (0, (JUMP_IF_EQUAL, 0, 1, 0)),
        "tgkill": (0, (JUMP_IF_EQUAL, 0, 1, pid)),
        "mmap": (2, (JUMP_IF_ANY_BIT, 1, 0, PROT_EXEC)),
        "mprotect": (2, (JUMP_IF_ANY_BIT, 1, 0, PROT_EXEC)),
    }
    for name, number in machine.numbers.items():
        if name in conditions:
            argument, condition = conditions[name]
            yield (JUMP_IF_EQUAL, 0, 4, number)
            yield (LOAD, 0, 0, ARGUMENTS_AT + 8 * argument)
            yield condition
            yield (RETURN, 0, 0, ALLOW)
            yield (RETURN, 0, 0, KILL_PROCESS)
        else:
            yield (JUMP_IF_EQUAL, 0, 1, number)
            yield (RETURN, 0, 0, ALLOW)
    yield (RETURN, 0, 0, KILL_PROCESS)
