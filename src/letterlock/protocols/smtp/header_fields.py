"""Header fields that we write: safe text, folding, dates, message identifiers.

RFC 5322 §2.1.1 (line lengths), §2.2.3 (folding), §3.3 (dates), §3.6.4 (identifiers); RFC 6532 §3.2
(UTF-8); RFC 2047 §2 (encoded-words). Whatever comes from outside goes through `make_safe` before it
is part of a field.
"""

import re
from binascii import b2a_base64
from datetime import UTC, datetime

FOLD_AT_OCTETS = 78
"""RFC 5322 §2.1.1: a line SHOULD have no more, without its CRLF."""
MAX_LINE_OCTETS = 998
"""RFC 5322 §2.1.1: a line MUST have no more, without its CRLF."""

# What fits on a line, beside the field's name too. Addresses (254 octets) and ORCPT (500) are such
# words: a space within would make others of them.
_MAX_WORD_OCTETS = 900
_MAX_PIECE_CHARACTERS = 200  # four octets each at most, so that a piece of a word fits on a line
_ENCODED_OCTETS = 45  # 60 of base64: RFC 2047 §2 allows an encoded-word 75 characters
_WORD = re.compile(r" *[^ ]+")
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = (
    *("Jan", "Feb", "Mar", "Apr", "May", "Jun"),
    *("Jul", "Aug", "Sep", "Oct", "Nov", "Dec"),
)


def make_safe(text: str, *, may_be_utf8: bool = False, max_characters: int = 1000) -> str:
    """Make text from outside fit for a field: one line, printable, not too long.

    Line ends and tabs become spaces; other characters that are not printable, and those outside
    ASCII unless `may_be_utf8`, become `?`. No field or line can be begun with what is left.
    """
    kept = text if len(text) <= max_characters else text[: max_characters - 3] + "..."
    if kept.isprintable() and (may_be_utf8 or kept.isascii()):
        return kept
    return "".join(_make_safe_character(character, may_be_utf8) for character in kept)


def format_field(name: str, value: str) -> str:
    """Give a field with its CRLF, folded where it is long.

    Unfolding gives the same text again, unless a word alone is too long for a line: it is cut.
    """
    lines = [f"{name}:"]
    for word in _cut_words(f" {value}"):
        is_field_start = len(lines) == 1 and lines[0] == f"{name}:"
        if not is_field_start and _octets(lines[-1]) + _octets(word) > FOLD_AT_OCTETS:
            lines.append(word)
        else:
            lines[-1] += word
    return "\r\n".join(lines) + "\r\n"


def format_encoded_words(text: str) -> str:
    """Give text as encoded-words, for a field that must be ASCII (RFC 2047 §2, §5).

    As few as can be: Python's reader is one of those that leave a space between two in a name.
    """
    words = [b""]
    for character in text:
        octets = character.encode("utf-8", "replace")
        if len(words[-1]) + len(octets) > _ENCODED_OCTETS:
            words.append(b"")
        words[-1] += octets
    encoded = (b2a_base64(word, newline=False).decode("ascii") for word in words)
    return " ".join(f"=?utf-8?b?{word}?=" for word in encoded)


def format_date(moment: datetime) -> str:
    """Format a date-time in its own offset; one without is taken as UTC."""
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    day, month = _DAYS[moment.weekday()], _MONTHS[moment.month - 1]
    # strftime costs as much as the rest together, and nearly every date is in UTC.
    zone = "+0000" if moment.tzinfo is UTC else f"{moment:%z}"
    # 2026-11-22T22:51:09+00:00: its digits in one call.
    text = moment.isoformat(timespec="seconds")
    return f"{day}, {text[8:10]} {month} {text[:4]} {text[11:19]} {zone}"


def format_message_id(token: str, hostname: str, now: datetime) -> str:
    """Make a Message-ID of the time and a `token`: random, of letters and digits."""
    return f"<{now.astimezone(UTC):%Y%m%d%H%M%S}.{token}@{hostname}>"


def _make_safe_character(character: str, may_be_utf8: bool) -> str:  # noqa: FBT001 - private
    if character in "\r\n\t":
        return " "
    return character if character.isprintable() and (may_be_utf8 or character.isascii()) else "?"


def _cut_words(text: str) -> list[str]:
    """Split a text into words, each with the spaces before it.

    A word that must be cut keeps one of them: a line of spaces alone may not be (RFC 5322 §3.2.2).
    """
    words: list[str] = []
    for found in _WORD.findall(text):
        if _octets(found) <= _MAX_WORD_OCTETS:
            words.append(found)
            continue
        word = f" {found.lstrip(' ')}"
        words.append(word[:_MAX_PIECE_CHARACTERS])
        words += [
            f" {word[start : start + _MAX_PIECE_CHARACTERS - 1]}"
            for start in range(_MAX_PIECE_CHARACTERS, len(word), _MAX_PIECE_CHARACTERS - 1)
        ]
    return words


def _octets(text: str) -> int:
    return len(text.encode("utf-8"))
