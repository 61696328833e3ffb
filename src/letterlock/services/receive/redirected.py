"""The envelope of a message with what its recipients come to in their place.

RFC 5321 §3.9.1 (aliases), RFC 3461 §4.2: the recipient as it was first said goes along as ORCPT.
What was asked for a recipient (NOTIFY) is asked for each address that it comes to.
"""

from msgspec.structs import replace

from letterlock.protocols.smtp.envelope import Envelope, Recipient
from letterlock.protocols.smtp.paths import AddressError, parse_mailbox
from letterlock.protocols.smtp.xtext import encode_utf8_address, encode_xtext
from letterlock.protocols.tables.expansion import Expanded
from letterlock.services.redirect.tables import Tables

MAX_RECIPIENTS = 50_000
"""Of one message, when all its aliases were followed."""


def redirect(envelope: Envelope, tables: Tables) -> Envelope | str:
    """Follow the aliases; a text says why that cannot be done now."""
    if not tables.may_rewrite:
        return envelope
    found: dict[str, Recipient] = {}
    for recipient in envelope.recipients:
        for each in _follow(recipient, tables):
            if isinstance(each, str):
                return each
            found.setdefault(each.address, each)
        if len(found) > MAX_RECIPIENTS:
            return f"the recipients come to more than {MAX_RECIPIENTS} addresses"
    return replace(envelope, recipients=tuple(found.values()))


def redirect_if_known(envelope: Envelope, tables: Tables) -> Envelope:
    """Follow the aliases; while that cannot be done, leave the envelope as it is.

    For messages of our own, which nobody can be asked to send again.
    """
    found = redirect(envelope, tables)
    return envelope if isinstance(found, str) else found


def find_destinations(envelope: Envelope) -> tuple[str, ...]:
    """Give what each recipient is grouped by in the queue: what stands behind the last @."""
    return tuple(item.address.rpartition("@")[2] for item in envelope.recipients)


def _follow(recipient: Recipient, tables: Tables) -> list[Recipient | str]:
    try:
        mailbox = parse_mailbox(recipient.address)
    except AddressError:
        return [recipient]
    expansion = tables.expand(mailbox)
    if not isinstance(expansion, Expanded):
        return [expansion.reason]
    if not expansion.steps or not expansion.destinations:
        return [recipient]
    orcpt = recipient.orcpt or _format_orcpt(recipient.address)
    addresses = (mailbox.format() for mailbox in expansion.destinations)
    return [
        recipient if address == recipient.address else Recipient(address, recipient.notify, orcpt)
        for address in addresses
    ]


def _format_orcpt(address: str) -> str:
    """RFC 3461 §4.2, RFC 6533 §3."""
    if address.isascii():
        return f"rfc822;{encode_xtext(address)}"
    return f"utf-8;{encode_utf8_address(address)}"
