"""The envelope of a message with what its recipients come to in their place.

RFC 5321 §3.9.1 (aliases), RFC 3461 §4.2: the recipient as it was first said goes along as ORCPT.
What was asked for a recipient (NOTIFY) is asked for each address that it comes to. Where there are
several, success is not: that the alias was followed is reported here (RFC 3461 §5.2.7.3 (c)).
"""

from msgspec import Struct
from msgspec.structs import replace

from letterlock.protocols.smtp.envelope import Envelope, Notify, Recipient
from letterlock.protocols.smtp.paths import AddressError, parse_mailbox
from letterlock.protocols.smtp.xtext import encode_utf8_address, encode_xtext
from letterlock.protocols.tables.expansion import Expanded
from letterlock.services.redirect.tables import Tables

MAX_RECIPIENTS = 50_000
"""Of one message, when all its aliases were followed."""


class Redirected(Struct, frozen=True):
    """An envelope whose aliases were followed.

    `expanded`: those of its recipients that stood for several addresses, and for which a report of
    success was asked.
    """

    envelope: Envelope
    expanded: tuple[Recipient, ...] = ()


def redirect(envelope: Envelope, tables: Tables) -> Redirected | str:
    """Follow the aliases; a text says why that cannot be done now."""
    if tables.are_none or not tables.may_rewrite:
        return Redirected(envelope)
    found: dict[str, Recipient] = {}
    expanded: list[Recipient] = []
    for recipient in envelope.recipients:
        targets = _follow(recipient, tables)
        if len(targets) > 1 and Notify.SUCCESS in recipient.notify:
            expanded.append(recipient)
        for each in targets:
            if isinstance(each, str):
                return each
            # What was asked for an address by its own name counts, not what was for an alias.
            if each.address not in found or each is recipient:
                found[each.address] = each
        if len(found) > MAX_RECIPIENTS:
            return f"the recipients come to more than {MAX_RECIPIENTS} addresses"
    return Redirected(replace(envelope, recipients=tuple(found.values())), tuple(expanded))


def redirect_if_known(envelope: Envelope, tables: Tables) -> Envelope:
    """Follow the aliases; while that cannot be done, leave the envelope as it is.

    For messages of our own, which nobody can be asked to send again.
    """
    found = redirect(envelope, tables)
    return envelope if isinstance(found, str) else found.envelope


def find_hindrance(address: str, tables: Tables) -> str | None:
    """Say why it cannot be told now what an address comes to; None: it can."""
    found = redirect(Envelope("", (Recipient(address),)), tables)
    return found if isinstance(found, str) else None


def find_destinations(envelope: Envelope) -> tuple[str, ...]:
    """Give what each recipient is grouped by in the queue: what stands behind the last @."""
    return tuple([item.address.rpartition("@")[2] for item in envelope.recipients])


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
    addresses = [mailbox.format() for mailbox in expansion.destinations]
    if addresses == [recipient.address]:
        return [recipient]
    notify = recipient.notify if len(addresses) == 1 else _without_success(recipient.notify)
    return [
        # One that has a copy for itself: it was named, so there is no other original.
        Recipient(address, notify, recipient.orcpt if address == recipient.address else orcpt)
        for address in addresses
    ]


def _without_success(notify: frozenset[Notify]) -> frozenset[Notify]:
    """RFC 3461 §5.2.7.3 (c). Who asked for nothing else is told of nothing else (§4.1)."""
    if Notify.SUCCESS not in notify:
        return notify
    return notify - {Notify.SUCCESS} or frozenset({Notify.NEVER})


def _format_orcpt(address: str) -> str:
    """RFC 3461 §4.2, RFC 6533 §3."""
    if address.isascii():
        return f"rfc822;{encode_xtext(address)}"
    return f"utf-8;{encode_utf8_address(address)}"
