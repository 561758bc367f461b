"""Values: the paths, ids, numbers with units and commands that a text holds."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from engine_mcp.core.context.pin import PinKind

LONGEST_VALUE = 300
_URL = re.compile(r"\bhttps?://[^\s\"'`<>()\[\]{}|*,;]{1,300}")
_TOKEN = re.compile(r"[^\s\"'`,;()\[\]{}<>|=*\u201c\u201d\u2018\u2019]+")
_LINE_OF = re.compile(r":\d{1,7}(?::\d{1,7})?$")
_HEX = re.compile(r"(?=[0-9a-f]*\d)(?=[0-9a-f]*[a-f])[0-9a-f]{7,64}|(?:sha\d{1,3}[:-])[0-9a-f]{7,128}")
_UUID = re.compile(r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")
_TICKET = re.compile(
    r"(?!(?:UTF|SHA|ISO|HTTP|GPT|MD|RFC|PEP|TLS|AES|RSA|UTC|GMT|H|P)-)[A-Z][A-Z0-9]{1,11}-\d{1,8}"
)
_NUMBERED = re.compile(r"#\d{1,7}")
_SEGMENT = r"[\w.@~+%-]{1,120}"
_DRIVE = re.compile(r"[A-Za-z]:\\[^\s:*?\"<>|]{1,280}")
_ROOTED = re.compile(rf"(?:~|\.{{1,2}})?/{_SEGMENT}(?:/{_SEGMENT}){{0,30}}/?")
_BELOW = re.compile(rf"{_SEGMENT}(?:/{_SEGMENT}){{1,30}}/?")
_FILE = re.compile(r"[\w@~+-][\w@~+.-]{0,100}\.[A-Za-z][A-Za-z0-9]{0,9}|\.[a-z][\w.-]{1,60}")
_KNOWN = (
    "py pyi ipynb js mjs cjs jsx ts tsx json jsonl yaml yml toml ini cfg conf env md rst txt html htm "
    "css scss less "
    "sh bash zsh ps1 bat c h cc cpp hpp cs java kt go rs rb php pl swift scala sql xml csv tsv lock log "
    "proto graphql "
    "tf vue svelte dockerfile mk cmake gradle pdf png jpg jpeg gif svg zip gz tar xz db sqlite parquet "
    "pem key crt j2 "
    "ex exs erl hs lua r dart bin exe so dll whl"
)
_ENDINGS = frozenset(_KNOWN.split())
_BRAND = re.compile(r"[A-Z]\w{0,12}\.js")
_WORDS_ONLY = re.compile(r"[A-Za-z]{1,20}(?:/[A-Za-z]{1,20}){1,4}")
_UNIT = (
    r"(?:ns|\u00b5s|us|ms|milliseconds?|s|secs?|seconds?|min|mins|minutes?|h|hrs?|hours?|d|days?|weeks?"
    r"|months?|years?"
    r"|[kKMGTP]i?B|bytes?|bits?|[kMG]bit/s|[KMG]Hz|Hz|px|pixels?|rpm|rps|qps|tps|dpi|mm|cm|km|m|kg|g"
    r"|\u00b0[CF]|percent|USD|EUR|dollars?|euros?|cents?|cores?|CPUs?|[kKM]? ?tokens?|rows?|lines?"
    r"|files?|items?|records?"
    r"|requests?|retries|attempts?|workers?|threads?|processes|connections?|users?|messages?|events?"
    r"|tests?|steps?"
    r"|calls?|pages?|words?|characters?|chars?|columns?|tables?|entries|nodes?|replicas?|shards?|points?"
    r"|times|rounds?"
    r"|jobs?|errors?|warnings?|bytes/s|req/s|requests/s)"
)
_NUMBER = re.compile(
    r"(?<![\w.,/#$\u20ac\u00a3-])(?:"
    r"[$\u20ac\u00a3] ?\d[\d,]{0,18}(?:\.\d{1,8})?(?:[kKMB]\b)?"
    r"|\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2})?Z?)?(?![\w-])"
    r"|\d[\d,]{0,18}(?:\.\d{1,8})? ?%"
    rf"|\d[\d,]{{0,18}}(?:\.\d{{1,8}})?[kM]?[ -]?{_UNIT}(?![\w/])"
    r"|v\d{1,5}(?:\.\d{1,5}){0,3}(?![\w.]\w)"
    r"|\d{1,5}(?:\.\d{1,5}){2,3}(?:-?(?:a|b|rc|alpha|beta)\.?\d{0,4})?(?![\w.]\w)"
    r")"
)
_VERSION = re.compile(r"\b[A-Z][A-Za-z+#]{1,20} \d{1,4}(?:\.\d{1,4}){0,3}(?![\w.]\w|[\w%])")
_COUNTED = (
    "January February March April May June July August September October November December Step Steps "
    "Section Phase "
    "Chapter Table Figure Page Line Item Part Round Day Week Level Case Option Question"
)
_NO_VERSIONS = frozenset(_COUNTED.split())
_RUN = re.compile(r"\b(?:run|runs|running|ran|execute|executed|invoke)\s{1,3}`", re.IGNORECASE)
_QUOTED = re.compile(r"`([^`\n]{2,300})`")
_PROMPT = re.compile(r"(?:\$|%|>>>)[ \t]{1,4}(?=\S)")
_PROGRAM = re.compile(
    r"(?:sudo |[A-Z_]{2,30}=\S{1,80} )?(?:\./\S{1,80}|git|make|npm|npx|pnpm|yarn|node|python3?|pip3?"
    r"|pytest|uv|cargo|go|rustc"
    r"|docker|kubectl|helm|terraform|aws|gcloud|curl|wget|ssh|scp|rsync|cp|mv|rm|mkdir|chmod|cat|grep|rg"
    r"|sed|awk|find|tar"
    r"|psql|mysql|sqlite3|redis-cli|bash|sh|systemctl|apt|apt-get|brew|ruff|pyright|mypy|eslint|tsc|mvn"
    r"|gradle|dotnet)\b"
)
SHELLS = frozenset(
    ("sh", "bash", "shell", "zsh", "console", "terminal", "shell-session", "fish", "powershell", "ps1")
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """A value, and where it stands in its text."""

    kind: PinKind
    text: str
    start: int
    end: int


def values(text: str) -> tuple[Value, ...]:
    """The commands, paths, ids and numbers of a text in their order; none overlaps another.

    Takes time linear in a text whose words are of bounded length; words that are too long hold none.
    """
    found = [*_commands(text), *_urls(text), *_tokens(text), *_numbers(text)]
    apart: list[Value] = []
    for value in sorted(found, key=lambda one: (one.start, -one.end)):
        if not apart or value.start >= apart[-1].end:
            apart.append(value)
    return tuple(apart)


def command_of(line: str, language: str | None) -> str:
    """The command that a line is; empty if it is none.

    In a fence of a shell's language every line is one, elsewhere what stands after a prompt.
    """
    prompt = _PROMPT.match(line)
    if prompt:
        return line[prompt.end() :][:LONGEST_VALUE]
    shell = language in SHELLS and language not in {"console", "terminal", "shell-session"}
    return line if shell and len(line) <= LONGEST_VALUE and not line.startswith("#") else ""


def _commands(text: str) -> Iterator[Value]:
    told = {run.end() - 1 for run in _RUN.finditer(text)}
    for quoted in _QUOTED.finditer(text):
        if quoted.start() in told or (_PROGRAM.match(quoted[1]) and " " in quoted[1]):
            yield Value(kind=PinKind.COMMAND, text=quoted[1], start=quoted.start(1), end=quoted.end(1))


def _urls(text: str) -> Iterator[Value]:
    for url in _URL.finditer(text):
        word = url[0].rstrip(".,:!?")
        yield Value(kind=PinKind.ID, text=word, start=url.start(), end=url.start() + len(word))


def _tokens(text: str) -> Iterator[Value]:
    for token in _TOKEN.finditer(text):
        if token.end() - token.start() > LONGEST_VALUE:
            continue
        quoted = text[max(0, token.start() - 1) : token.start()] == "`"
        word = _LINE_OF.sub("", token[0].rstrip(".:!?"))
        if kind := _kind(word, quoted=quoted):
            yield Value(kind=kind, text=word, start=token.start(), end=token.start() + len(word))


def _kind(word: str, *, quoted: bool) -> PinKind | None:
    if "://" in word:
        return None
    if any(shape.fullmatch(word) for shape in (_UUID, _HEX, _TICKET, _NUMBERED)):
        return PinKind.ID
    return PinKind.PATH if _is_path(word, quoted=quoted) else None


def _is_path(word: str, *, quoted: bool) -> bool:
    if _DRIVE.fullmatch(word):
        return True
    if "/" not in word:
        named = _FILE.fullmatch(word) and not _BRAND.fullmatch(word)
        ending = word.rsplit(".", 1)[-1].lower()
        return bool(named) and word != f".{ending}" and ending in _ENDINGS
    if _ROOTED.fullmatch(word):
        return any(sign.isalnum() for sign in word)
    if not _BELOW.fullmatch(word) or not any(sign.isalpha() for sign in word):
        return False
    return quoted or word.endswith("/") or not _WORDS_ONLY.fullmatch(word) or word.count("/") > 1


def _numbers(text: str) -> Iterator[Value]:
    for number in _NUMBER.finditer(text):
        yield Value(kind=PinKind.NUMBER, text=number[0], start=number.start(), end=number.end())
    for version in _VERSION.finditer(text):
        if version[0].split(" ", 1)[0] not in _NO_VERSIONS:
            yield Value(kind=PinKind.NUMBER, text=version[0], start=version.start(), end=version.end())
