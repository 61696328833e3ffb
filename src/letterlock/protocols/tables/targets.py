"""Lists of addresses as aliases(5) and virtual(5) have them on the right of a key.

Commas and white space part addresses; `"..."`, `<...>`, phrases and comments are those of RFC 5322
§3.4 in Postfix's reading, without groups and routes. What would run a program or write into a file
is refused, with the reason.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from letterlock.protocols.smtp.paths import AddressError, Mailbox, parse_mailbox
from letterlock.protocols.tables.lines import TableError, quote, shorten
from letterlock.protocols.tables.lookup import normal_domain

MAX_TARGETS = 10_000
"""Of one entry, or of one file of `:include:`."""

INCLUDE = ":include:"

_BLANKS = " \t\r\v\f\n"
_BLANK = re.compile(f"[{_BLANKS}]+")
_STRING = r'"(?:\\.|[^"\\])*"'
_TOKEN = re.compile(
    # A word; what stands in angle brackets; a separator.
    rf'(?:{_STRING}|\\.|\[[^\]\\"]*\]|[^{_BLANKS},;<>()"\\\[])+|<(?:{_STRING}|\\.|[^<>"\\])*>|[,;]',
    re.DOTALL,
)
# Nearly all lists are of such words, and a table may have many thousands of them. So short, no
# label and no address in it is too long.
_PLAIN_WORD = r"[A-Za-z0-9_+=-]+(?:\.[A-Za-z0-9_+=-]+)*(?:@[A-Za-z0-9]+(?:[.-][A-Za-z0-9]+)*)?"
_PLAIN_LIST = re.compile(rf"{_PLAIN_WORD}(?:(?:[ \t]*,[ \t]*|[ \t]+){_PLAIN_WORD})*")
_MAX_PLAIN_CHARACTERS = 60
_EMPTY = '""'
_PAIR = re.compile(r"\\(.)", re.DOTALL)
_QUOTED = re.compile(r'"((?:\\.|[^"\\])*)"', re.DOTALL)
_REASONS = {
    "|": "a command ({}) is not run: have the program take mail by LMTP, or poll a mailbox",
    "/": "a file ({}) is not written to: use a mailbox",
    "~": "a file ({}) is not written to: use a mailbox",
}


@dataclass(frozen=True, slots=True)
class Address:
    """An address; `domain` is None when only a name stood there."""

    local: str
    domain: str | None

    def complete(self, origin: str) -> Mailbox:
        """Give the mailbox; a name alone is one at `origin`."""
        return Mailbox(self.local, origin if self.domain is None else self.domain)


@dataclass(frozen=True, slots=True)
class SameUser:
    """`@domain`: the user of the address that was looked up, at this domain."""

    domain: str


@dataclass(frozen=True, slots=True)
class Include:
    """`:include:/path`: a file with more targets."""

    path: str


Target = Address | SameUser | Include


def parse_targets(text: str) -> tuple[Target, ...]:
    """Read a list of addresses; empty for `""`. Raises TableError."""
    if len(text) <= _MAX_PLAIN_CHARACTERS and _PLAIN_LIST.fullmatch(text):
        return tuple(map(_read_plain_word, text.replace(",", " ").split()))
    targets: list[Target] = []
    words: list[str] = []
    """Since the last comma: a person's name if a `<` follows, else addresses."""
    for token in _tokens(text):
        if token in {",", ";"}:
            targets += map(_read_word, words)
            words.clear()
        elif token[0] == "<":
            targets.append(_read_word(token[1:-1].strip(_BLANKS)))
            words.clear()
        elif token != _EMPTY:
            words.append(token)
        if len(targets) + len(words) > MAX_TARGETS:
            raise TableError(f"there are more than {MAX_TARGETS} addresses")
    targets += map(_read_word, words)
    return tuple(targets)


def _read_plain_word(word: str) -> Address:
    local, _, domain = word.partition("@")
    return Address(local, domain.lower() or None)


def _tokens(text: str) -> Iterator[str]:
    """Give commas, words, and what is between `<` and `>`, with them."""
    at = 0
    while at < len(text):
        if blank := _BLANK.match(text, at):
            at = blank.end()
        elif text[at] == "(":
            at = _skip_comment(text, at)
        elif token := _TOKEN.match(text, at):
            yield token[0]
            at = token.end()
        else:
            raise TableError(f"{shorten(text[at:])}: a quote or bracket is not closed")


def _read_word(word: str) -> Target:
    quoted = _QUOTED.fullmatch(word)
    plain = _PAIR.sub(r"\1", quoted[1] if quoted else word)
    if plain[:9].lower() == INCLUDE:
        return _read_include(plain[9:])
    is_address = "@" in word and not quoted
    if plain[:1] == "|" or (plain[:1] in ("/", "~") and not is_address):
        raise TableError(_REASONS[plain[0]].format(shorten(plain)))
    if word[:1] == "@":
        return SameUser(normal_domain(word[1:]))
    try:
        if is_address:
            mailbox = parse_mailbox(word)
            return Address(mailbox.local, mailbox.domain)
        return Address(parse_mailbox(f"{word if quoted else plain}@x").local, None)
    except AddressError as error:
        raise TableError(str(error)) from error


def _read_include(path: str) -> Include:
    if not path.startswith("/"):
        raise TableError(f"{INCLUDE} needs the whole path of a file, not {quote(path)}")
    return Include(path)


def _skip_comment(text: str, at: int) -> int:
    depth = 0
    while at < len(text):
        if text[at] == "\\":
            at += 1
        elif text[at] == "(":
            depth += 1
        elif text[at] == ")":
            depth -= 1
            if not depth:
                return at + 1
        at += 1
    raise TableError("a ( is not closed")
