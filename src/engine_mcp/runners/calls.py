"""Tool calls that a runtime makes by itself, as digests that tell whether one is repeated."""

import hashlib
import json

from pydantic import JsonValue


def called(name: str, arguments: JsonValue) -> str:
    """The digest of a call: the same for the same name and arguments, in whatever order their keys stand."""
    told = json.dumps(arguments, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(f"{name}\n{told}".encode()).hexdigest()
