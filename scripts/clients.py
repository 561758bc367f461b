"""The real clients that the tests drive: installed once, at pinned versions, outside the project.

`python -m scripts.clients` installs what `tests/clients/pinned.toml` names into the user's cache, if it
is not there yet, and prints the folder of its commands. Where that cannot be done it says why, on stderr
and in a note that the skipped tests show, and still ends with success: a machine without npm can run all
other tests.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

PINNED = Path(__file__).resolve().parents[1] / "tests" / "clients" / "pinned.toml"
INSTALL_LIMIT_S, START_LIMIT_S = 900, 120


class Unavailable(Exception):
    """The clients cannot be installed here; its text says why."""


@dataclass(frozen=True, slots=True)
class Client:
    """A command line client: the command it installs, its npm package, and the version wanted."""

    command: str
    package: str
    version: str


@dataclass(frozen=True, slots=True)
class Place:
    """Where the clients of these versions are kept."""

    root: Path
    clients: tuple[Client, ...]

    @property
    def folder(self) -> Path:
        """The folder of this very set of versions."""
        return self.root / "_".join(f"{client.command}-{client.version}" for client in self.clients)

    @property
    def commands(self) -> Path:
        """The folder of the commands."""
        return self.folder / "node_modules" / ".bin"

    @property
    def note(self) -> Path:
        """The file that says why they are not there, after an attempt to install them that failed."""
        return self.root / f"{self.folder.name}.unavailable"

    def absence(self) -> str | None:
        """Why there is nothing to test with; None if there is."""
        if self.folder.is_dir():
            return None
        if self.note.is_file():
            return self.note.read_text(encoding="utf-8").strip()
        return "the clients are not installed: run `make test-clients`"


def pinned(environment: Mapping[str, str] = os.environ) -> Place:
    """The place of the pinned clients, in the cache folder of the user."""
    entries = tomllib.loads(PINNED.read_text(encoding="utf-8"))
    cache = Path(
        environment.get("XDG_CACHE_HOME") or Path(environment.get("HOME", "~")).expanduser() / ".cache"
    )
    clients = (Client(command, entry["package"], entry["version"]) for command, entry in entries.items())
    return Place(cache / "engine-mcp" / "clients", tuple(clients))


def install(place: Place, npm: str | None) -> None:
    """Install the clients into their place, all of them or none.

    Raises Unavailable where that cannot be done.
    """
    if npm is None or shutil.which("node") is None:
        raise Unavailable("the clients are not installed: Node and npm are not on the PATH")
    place.root.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=place.root, prefix=".new-", ignore_cleanup_errors=True) as scratch:
        new = Place(Path(scratch), place.clients)
        new.folder.mkdir()
        wanted = {client.package: client.version for client in place.clients}
        manifest = {"name": "engine-mcp-clients", "private": True, "dependencies": wanted}
        (new.folder / "package.json").write_text(json.dumps(manifest, indent=2), encoding="utf-8")
        _run([npm, "install", "--no-audit", "--no-fund", "--loglevel=error"], new.folder, INSTALL_LIMIT_S)
        for client in place.clients:
            _check(client, new)
        try:
            new.folder.rename(place.folder)
        except OSError:
            if not place.folder.is_dir():  # else another installation was faster
                raise


def _check(client: Client, place: Place) -> None:
    command = [str(place.commands / client.command), "--version"]
    told = _run(command, place.folder, START_LIMIT_S, HOME=str(place.root))
    if client.version not in told:
        raise Unavailable(f"{client.package} {client.version} was installed, but says it is {told!r}")


def _run(command: list[str], folder: Path, limit_s: float, **more: str) -> str:
    """The output of a command, which has to work."""
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env={**os.environ, **more},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=limit_s,
            check=True,
        )
    except subprocess.CalledProcessError as error:
        words = (error.stderr or error.stdout).strip()[-1500:]
        raise Unavailable(f"the clients are not installed: `{' '.join(command)}` failed: {words}") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unavailable(f"the clients are not installed: {error}") from error
    return done.stdout.strip()


def main() -> None:
    """Install what is missing, and tell where it is or why it is not."""
    place = pinned()
    if not place.folder.is_dir():
        try:
            install(place, shutil.which("npm"))
        except Unavailable as error:
            place.root.mkdir(parents=True, exist_ok=True)
            place.note.write_text(f"{error}\n", encoding="utf-8")
            print(f"WARNING: THE TESTS WITH REAL CLIENTS WILL BE SKIPPED: {error}", file=sys.stderr)
            return
        place.note.unlink(missing_ok=True)
    print(place.commands)


if __name__ == "__main__":
    main()
