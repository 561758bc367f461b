"""What a test may not leave behind."""

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import psutil

CHILD_GRACE_S = 5.0


def open_descriptors() -> dict[int, str]:
    """What this process has open, by descriptor, where the kernel tells; elsewhere nothing."""
    folder = Path("/proc/self/fd")
    found: dict[int, str] = {}
    for link in folder.iterdir() if folder.is_dir() else ():
        try:
            found[int(link.name)] = str(link.readlink())
        except FileNotFoundError:  # the descriptor that reads the folder itself
            continue
    return found


@contextmanager
def leaving_nothing(child_grace_s: float = CHILD_GRACE_S) -> Generator[None]:
    """Raise AssertionError if the block leaves a child process or an open descriptor.

    Children get a short grace, because a killed process takes a moment to disappear; descriptors
    get none.
    """
    me = psutil.Process()
    children, descriptors = set(me.children(recursive=True)), open_descriptors()
    yield
    new = set(me.children(recursive=True)) - children
    _, alive = psutil.wait_procs(new, timeout=child_grace_s)
    assert not alive, f"children left behind: {alive}"
    left = {fd: name for fd, name in open_descriptors().items() if descriptors.get(fd) != name}
    assert not left, f"descriptors left open: {left}"
