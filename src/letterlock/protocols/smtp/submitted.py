"""The header section of a message that is new: made complete, and rid of what is not for others.

RFC 5322 §3.6.1 (Date), §3.6.2 (From), §3.6.3 (Bcc), §3.6.4 (Message-ID), §3.6.6 (Resent-); RFC 2047
§2 and §5 (names outside ASCII); RFC 6409 §8 (what a submission server may change).
"""

import re
from datetime import datetime

from msgspec import Struct

from letterlock.protocols.smtp.address_lists import AddressListError, find_addresses
from letterlock.protocols.smtp.header_fields import (
    format_date,
    format_encoded_words,
    format_field,
    format_message_id,
)
from letterlock.protocols.smtp.header_section import Field, is_resent

DROPPED = frozenset({"bcc", "resent-bcc", "return-path", "content-length"})
"""Bcc is for nobody to see; the others are written where a message ends."""

_WITH_ADDRESSES = frozenset(
    f"{prefix}{name}"
    for prefix in ("", "resent-")
    for name in ("from", "sender", "reply-to", "to", "cc")
)
_ATOMS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~ -]*\Z")
_TO_QUOTE = re.compile(r'(["\\])')
_NOT_PRINTABLE = re.compile(r"[^ -~]")
_MAX_NAME_CHARACTERS = 64


class Submission(Struct, frozen=True):
    """What is written where the header section lacks it.

    `author` is an address; `origin` the domain of addresses that have none; `token` is random, of
    letters and digits.
    """

    author: str
    full_name: str
    moment: datetime
    hostname: str
    origin: str
    token: str


def complete_header(fields: list[Field], submission: Submission) -> bytes:
    """Give the header section as it goes out, in lines that end with CRLF, without the empty line.

    Fields keep their order; what was missing comes last. Of a message that is sent on, Resent-
    fields are added, and nothing in those that it had.
    """
    kept = [(name, _qualify(name, octets, submission.origin)) for name, octets in fields]
    lines = [octets for name, octets in kept if name not in DROPPED]
    if lines and not lines[-1].endswith(b"\n"):
        lines[-1] += b"\r\n"
    names = {name for name, _ in fields}
    prefix = "Resent-" if is_resent(fields) else ""
    for name, value in _essentials(submission).items():
        if f"{prefix}{name}".lower() not in names:
            lines.append(format_field(f"{prefix}{name}", value).encode())
    return b"".join(lines)


def format_author(address: str, full_name: str) -> str:
    """Give an address with its name; the name as atoms, quoted, or as encoded-words."""
    name = " ".join(full_name.split())[:_MAX_NAME_CHARACTERS]
    if not name:
        return address
    if not name.isascii():
        name = format_encoded_words(name)
    elif not _ATOMS.match(name):
        name = _TO_QUOTE.sub(r"\\\1", _NOT_PRINTABLE.sub("?", name))
        name = f'"{name}"'
    return f"{name} <{address}>"


def _essentials(submission: Submission) -> dict[str, str]:
    moment = submission.moment
    return {
        "From": format_author(submission.author, submission.full_name),
        "Date": format_date(moment),
        "Message-ID": format_message_id(submission.token, submission.hostname, moment),
    }


def _qualify(name: str, octets: bytes, origin: str) -> bytes:
    """Write the origin behind each address that has no domain; what is no list stays as it is."""
    if name not in _WITH_ADDRESSES:
        return octets
    title, colon, value = octets.decode("utf-8", "surrogateescape").partition(":")
    try:
        bare = [end for address, end in find_addresses(value) if "@" not in address]
    except AddressListError:
        return octets
    for end in reversed(bare):
        value = f"{value[:end]}@{origin}{value[end:]}"
    return f"{title}{colon}{value}".encode("utf-8", "surrogateescape")
