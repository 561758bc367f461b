"""Make the vocabulary of the package from the one that is published: `python -m scripts.vocabulary FILE`.

FILE is `cl100k_base.tiktoken`, a line for each token: its bytes in base64, and its rank. It is refused
unless its digest is the published one. What is printed belongs into `engine_mcp.context.vocabulary`.
"""

import hashlib
import lzma
import sys
from base64 import b64decode
from pathlib import Path

from engine_mcp.context.vocabulary import FILE

PUBLISHED = "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7"
PACKED = [{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "lc": 4, "pb": 0}]


def content(plain: bytes) -> bytes:
    """The tokens of a plain file in the order of their ranks: the lengths of all, then the tokens."""
    pairs = [line.split() for line in plain.splitlines()]
    tokens = [b64decode(token) for token, _ in sorted(pairs, key=lambda pair: int(pair[1]))]
    return bytes(len(token) for token in tokens) + b"".join(tokens)


def main() -> int:
    """Write the file of the package; 1 where the plain one is not the one that was published."""
    plain = Path(sys.argv[1]).read_bytes()
    if hashlib.sha256(plain).hexdigest() != PUBLISHED:
        print(f"{sys.argv[1]} is not the file that was published.", file=sys.stderr)
        return 1
    found = content(plain)
    FILE.write_bytes(lzma.compress(found, filters=PACKED))
    print(hashlib.sha256(found).hexdigest())
    return 0


if __name__ == "__main__":
    sys.exit(main())
