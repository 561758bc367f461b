"""An estimate of tokens without a vocabulary, for where that cannot be read."""

import re

_PIECE = re.compile(
    r" ?[A-Z]?[a-zß-öø-ÿ]{1,4}"  # English words are mostly one token, German ones are not
    r"| ?[A-Z]{1,2}"
    r"|[0-9]{1,2}"
    r"|[\u0400-\u04ff]{1,2}"
    r"| ?([!-/:-@\[-`{-~])\1{0,3}"
    r"|\s{1,16}"
    r"|."
)
_WIDE = re.compile(r"[\u0800-\U0010ffff]")
_WIDEST = re.compile(r"[\U00010000-\U0010ffff]")


def estimated(text: str) -> int:
    """About how many tokens of cl100k_base a text has, from its kinds of characters alone.

    A token is up to four letters of a word or two capitals, two digits, a mark, a stretch of blanks, or
    two Cyrillic letters; any other character is one, of three bytes in UTF-8 two and of four bytes four.
    It is rather too much, by a tenth to a half for code, prose, JSON and logs: too much only has a
    conversation reduced a little earlier, too little would have a request refused. Base64 is about a fifth
    more, and letters without sense are up to twice as many.
    """
    pieces = sum(1 for _ in _PIECE.finditer(text))
    if text.isascii():
        return pieces
    return pieces + len(_WIDE.findall(text)) + 2 * len(_WIDEST.findall(text))
