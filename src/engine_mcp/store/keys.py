"""Idempotency keys: which execution holds which, one small file each, claimed under a lock."""

import fcntl
import json
import os
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path

from engine_mcp.errors import IdempotencyConflict
from engine_mcp.store.disk import Disk, opened, put

_LOCK = "lock"


class Keys:
    """The claims of a project. A claim whose execution does not exist is void."""

    def __init__(self, disk: Disk, folder: Path, exists: Callable[[str], bool]) -> None:
        """Keep claims in `folder`, which is made by the first one."""
        self._disk = disk
        self._folder = folder
        self._exists = exists

    def holder(self, key: str) -> str | None:
        """The execution that holds the key."""
        try:
            claim = json.loads(self._path(key).read_bytes())
            execution_id = str(claim["execution"])
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None
        return execution_id if self._exists(execution_id) else None

    @contextmanager
    def claimed(self, key: str, execution_id: str) -> Generator[None]:
        """Claim the key for an execution that the block creates; raises IdempotencyConflict or OSError."""
        with self._locked():
            if held := self.holder(key):
                raise IdempotencyConflict(f"The key {key!r} belongs to the execution {held}.")
            put(self._disk, self._path(key), json.dumps({"key": key, "execution": execution_id}).encode())
            self._disk.sync_folder(self._folder)
            yield

    def sweep(self) -> None:
        """Remove the void claims."""
        if not self._folder.is_dir():
            return
        with self._locked():
            for path in self._folder.iterdir():
                if path.name != _LOCK and self._void(path):
                    self._disk.unlink(path)

    def _void(self, path: Path) -> bool:
        try:
            return not self._exists(str(json.loads(path.read_bytes())["execution"]))
        except (ValueError, KeyError, TypeError):
            return True

    def _path(self, key: str) -> Path:
        return self._folder / sha256(key.encode("utf-8", "surrogatepass")).hexdigest()

    @contextmanager
    def _locked(self) -> Generator[None]:
        if not self._folder.is_dir():
            with suppress(FileExistsError):
                self._disk.mkdir(self._folder)
            self._disk.sync_folder(self._folder.parent)
        with opened(self._disk, self._folder / _LOCK, os.O_RDWR | os.O_CREAT) as descriptor:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
