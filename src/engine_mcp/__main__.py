"""The command `engine-mcp`, also as `python -m engine_mcp`."""

import os
import signal
import sys
from types import FrameType

INTERRUPTED = 4


def main() -> None:
    """Carry out the command line of this process, and exit with its code."""
    if signal.getsignal(signal.SIGINT) != signal.SIG_IGN:
        signal.signal(signal.SIGINT, _stop)
    from engine_mcp.cli.entry import call  # noqa: PLC0415 - Ctrl-C while it is imported is Ctrl-C too

    code = call(sys.argv[1:])
    if code == INTERRUPTED:
        # Python ends itself by SIGINT where a KeyboardInterrupt passed through its `exec`, handled or not.
        os._exit(code)
    sys.exit(code)


def _stop(number: int, frame: FrameType | None) -> None:
    """End at once: whoever has something to save takes over the signal first."""
    del number, frame
    os.write(sys.stderr.fileno(), b"Stopped.\n")
    os._exit(INTERRUPTED)


if __name__ == "__main__":
    main()
