"""What the place of the records is like: local or on the network, and how full."""

from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Protocol

import psutil

LOW_BYTES = 256 << 20
_NETWORK = frozenset(
    {"9p", "afpfs", "afs", "beegfs", "ceph", "cifs", "davfs", "glusterfs", "gpfs", "lustre", "ncpfs", "nfs"}
    | {"nfs4", "orangefs", "smb2", "smb3", "smbfs", "webdav"}
)


class Partition(Protocol):
    """A mounted file system."""

    @property
    def mountpoint(self) -> str:
        """Where it is mounted."""
        ...

    @property
    def fstype(self) -> str:
        """Its kind, as the kernel names it."""
        ...


def kind(path: Path, partitions: Iterable[Partition]) -> str:
    """The kind of the file system that `path` lies on; empty if none of the partitions holds it."""
    holding = sorted((len(part.mountpoint), part.fstype) for part in partitions if _holds(part, path))
    return holding[-1][1] if holding else ""


def _holds(part: Partition, path: Path) -> bool:
    return path.is_relative_to(part.mountpoint)


def is_network(fstype: str) -> bool:
    """Whether file systems of this kind are reached over a network, so that locks may not hold."""
    return fstype in _NETWORK or fstype.startswith(("fuse.sshfs", "fuse.rclone", "fuse.s3", "fuse.gcs"))


@cache
def network(path: Path) -> str:
    """The kind of the file system if it is a network one, else nothing."""
    try:
        found = kind(path.resolve(), psutil.disk_partitions(all=True))
    except OSError:
        return ""
    return found if is_network(found) else ""


def concerns(root: Path, far: str, index_fallback: str) -> tuple[str, ...]:
    """What somebody should know about the place of the records, a sentence each.

    `far` is the kind of its network file system, `index_fallback` why there is no index on disk.
    """
    return tuple(filter(None, (_far(root, far), _full(root), _without_index(index_fallback))))


def _far(root: Path, fstype: str) -> str:
    return fstype and (
        f"{root} lies on a network file system ({fstype}): its locks may not keep two processes from "
        "driving one execution. Keep the records on a local disk."
    )


def _full(root: Path) -> str:
    place = next(path for path in (root, *root.parents) if path.is_dir())
    free = psutil.disk_usage(str(place)).free
    return f"Only {free >> 20} MiB are free at {root}." if free < LOW_BYTES else ""


def _without_index(fallback: str) -> str:
    return fallback and f"The index cannot be used ({fallback}): every list reads every record."
