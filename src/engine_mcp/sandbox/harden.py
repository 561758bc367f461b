"""What the zygote and its children take away from themselves.

Each function tries one layer and tells whether it holds: a kernel that lacks it, or a container that
forbids it, is a fact to report and no error. The zygote's layers are inherited by every child.
"""

import ctypes
import os
import resource
import signal
import struct
import sys
from contextlib import suppress
from typing import NamedTuple

from engine_mcp.sandbox.layers import Layer
from engine_mcp.sandbox.seccomp import program

NOBODY = 65534
NICENESS = 10

PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS = 1, 4, 22, 38
SECCOMP_MODE_FILTER = 2
CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000
CAPSET = {"x86_64": 126, "aarch64": 91}
CAPABILITY_VERSION_3 = 0x20080522
LANDLOCK_CREATE_RULESET, LANDLOCK_RESTRICT_SELF = 444, 446
LANDLOCK_CREATE_RULESET_VERSION = 1

NOTHING_ALLOWED = ("NOFILE", "NPROC", "FSIZE", "CORE", "MEMLOCK")

LINUX = sys.platform == "linux"
_libc = ctypes.CDLL(None, use_errno=True)


class Confinement(NamedTuple):
    """What holds for a zygote and all its children; `landlock` is the version of its interface, or 0."""

    uid: int
    no_new_privs: bool
    netns: bool
    landlock: int


def confine(layers: frozenset[Layer]) -> Confinement:
    """Take the zygote's layers, in the one order in which each still can be taken."""
    netns = Layer.NETNS in layers and unshare(CLONE_NEWNET)
    if Layer.UID in layers and os.geteuid() == 0:
        become(NOBODY)
    uid = os.geteuid()
    if Layer.NETNS in layers and not netns:
        netns = unshare(CLONE_NEWUSER | CLONE_NEWNET)
    if Layer.UID in layers:
        drop_capabilities()
    no_new_privs = Layer.NO_NEW_PRIVS in layers and prctl(PR_SET_NO_NEW_PRIVS, 1)
    landlock = restrict_files() if Layer.LANDLOCK in layers else 0
    if Layer.UNDUMPABLE in layers:
        prctl(PR_SET_DUMPABLE, 0)
    return Confinement(uid, no_new_privs, netns, landlock)


def become(uid: int) -> None:
    """Give up root for good; stays root where the kernel does not know `uid`, as in some containers."""
    with suppress(PermissionError):
        os.setgroups([])
    with suppress(OSError):
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)


def die_with(parent: int, layers: frozenset[Layer]) -> None:
    """Be killed when the thread of `parent` that forked this process ends. A change of uid undoes it."""
    if Layer.DEATH_SIGNAL in layers:
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def forbid_resources() -> bool:
    """Allow no new descriptor, process, file, core dump or locked memory."""
    for name in NOTHING_ALLOWED:
        number: int | None = getattr(resource, f"RLIMIT_{name}", None)
        if number is not None:
            resource.setrlimit(number, (0, 0))
    return True


def filter_calls() -> bool:
    """Allow the few system calls of `seccomp.program`; any other kills this process."""
    steps = program(os.getpid()) if LINUX else None
    if steps is None:
        return False
    text = ctypes.create_string_buffer(steps, len(steps))
    wanted = struct.pack("@HP", len(steps) // 8, ctypes.addressof(text))
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.c_char_p(wanted))


def restrict_files() -> int:
    """Allow no path, no TCP port, no signal beyond the domain; gives Landlock's version, 0 without it."""
    if not LINUX:
        return 0
    version = int(_libc.syscall(LANDLOCK_CREATE_RULESET, None, 0, LANDLOCK_CREATE_RULESET_VERSION))
    if version < 1:
        return 0
    rules = _everything(version)
    descriptor = int(_libc.syscall(LANDLOCK_CREATE_RULESET, rules, len(rules), 0))
    if descriptor < 0:
        return 0
    restricted = int(_libc.syscall(LANDLOCK_RESTRICT_SELF, descriptor, 0)) == 0
    os.close(descriptor)
    return version if restricted else 0


def _everything(version: int) -> bytes:
    """`struct landlock_ruleset_attr` with every right that this version can take away."""
    rights = {1: 13, 2: 14, 3: 15, 4: 15}.get(version, 16)
    files, tcp, scopes = (1 << rights) - 1, 0b11, 0b11
    match version:
        case 1 | 2 | 3:
            return struct.pack("=Q", files)
        case 4 | 5:
            return struct.pack("=QQ", files, tcp)
        case _:
            return struct.pack("=QQQ", files, tcp, scopes)


def drop_capabilities() -> bool:
    """Give up what a new user namespace grants within itself."""
    number = CAPSET.get(os.uname().machine)
    if not LINUX or number is None:
        return False
    return int(_libc.syscall(number, struct.pack("=Ii", CAPABILITY_VERSION_3, 0), bytes(24))) == 0


def unshare(flags: int) -> bool:
    """Leave the namespaces of the server."""
    return LINUX and int(_libc.unshare(flags)) == 0


def prctl(option: int, first: object, second: object = 0) -> bool:
    """Ask the kernel for one property of this process."""
    if not LINUX:
        return False
    arguments = [ctypes.c_ulong(part) if isinstance(part, int) else part for part in (first, second, 0, 0)]
    return int(_libc.prctl(option, *arguments)) == 0
