"""A fake of OpenCode: plays a scenario in JSON events, with the standard library alone."""

import json
import os
import sys

from tests.runners.stands.playing import CHATTY, PIECES, Play

SESSION = "ses_e0fake00000000000000000001"
TOKENS = {"input": 1000, "output": 200, "reasoning": 30, "cache": {"read": 50, "write": 70}}
VERSIONS = {"wrong_version": "0.15.0"}
CONFIG = {"mcp": {"of-the-user": {"type": "local", "command": ["engine-mcp"]}}}


def main(play: Play) -> None:
    """Play the scenario, or answer a question."""
    match play.argv:
        case ["--version"]:
            play.write(f"{VERSIONS.get(play.scenario, '1.18.33')}\n")
        case ["debug", "config"]:
            play.write(json.dumps(CONFIG))
        case ["models"]:
            play.write("opencode/big-pickle\nfake/m1\n")
        case _:
            _Run(play).carry_out()


class _Run:
    def __init__(self, play: Play) -> None:
        self._play = play

    def carry_out(self) -> None:
        self._play.begin(sys.stdin.read())
        self._play.note("config", os.environ["OPENCODE_CONFIG_CONTENT"])
        self._opens()
        match self._play.scenario:
            case "garbage":
                self._play.write('no JSON\n[]\n{"type": "text"}\n{"type": 3, "sessionID": null}\n\n')
            case "silent":
                self._play.hang()
            case "huge":
                self._play.huge()
                self._answers()
            case "chatty":
                self._tell("step_start")
                for number in range(CHATTY):
                    self._says(f"{number} ")
                self._ends()
            case "held":
                self._play.held()
                self._answers()
            case "says":
                self._answers()
            case _:
                self._breaks_off()

    def _opens(self) -> None:
        """Keep to sessions as the real one does: what was never begun cannot go on."""
        kept = f"{os.environ['HOME']}/{SESSION}"
        goes_on = any(argument.startswith("--session=") for argument in self._play.argv)
        if goes_on and not (f"--session={SESSION}" in self._play.argv and os.path.exists(kept)):  # noqa: PTH110 - pathlib is slow to load
            sys.exit("\x1b[91m\x1b[1mError: \x1b[0mSession not found")
        with open(kept, "w", encoding="utf-8"):  # noqa: PTH123 - pathlib is slow to load
            return

    def _answers(self) -> None:
        self._tell("step_start")
        for piece in PIECES:
            self._says(piece)
        self._ends()

    def _breaks_off(self) -> None:
        self._tell("step_start")
        self._says(PIECES[0])
        match self._play.scenario:
            case "dies":
                self._play.die()
            case "truncated":
                self._play.write('{"type": "step_finish", "sess')
            case "mute":
                self._play.mute()
            case "deaf":
                self._play.deaf()
                self._play.sleeper()
                self._play.hang()
            case _:
                self._play.sleeper()
                self._play.hang()

    def _says(self, text: str) -> None:
        self._tell("text", type="text", text=text)

    def _ends(self) -> None:
        self._tell("step_finish", type="step-finish", reason="stop", tokens=TOKENS, cost=0.0125)

    def _tell(self, kind: str, **part: object) -> None:
        event = {"type": kind, "timestamp": 1795224635685, "sessionID": SESSION, "part": part}
        self._play.write(json.dumps(event) + "\n")
