"""Hostile text: what a summary may not say, since it wants to be obeyed or taken for something else."""

import re

_SIGNS = (
    # Instructions to whoever reads the summary.
    (
        r"\b(?:ignore|disregard|forget|override|bypass)\b[^.\n]{0,40}?\b(?:all|any|the|your|these"
        r"|every|previous|prior|above|earlier|preceding)\b[^.\n]{0,40}?\b(?:instructions?|prompts?|rules?"
        r"|constraints?|guidelines?|messages?|context|notes|pins?)\b"
    ),
    r"\b(?:ignore|disregard|forget) (?:everything|all of (?:this|that|the above)|what (?:was|is|you))\b",
    r"\b(?:new|updated|real|actual|hidden) (?:system )?(?:instructions?|prompt)\b[^\n]{0,20}:",
    r"\byou are now\b|\bfrom now on,? you\b|\bact as (?:a|an|the|if)\b|\bpretend (?:to be|that)\b",
    r"\byour (?:system|developer) (?:prompt|message)|\bsystem override\b",
    r"\b(?:do not|don['\u2019]t|never) (?:tell|inform|mention|reveal)\b[^.\n]{0,30}\b(?:user|human)\b",
    r"\breveal (?:your|the) (?:instructions|prompt|secrets?|keys?)\b",
    # Marks of roles.
    r"^\W{0,8}(?:system|assistant|user|human|developer|tool)\W{0,4}:\s",
    r"<\|[a-z_]{1,30}\|>|\[/?INST\]|<</?SYS>>",
    # Calls of tools.
    r"</?(?:\w{1,20}:)?(?:function_calls?|invoke|tool_use|tool_calls?|(?:tool|function)_results?)\b",
    r"</?(?:system|assistant|user|human|instructions?|thinking)>",
    r"[\"']type[\"']\s{0,8}:\s{0,8}[\"'](?:tool_use|tool_result|function|server_tool_use)[\"']",
    r"[\"'](?:tool_calls|function_call|tool_use_id)[\"']\s{0,8}:",
    # What the engine itself writes around summaries and messages.
    r"^\W{0,8}Pinned \(verbatim\)|^\s{0,8}#{1,6}\s{1,8}Summary of the conversation|\(from the record\)",
    r"^\s{0,8}<<|^\s{0,8}(?:`{3,}|~{3,})\s{0,8}(?:handoff|json|text)\b",
)
_HOSTILE = re.compile("|".join(f"(?:{sign})" for sign in _SIGNS), re.IGNORECASE | re.MULTILINE)

_TAKEN_BACK = re.compile(
    r"\b(?:no longer|not (?:any ?more|true|valid|needed|binding|in force|apply)"
    r"|(?:does|do|did) not (?:apply|hold|count)|lifted|void|voided|obsolete|outdated|repealed|revoked|waived"
    r"|withdrawn|cancell?ed|overrid\w{1,6}|superseded|ignored?|disregard(?:ed)?|wrong|false)\b",
    re.IGNORECASE,
)


def taken_back(rest: str) -> str:
    """The words around a quotation that take back what it says; empty if none do."""
    found = _TAKEN_BACK.search(rest)
    return found[0] if found else ""


def hostile(text: str) -> str:
    """The part of a text that wants to be obeyed or is made to look like another's words; empty if none."""
    found = _HOSTILE.search(text)
    return found[0].strip() if found else ""
