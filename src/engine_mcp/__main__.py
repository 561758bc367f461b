"""The command `engine-mcp`, also as `python -m engine_mcp`."""

import sys


def main() -> None:
    """Carry out the command line of this process, and exit with its code."""
    try:
        from engine_mcp.cli.entry import call  # noqa: PLC0415 - Ctrl-C during the imports is no reason for a traceback
    except KeyboardInterrupt:
        sys.exit(4)
    sys.exit(call(sys.argv[1:]))


if __name__ == "__main__":
    main()
