"""The header section of a message that an account submits: whose it is, and what it lacks.

RFC 6409 §6.1 (submission rights), §8.2 and §8.3 (Date, Message-ID are added); RFC 5322 §3.6 and
§3.6.2 (From once, Sender at most once). What can be read in two ways is refused: those who read the
message later would read it in the other.
"""

from collections.abc import Collection
from datetime import datetime

from letterlock.protocols.smtp.address_lists import AddressListError, find_addresses
from letterlock.protocols.smtp.header_fields import format_date, format_field, format_message_id
from letterlock.protocols.smtp.header_section import (
    Field,
    HeaderTooLong,
    split_header,
    unfold,
)
from letterlock.protocols.smtp.own_addresses import is_own_address
from letterlock.protocols.smtp.paths import AddressError, parse_mailbox
from letterlock.protocols.smtp.replies import Reply, reply


def read_submitted_header(beginning: bytes) -> list[Field] | Reply:
    """Read a content's header section, which must be well-formed; a reply refuses it.

    `beginning` has the whole of it, or more octets than it may have.
    """
    try:
        fields, rest = split_header(beginning)
    except HeaderTooLong as error:
        return reply(552, "5.3.4", f"Message refused: {error}")
    header = beginning[: len(beginning) - len(rest)]
    if rest and not header.endswith(b"\r\n\r\n"):
        return reply(
            554, "5.6.0", "Message refused: the header section has a line that is no field"
        )
    for name, least in (("from", 1), ("sender", 0), ("date", 0), ("message-id", 0)):
        count = sum(each == name for each, _ in fields)
        if not least <= count <= 1:
            fault = "no" if not count else "more than one"
            return reply(554, "5.6.0", f"Message refused: {fault} {name.title()} field")
    return fields


def find_foreign_author(fields: list[Field], own: Collection[str]) -> Reply | None:
    """Refuse a message that says it is from, or sent by, somebody else."""
    for name in ("from", "sender"):
        for field, octets in fields:
            if field == name and (refusal := _judge_field(name.title(), octets, own)) is not None:
                return refusal
    return None


def format_missing(fields: list[Field], token: str, hostname: str, now: datetime) -> bytes:
    """Give the fields that a message should have and has not. `token` was never used before."""
    names = {name for name, _ in fields}
    added = ""
    if "date" not in names:
        added += format_field("Date", format_date(now))
    if "message-id" not in names:
        added += format_field("Message-ID", format_message_id(token, hostname, now))
    return added.encode()


def _judge_field(name: str, octets: bytes, own: Collection[str]) -> Reply | None:
    try:
        found = find_addresses(unfold(octets), with_names=True)
        addresses = [parse_mailbox(text) for text, _ in found]
    except (AddressListError, AddressError, UnicodeError):
        return reply(554, "5.6.0", f"Message refused: the {name} field has no address to be read")
    if not addresses:
        return reply(554, "5.6.0", f"Message refused: the {name} field names nobody")
    for address in addresses:
        if not is_own_address(address, own):
            # Not repeated: it is the client's text, and the client has it.
            return reply(550, "5.7.1", f"Message refused: the {name} address is not yours")
    return None
