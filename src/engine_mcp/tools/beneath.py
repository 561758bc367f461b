"""Opening what lies beneath a directory without following a single symbolic link.

Two ways to do the same: one call of the kernel where it has `openat2`, else component by component.
Whoever swaps a component for a link between two looks makes either fail, never leave the directory.
"""

import ctypes
import errno
import os
import stat
import struct
import sys
from collections.abc import Callable
from functools import cache

from engine_mcp.core.tool import Health

OPENAT2 = 437  # one number on every architecture but alpha
RESOLVE_NO_MAGICLINKS, RESOLVE_NO_SYMLINKS, RESOLVE_BENEATH = 0x02, 0x04, 0x08
RESOLVE = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS

FOLDER = os.O_DIRECTORY | (os.O_PATH if sys.platform == "linux" else os.O_RDONLY)
"""Flags to open a folder only in order to go on from it; it need not be readable."""

_LINK_ERRORS = frozenset({errno.ELOOP, errno.ENOTDIR, errno.EMLINK})
_NEEDED = frozenset({os.open, os.stat, os.readlink, os.mkdir, os.rmdir, os.rename, os.link, os.unlink})
_libc = ctypes.CDLL(None, use_errno=True)

Beneath = Callable[[int, str, int], int]
"""(directory, path, flags) → descriptor. The path is relative, without `..`.

Raises OSError, with ELOOP where a component is a symbolic link.
"""


def by_kernel(directory: int, path: str, flags: int) -> int:
    """Open in one call of `openat2`, which Linux has since 5.6."""
    how = struct.pack("=QQQ", flags | os.O_CLOEXEC, 0, RESOLVE)
    while True:
        opened = _libc.syscall(OPENAT2, directory, os.fsencode(path), how, len(how))
        if opened >= 0:
            return opened
        if (number := ctypes.get_errno()) != errno.EINTR:
            raise OSError(number, os.strerror(number), path)


def by_steps(directory: int, path: str, flags: int) -> int:
    """Open one component after another, each relative to the one before and none of them a link."""
    *folders, last = path.split("/")
    at = os.dup(directory)
    try:
        for name in folders:
            inner = _step(name, FOLDER, at)
            os.close(at)
            at = inner
        return _step(last, flags, at)
    finally:
        os.close(at)


def _step(name: str, flags: int, at: int) -> int:
    try:
        return os.open(name, flags | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=at)
    except OSError as error:
        if error.errno in _LINK_ERRORS and stat.S_ISLNK(os.lstat(name, dir_fd=at).st_mode):
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), name) from error
        raise


def best(directory: int, path: str, flags: int) -> int:
    """Open in the way that this machine allows; the kernel's own if it can be had."""
    return (by_kernel if has_openat2() else by_steps)(directory, path, flags)


@cache
def has_openat2() -> bool:
    """Whether the kernel has `openat2` and lets this process use it."""
    if sys.platform != "linux":
        return False
    root = os.open("/", FOLDER | os.O_CLOEXEC)
    try:
        os.close(by_kernel(root, ".", FOLDER))
    except OSError:  # ENOSYS from an old kernel, EPERM from a container's filter
        return False
    finally:
        os.close(root)
    return True


def confinement() -> Health:
    """Whether paths can be confined on this machine, and how."""
    if not (os.supports_dir_fd >= _NEEDED and os.scandir in os.supports_fd):
        return Health(
            usable=False,
            detail="This system has no operations relative to an open directory.",
            remedy="Run the engine on Linux or macOS.",
        )
    how = "by the kernel, with openat2" if has_openat2() else "by the engine, one component at a time"
    return Health(usable=True, detail=f"Paths are confined {how}.")
