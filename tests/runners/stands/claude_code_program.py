"""A fake of Claude Code: plays a scenario in stream-json, with the standard library alone."""

import json
import os
import sys

from tests.runners.stands.playing import CHATTY, PIECES, Play

USED = {
    "inputTokens": 1000,
    "outputTokens": 200,
    "cacheReadInputTokens": 50,
    "cacheCreationInputTokens": 70,
    "costUSD": 0.0125,
    "costBasis": "list",
}
VERSIONS = {"wrong_version": "3.0.0"}


def main(play: Play) -> None:
    """Play the scenario."""
    if "--version" in play.argv:
        print(f"{VERSIONS.get(play.scenario, '2.1.329')} (Claude Code)")  # noqa: T201 - what it is for
        return
    if play.argv[:2] == ["auth", "status"]:
        print(json.dumps({"loggedIn": True, "authMethod": "api_key"}))  # noqa: T201 - what it is for
        return
    _Session(play).carry_out()


class _Session:
    """Keeps to sessions as the real one does: an empty transcript can neither go on nor be begun."""

    def __init__(self, play: Play) -> None:
        self._play = play
        flags = play.argv
        self._goes_on = "--resume" in flags
        self._name = flags[flags.index("--resume" if self._goes_on else "--session-id") + 1]
        folder = f"{os.environ['HOME']}/.claude/projects/fake"
        os.makedirs(folder, exist_ok=True)  # noqa: PTH103 - pathlib is slow to load
        self._transcript = f"{folder}/{self._name}.jsonl"

    def carry_out(self) -> None:
        self._opens()
        start, prompt = (json.loads(sys.stdin.readline()) for _ in range(2))
        self._play.begin(f"{start['request']['appendSystemPrompt']}\n{prompt['message']['content']}")
        match self._play.scenario:
            case "garbage":
                self._play.write('no JSON\n[]\n{"type": "result"}\n{"type": 3}\n\n')
            case "silent":
                self._play.hang()
            case "huge":
                self._play.huge()
                self._answers()
            case "chatty":
                self._begins()
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
        there = os.path.exists(self._transcript)  # noqa: PTH110 - pathlib is slow to load
        if self._goes_on and not (there and os.path.getsize(self._transcript)):  # noqa: PTH202 - as above
            refusal = f"No conversation found with session ID: {self._name}"
            self._tell(
                {"type": "result", "subtype": "error_during_execution", "is_error": True, "errors": [refusal]}
            )
            sys.exit(refusal)
        if not self._goes_on and there:
            sys.exit(f"Error: Session ID {self._name} is already in use.")
        with open(self._transcript, "a", encoding="utf-8") as file:  # noqa: PTH123 - pathlib is slow to load
            file.write("{}\n")

    def _answers(self) -> None:
        self._begins()
        for piece in PIECES:
            self._says(piece)
        self._ends()

    def _breaks_off(self) -> None:
        self._begins()
        self._says(PIECES[0])
        match self._play.scenario:
            case "dies":
                self._play.die()
            case "truncated":
                self._play.write('{"type": "result", "subtype": "succ')
            case "mute":
                self._play.mute()
            case "deaf":
                self._play.deaf()
                self._play.sleeper()
                self._play.hang()
            case _:
                self._play.sleeper()
                self._play.hang()

    def _begins(self) -> None:
        self._tell({"type": "system", "subtype": "init", "session_id": self._name})
        self._streams({"type": "message_start", "message": {"id": "msg_1"}})

    def _says(self, text: str) -> None:
        self._streams({"type": "content_block_delta", "delta": {"type": "text_delta", "text": text}})

    def _ends(self) -> None:
        self._tell(
            {
                "type": "result",
                "subtype": "success",
                "is_error": False,
                "result": "".join(PIECES),
                "stop_reason": "end_turn",
                "num_turns": 1,
                "total_cost_usd": 99.0,
                "model_usage_since_last_result": {"claude-opus-5-5": USED},
                "permission_denials": [],
            }
        )
        sys.stdin.read()

    def _streams(self, event: object) -> None:
        self._tell({"type": "stream_event", "parent_tool_use_id": None, "event": event})

    def _tell(self, said: object) -> None:
        self._play.write(json.dumps(said) + "\n")
