"""What fake programs share. They run with the standard library alone, and start quickly."""

import os
import signal
import sys
import time

SLEEP_S = 600
PIECES = ("Hello from ", "the fake.")
REASON = "the fake broke its leg"
HUGE = 20 << 20
CHATTY = 2000


class Play:
    """One run of a fake: its scenario, and where it notes what it saw."""

    def __init__(self, root: str, scenario: str) -> None:
        self._root = root
        self.scenario = scenario
        self.argv = sys.argv[1:]

    def note(self, name: str, text: str) -> None:
        """Leave a note for the test, whole or not at all."""
        path = f"{self._root}/notes/{name}"
        with open(f"{path}.new", "w", encoding="utf-8") as file:  # noqa: PTH123 - pathlib is slow to load
            file.write(text)
        os.rename(f"{path}.new", path)  # noqa: PTH104 - pathlib is slow to load

    def begin(self, prompt: str) -> None:
        """Note the prompt and what else a test wants to know."""
        self.note("argv", "\n".join(self.argv))
        self.note("environ", "\n".join(f"{name}={value}" for name, value in sorted(os.environ.items())))
        self.note("cwd", os.getcwd())  # noqa: PTH109 - pathlib is slow to load
        self.note("prompt", prompt)

    def known(self, session: str) -> bool:
        """Whether an earlier run has noted that it began this session."""
        return os.path.exists(f"{self._root}/notes/session-{session}")  # noqa: PTH110 - as above

    def write(self, text: str) -> None:
        """Write to stdout at once."""
        sys.stdout.write(text)
        sys.stdout.flush()

    def huge(self) -> None:
        """Write a line of HUGE bytes."""
        self.write("x" * HUGE + "\n")

    def die(self) -> None:
        """Say why on stderr, and exit with 3."""
        sys.stderr.write(f"{REASON}\n")
        sys.exit(3)

    def mute(self) -> None:
        """Close stdout and stderr, and hang."""
        nothing = os.open(os.devnull, os.O_WRONLY)
        for stream in (1, 2):
            os.dup2(nothing, stream)
        self.hang()

    def deaf(self) -> None:
        """Take no notice of polite signals any more."""
        for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)

    def held(self) -> None:
        """Start a process that holds stdout open, and writes empty lines to it."""
        line = "while :; do echo; sleep 0.2; done"
        os.posix_spawnp("sh", ["sh", "-c", line], os.environ, setsid=True)

    def hang(self) -> None:
        """Do nothing for longer than any test lasts."""
        time.sleep(SLEEP_S)

    def sleeper(self) -> None:
        """Start a process in a session of its own, deaf to polite signals, and note its pid."""
        pid = os.posix_spawnp(
            "sh", ["sh", "-c", f"trap '' HUP INT TERM; sleep {SLEEP_S} & wait"], os.environ, setsid=True
        )
        self.note("sleeper", str(pid))
