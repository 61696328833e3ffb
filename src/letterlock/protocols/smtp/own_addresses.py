"""Addresses that an account may send as: single ones, and whole domains.

RFC 6409 §6.1 (a submission server may ask that sender addresses are the submitter's). Local parts
are compared without case, as those of our mailboxes are.
"""

from collections.abc import Collection

from letterlock.base.domains import DomainError, parse_domain
from letterlock.protocols.smtp.paths import (
    AddressError,
    Mailbox,
    fold_local_part,
    parse_mailbox,
)


def parse_own_address(text: str) -> str:
    """Parse `local@domain` or `@domain` to the form that is compared. Raises AddressError."""
    if not text.startswith("@"):
        compared = _compared(parse_mailbox(text))
        # Small letters and A-labels may be longer than what was written, and too long.
        parse_mailbox(compared)
        return compared
    try:
        compared = f"@{parse_domain(text[1:])}"
    except DomainError as error:
        raise AddressError(str(error)) from error
    # A name of DNS may have an underscore in it, the domain of an address none.
    parse_mailbox(f"anyone{compared}")
    return compared


def is_own_address(mailbox: Mailbox, own: Collection[str]) -> bool:
    """Say whether a mailbox is among addresses that `parse_own_address` gave."""
    return _compared(mailbox) in own or f"@{mailbox.domain}" in own


def _compared(mailbox: Mailbox) -> str:
    return Mailbox(fold_local_part(mailbox.local), mailbox.domain).format()
