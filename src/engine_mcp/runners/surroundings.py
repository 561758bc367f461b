"""Surroundings: what a child sees of the engine's environment, by allow-list."""

import shutil
from collections.abc import Iterable, Mapping

ALWAYS = (
    *("PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LC_*", "TZ", "TERM", "TMPDIR", "XDG_*"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "NODE_EXTRA_CA_CERTS"),
    *("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"),
)


def surroundings(given: Mapping[str, str], names: Iterable[str]) -> dict[str, str]:
    """What `ALWAYS` and `names` let through of `given`; a `*` at the end of a name stands for any rest."""
    allowed = (*ALWAYS, *names)
    exact = {name for name in allowed if not name.endswith("*")}
    prefixes = tuple(name[:-1] for name in allowed if name.endswith("*"))
    return {name: value for name, value in given.items() if name in exact or name.startswith(prefixes)}


def found(name: str, given: Mapping[str, str]) -> str | None:
    """Where a program lies, with the PATH of `given` and no other."""
    return shutil.which(name, path=given.get("PATH", ""))
