"""`files.write`: puts a file in its place, whole or not at all."""

import base64
import binascii
import errno
import os
import secrets
import stat
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial

import anyio.from_thread
from pydantic import JsonValue

from engine_mcp.core.plan import Mode
from engine_mcp.core.tool import Health, ToolResult, ToolSpec
from engine_mcp.errors import InvalidArgument, StorageError
from engine_mcp.ports import Workbench
from engine_mcp.tools.arguments import ENCODING, PATH, given
from engine_mcp.tools.beneath import FOLDER, Beneath, best, confinement
from engine_mcp.tools.paths import Place, Project, reserved
from engine_mcp.tools.refusals import Denied, ToolFailed, answered, shown

SPARE_BYTES = 4 << 20
LONGEST_CONTENT = 32 << 20
BYTES_PER_S = 50e6
PIECE = 1 << 20
NOT_WRITTEN = ".git"
PRIVATE, ORDINARY = 0o600, 0o666
_WRITE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_READABLE_FOLDER = os.O_RDONLY | os.O_DIRECTORY

_SPEC = ToolSpec(
    name="files.write",
    description=(
        "Write a whole file of the project; returns {path, size, created}. The file is put in its place at "
        "once and durably: after a failure, a crash or a cancel it is what it was before. An existing file "
        "keeps its permissions. Symbolic links inside the project are followed. Nothing is written into .git."
    ),
    input_schema={
        "type": "object",
        "properties": {
            "path": PATH,
            "content": {"type": "string", "maxLength": LONGEST_CONTENT, "description": "All of the file."},
            "encoding": ENCODING,
            "mode": {
                "enum": ["replace", "create"],
                "default": "replace",
                "description": "Whether an existing file is replaced or an error.",
            },
            "make_dirs": {
                "type": "boolean",
                "default": False,
                "description": "Whether missing folders on the way are made.",
            },
        },
        "required": ["path", "content"],
        "additionalProperties": False,
    },
    mode=Mode.WRITE,
    changes=True,
)


@dataclass(frozen=True, slots=True)
class FilesWrite:
    """Writes files; `beneath` is how it opens folders, `spare` how many bytes it leaves free on the disk."""

    beneath: Beneath = best
    spare: int = SPARE_BYTES

    @property
    def spec(self) -> ToolSpec:
        """What scripts call as `files.write(path, content, options)`."""
        return _SPEC

    async def execute(self, arguments: Mapping[str, JsonValue], bench: Workbench) -> ToolResult:
        """Write in a thread."""
        project = Project(bench.tree.root, self.beneath)
        return await answered(partial(_write, project, arguments, self.spare))

    def estimated_s(self, arguments: Mapping[str, JsonValue]) -> float | None:
        """A moment for the disk, and what a slow one takes for the content."""
        return 0.05 + len(given(arguments, "content", "")) / BYTES_PER_S

    async def health(self) -> Health:
        """Whether paths can be confined here."""
        return confinement()


def _write(project: Project, arguments: Mapping[str, JsonValue], spare: int) -> JsonValue:
    path, replaces = given(arguments, "path", ""), given(arguments, "mode", "replace") == "replace"
    content = _content(arguments)
    with project.place(path) as place:
        if reserved(place.parts, NOT_WRITTEN):
            text = f"{shown(path)}: {NOT_WRITTEN} belongs to git, and no tool writes into it."
            raise Denied(text, field="path", hint="Use another path.")
        with _folder(place, make=given(arguments, "make_dirs", default=False)) as folder:
            before = _before(folder, place.name, path, replaces=replaces)
            _check_room(folder, len(content), spare)
            with _temporary(folder, before) as (temporary, descriptor):
                _fill(descriptor, content)
                _put(folder, temporary, place.name, replaces=replaces)
            os.fsync(folder)
    return {"path": place.path, "size": len(content), "created": before is None}


def _content(arguments: Mapping[str, JsonValue]) -> bytes:
    text = given(arguments, "content", "")
    try:
        if given(arguments, "encoding", "utf-8") == "base64":
            return base64.b64decode(text, validate=True)
        return text.encode()
    except binascii.Error as error:
        raise InvalidArgument(f"content is not base64: {error}.", field="content") from error
    except UnicodeEncodeError as error:
        text = f"content holds half of a character at {error.start}, which UTF-8 cannot say."
        raise InvalidArgument(text, field="content") from error


@contextmanager
def _folder(place: Place, *, make: bool) -> Generator[int]:
    """Open the folder of the place, if asked by making it; what was made goes again if the block fails."""
    made: list[int] = []
    try:
        if make:
            _make_folders(place, made)
        with place.folder(_READABLE_FOLDER) as folder:
            yield folder
    except FileNotFoundError as error:
        _unmake_folders(place, made)
        text = f"{shown(place.path)}: the folder it is to stand in does not exist."
        raise ToolFailed(text, field="path", hint="Have it made with make_dirs: true.") from error
    except BaseException:
        _unmake_folders(place, made)
        raise


def _make_folders(place: Place, made: list[int]) -> None:
    for depth in range(len(place.parts) - 1):
        with place.opened(place.parts[:depth], _READABLE_FOLDER) as folder, suppress(FileExistsError):
            os.mkdir(place.parts[depth], dir_fd=folder)
            made.append(depth)
            os.fsync(folder)


def _unmake_folders(place: Place, made: list[int]) -> None:
    for depth in reversed(made):
        # One that is not empty is in use by somebody else by now.
        with suppress(OSError), place.opened(place.parts[:depth], FOLDER) as folder:
            os.rmdir(place.parts[depth], dir_fd=folder)


def _before(folder: int, name: str, path: str, *, replaces: bool) -> os.stat_result | None:
    """The file that is there already; raises an error if it may not be replaced."""
    try:
        found = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(found.st_mode):
        what = "a folder" if stat.S_ISDIR(found.st_mode) else "not a regular file"
        raise ToolFailed(f"{shown(path)} is {what}.", field="path", hint="Use the path of a file.")
    if not replaces:
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path)
    if not os.access(name, os.W_OK, dir_fd=folder, effective_ids=True):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
    return found


def _check_room(folder: int, size: int, spare: int) -> None:
    disk = os.fstatvfs(folder)
    free = disk.f_bavail * disk.f_frsize
    if disk.f_blocks and free < size + spare:  # without blocks nothing is told
        text = f"{size} bytes are to be written; of {free} free bytes, {spare} are to stay free."
        raise StorageError(text, hint="Free space on the file system of the project, then try again.")


@contextmanager
def _temporary(folder: int, before: os.stat_result | None) -> Generator[tuple[str, int]]:
    """A new file beside the place, with the permissions that the file is to have; gone after the block."""
    name = f".engine-mcp-{secrets.token_hex(8)}.tmp"
    descriptor = os.open(name, _WRITE, PRIVATE if before else ORDINARY, dir_fd=folder)
    try:
        try:
            if before is not None:
                _keep_permissions(descriptor, before)
            yield name, descriptor
        finally:
            os.close(descriptor)
    finally:
        with suppress(FileNotFoundError):  # it was put in its place
            os.unlink(name, dir_fd=folder)


def _keep_permissions(descriptor: int, before: os.stat_result) -> None:
    with suppress(PermissionError):  # only the superuser gives files away
        os.fchown(descriptor, before.st_uid, before.st_gid)
    os.fchmod(descriptor, stat.S_IMODE(before.st_mode) & 0o777)


def _fill(descriptor: int, content: bytes) -> None:
    rest = memoryview(content)
    while rest:
        anyio.from_thread.check_cancelled()
        rest = rest[os.write(descriptor, rest[:PIECE]) :]
    os.fsync(descriptor)
    anyio.from_thread.check_cancelled()


def _put(folder: int, temporary: str, name: str, *, replaces: bool) -> None:
    if replaces:
        os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
    else:
        os.link(temporary, name, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)
