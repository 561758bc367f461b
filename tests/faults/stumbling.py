"""A fake of Claude Code that pays for a turn and then stumbles; runs with the standard library alone."""

import json
import sys

from tests.runners.stands.playing import Play

USED = {"inputTokens": 700, "outputTokens": 90, "costUSD": 0.0075, "costBasis": "list"}
COST_MICROS = 7500
TOKENS = 790
RESETS_AT = 1_800_007_200
ENDS = {
    "crash": {"errors": ["TypeError: undefined is not a function"]},
    "overloaded": {"result": "API Error: Overloaded", "api_error_status": 529},
    "refused": {"result": "This request appears to violate our Usage Policy."},
    "quota": {"result": "You've hit your session limit"},
    "401": {"result": "Invalid API key", "api_error_status": 401},
}


def main(play: Play, how: str) -> None:
    """Play one way to fail; `gone` is a program that breaks off without a word of why."""
    if "--version" in play.argv:
        play.write("2.1.329 (Claude Code)\n")
        return
    if play.argv[:2] == ["auth", "status"]:
        play.write(json.dumps({"loggedIn": True, "authMethod": "api_key"}))
        return
    start, prompt = (json.loads(sys.stdin.readline()) for _ in range(2))
    play.begin(f"{start['request']['appendSystemPrompt']}\n{prompt['message']['content']}")
    play.note(f"run-{len(play.argv)}", "ran")
    flags = play.argv
    session = flags[flags.index("--resume" if "--resume" in flags else "--session-id") + 1]
    _tell(play, {"type": "system", "subtype": "init", "session_id": session})
    if how == "gone":
        sys.exit(139)
    if how == "quota":
        limit = {"status": "rejected", "resetsAt": RESETS_AT, "rateLimitType": "five_hour"}
        _tell(play, {"type": "rate_limit_event", "rate_limit_info": limit})
    _tell(
        play,
        {
            "type": "result",
            "subtype": "success" if "result" in ENDS[how] else "error_during_execution",
            "is_error": True,
            "num_turns": 1,
            "total_cost_usd": USED["costUSD"],
            "model_usage_since_last_result": {"claude-opus-5-5": USED},
            "permission_denials": [],
            **ENDS[how],
        },
    )
    sys.exit(1)


def _tell(play: Play, said: object) -> None:
    play.write(json.dumps(said) + "\n")
