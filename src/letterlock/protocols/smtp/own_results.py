"""Authentication-Results fields that say they are ours and come from outside: found, and taken out.

RFC 8601 §5 (removal), §2.2 (authserv-id, comments), §2.6 (versions), §7.1 and §7.8 (forged and
malformed fields); RFC 2047 §5 (encoded-words, which Sieve decodes in any field). A program behind
us may read a field in another way than the grammar has it, so one goes as soon as its beginning can
be read as naming us, or cannot be read at all. ARC's fields are not looked at: their seal says
whose they are. Fields as values: `authentication_results`.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from letterlock.base.domains import DomainError, format_unicode, parse_domain
from letterlock.protocols.smtp.header_edits import HeaderField, cut_fields

MAX_FIELDS = 100
"""So many are read; what follows them goes: no honest message has as many."""
MAX_HEAD_CHARACTERS = 1000
"""Of what stands before the first result: an authserv-id, a version, comments."""
_MAX_COMMENT_DEPTH = 20

_NAME = b"authentication-results"
# Between name and colon may be space (RFC 5322 §4.5.8), which some fold.
_FIELD = re.compile(rb"authentication-results\s*(?::|\Z)", re.IGNORECASE)
_PART = re.compile(r'\\.|[";()\\]|[^";()\\]+', re.DOTALL)
_FOLD = re.compile(r"\r\n[ \t]+")
_WORD = re.compile(r'[^\s()",:;<>=/]+')
_NO_WORD = re.compile(r'["\0:]')
_VERSION = re.compile(r"0*1\Z")


@dataclass(frozen=True, slots=True)
class OwnNames:
    """The authserv-ids that are ours, in each form that they can be read in."""

    names: frozenset[str]


def make_own_names(identifiers: Iterable[str]) -> OwnNames:
    """Take our authserv-ids; domain names among them count with A-labels and with U-labels."""
    names = set()
    for identifier in identifiers:
        names.add(_simplify(identifier).strip("."))
        try:
            domain = parse_domain(identifier)
        except DomainError:
            continue
        names |= {domain, _simplify(format_unicode(domain))}
    return OwnNames(frozenset(names))


def may_have_results(header: bytes) -> bool:
    """Say whether there is anything to look at; it costs next to nothing."""
    return _NAME in header.lower()


def drop_own_results(header: bytes, own: OwnNames) -> tuple[bytes, int]:
    """Give a header section without the fields that claim to be ours, and how many they were."""
    fields = cut_fields(header)
    kept = [field.octets for field in _select(fields, own)]
    return b"".join(kept), len(fields) - len(kept)


def is_own_claim(value: bytes, own: OwnNames) -> bool:
    """Say whether a field goes: it may be read as ours, as nobody's, or in a version of its own."""
    found = _read_head(value.decode("utf-8", "replace"))
    if found is None:
        return True
    head, plain = found
    if "=?" in head:
        # An encoded-word, which no authserv-id is: who decodes it sees another name than we do.
        return True
    words = _NO_WORD.sub(" ", plain).split()
    if not words or (len(words) > 1 and words[1].isdecimal() and not _VERSION.match(words[1])):
        return True
    return not own.names.isdisjoint((*_list_names(head), *_list_names(plain)))


def _select(fields: list[HeaderField], own: OwnNames) -> Iterator[HeaderField]:
    count = 0
    for field in fields:
        found = _FIELD.match(field.octets)
        if found is not None:
            count += 1
            if count > MAX_FIELDS or is_own_claim(field.octets[found.end() :], own):
                continue
        yield field


def _read_head(text: str) -> tuple[str, str] | None:
    """Give what stands before the first `;` that is in no comment, and that without its comments.

    A NUL, which names have none of, stands for each piece of a comment. None: it is not to be read.
    """
    depth, is_quoted, at, plain = 0, False, 0, ""
    for part in _PART.findall(text[: MAX_HEAD_CHARACTERS + 1]):
        is_comment = depth > 0
        if part == '"' and not is_comment:
            is_quoted = not is_quoted
        elif is_quoted:
            pass
        elif part == "(":
            depth, is_comment = depth + 1, True
        elif part == ")":
            depth = max(0, depth - 1)
        elif part == ";" and not is_comment:
            break
        at += len(part)
        plain += "\0" if is_comment else part
        if depth > _MAX_COMMENT_DEPTH:
            return None
    is_open = depth > 0 or is_quoted
    return None if is_open or at > MAX_HEAD_CHARACTERS else (text[:at], plain)


def _list_names(head: str) -> Iterator[str]:
    """Give all that may be taken for an authserv-id, with comments, quotes and folds or without."""
    for unfolded in {_FOLD.sub(" ", head), _FOLD.sub("", head)}:
        simple = _simplify(unfolded)
        for text in {simple.replace('"', " "), simple.replace('"', "")}:
            for word in _WORD.findall(text):
                yield word.strip(".")


def _simplify(text: str) -> str:
    """Take away what readers take away: case, width, escapes, what is not to be seen."""
    folded = unicodedata.normalize("NFKC", text).casefold().replace("\u3002", ".")
    return "".join(
        each for each in folded if each != "\\" and (each.isprintable() or each.isspace())
    )
