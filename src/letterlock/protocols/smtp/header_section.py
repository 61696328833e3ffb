"""The header section of a message as a program on this machine writes it, and whom it names.

RFC 5322 §2.1 and §2.2 (fields), §3.6.3 (destinations), §3.6.6 (Resent-). Forgiving as sendmail(1)
is: lines may end in LF, a mailbox file's `From ` line may stand above, and the first line that is
no field begins the body, an empty line before it or not. What is written is in `submitted`.
"""

import re

from letterlock.protocols.smtp.address_lists import AddressListError, find_addresses

MAX_HEADER_OCTETS = 256 * 1024
"""Of what is submitted. As much is looked at of what other servers send."""

Field = tuple[str, bytes]
"""A field's name in lower case, and its lines as they are, with their ends."""

# RFC 5322 §3.6.8, and §4.5.8 (before the colon there may be space).
_FIELD = re.compile(rb"([!-9;-~]+)[ \t]*:")
# Not `From :`, which is a field.
_MAILBOX_LINE = re.compile(rb">?From (?![ \t]*:)[^\n]*\n")
_EMPTY_LINES = (b"\n", b"\r\n")


class HeaderTooLong(ValueError):  # noqa: N818 - a fact
    """A header section does not end within MAX_HEADER_OCTETS."""


def split_header(beginning: bytes) -> tuple[list[Field], bytes]:
    """Give the fields, and what follows the empty line.

    `beginning` is the whole message, or its first octets, more than MAX_HEADER_OCTETS of them.
    Raises HeaderTooLong.
    """
    fields: list[Field] = []
    mailbox_line = _MAILBOX_LINE.match(beginning)
    at = mailbox_line.end() if mailbox_line else 0
    lines: list[bytes] = []
    while at < len(beginning):
        end = beginning.find(b"\n", at) + 1 or len(beginning)
        if end > MAX_HEADER_OCTETS:
            raise HeaderTooLong(f"the header is longer than {MAX_HEADER_OCTETS // 1024} KiB")
        line = beginning[at:end]
        if line in _EMPTY_LINES:
            at = end
            break
        if lines and line[:1] in {b" ", b"\t"}:
            lines.append(line)
        elif match := _FIELD.match(line):
            _close(fields, lines)
            lines = [match[1], line]
        else:
            break
        at = end
    _close(fields, lines)
    return fields, beginning[at:]


def has_header_end(beginning: bytes) -> bool:
    """Say whether enough is there for `split_header`: an empty line, or too much without one."""
    is_long = len(beginning) > MAX_HEADER_OCTETS
    return is_long or any(b"\n" + line in beginning for line in _EMPTY_LINES)


def is_resent(fields: list[Field]) -> bool:
    """Say whether a message is sent on: then the Resent- fields are the ones that count."""
    return any(name.startswith("resent-") for name, _ in fields)


def unfold(octets: bytes) -> str:
    """Give a field's value as one line. Octets that are no UTF-8 become lone surrogates."""
    value = octets.partition(b":")[2].decode("utf-8", "surrogateescape")
    return value.replace("\r", "").replace("\n", "").strip(" \t")


def find_recipients(fields: list[Field]) -> list[str]:
    """Give the addresses in To, Cc and Bcc, each once. Raises AddressListError."""
    prefix = "resent-" if is_resent(fields) else ""
    wanted = {f"{prefix}{name}" for name in ("to", "cc", "bcc")}
    found: dict[str, None] = {}
    for name, octets in fields:
        if name in wanted:
            try:
                found.update(dict.fromkeys(text for text, _ in find_addresses(unfold(octets))))
            except AddressListError as error:
                raise AddressListError(f"{name.title()}: {error}") from None
    return list(found)


def _close(fields: list[Field], lines: list[bytes]) -> None:
    if lines:
        fields.append((lines[0].decode("ascii").lower(), b"".join(lines[1:])))
