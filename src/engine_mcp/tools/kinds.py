"""What kinds of thing a folder can hold, as the tools tell them."""

import stat


def kind_of(mode: int) -> str:
    """The kind that a mode says: file, directory, symlink, or other for FIFOs, sockets and devices."""
    if stat.S_ISREG(mode):
        return "file"
    if stat.S_ISDIR(mode):
        return "directory"
    return "symlink" if stat.S_ISLNK(mode) else "other"
