"""How an account's holder is reached: `mailto:` and one address.

RFC 8555 §7.3 (no header fields, one address), RFC 6068 §2. Quoted local parts, domain literals
and percent signs are not taken: an address that needs them is not one to warn people at.
"""

import re
from dataclasses import dataclass
from enum import StrEnum

from letterlock.base.domains import DomainError, parse_domain
from letterlock.protocols.acme.fields import format_line

SCHEME = "mailto:"
MAX_DETAIL_CHARACTERS = 150
MAX_LOCAL_OCTETS = 64
"""RFC 5321 §4.5.3.1.1."""

# RFC 6068 §2 `dtext-no-obs` of RFC 5322's dot-atom, without what a URI must write as %XX.
_LOCAL = re.compile(r"[A-Za-z0-9!$'*+/=_-]+(?:\.[A-Za-z0-9!$'*+/=_-]+)*\Z")


class ContactError(StrEnum):
    """ACME's words for what is wrong with one (RFC 8555 §6.7)."""

    UNSUPPORTED = "unsupportedContact"
    INVALID = "invalidContact"


@dataclass(frozen=True, slots=True)
class ContactFault:
    type: ContactError
    detail: str


def find_contact_fault(contact: str) -> ContactFault | None:
    """Say what is wrong with a contact; None: it is `mailto:` and one address."""
    if not contact.lower().startswith(SCHEME):
        return ContactFault(ContactError.UNSUPPORTED, "a contact begins with mailto:")
    detail = _find_address_fault(contact[len(SCHEME) :])
    return None if detail is None else ContactFault(ContactError.INVALID, detail)


def _find_address_fault(address: str) -> str | None:
    if "?" in address:
        return "a contact has no header fields"
    if "," in address:
        return "a contact is one address"
    local, at, domain = address.rpartition("@")
    if not at or len(local) > MAX_LOCAL_OCTETS or not _LOCAL.match(local):
        return "a contact is mailto: and an address"
    try:
        # A domain in Unicode would be written in %XX (RFC 6068 §2).
        if not domain.isascii() or parse_domain(domain) != domain.lower():
            return "a contact's domain is in ASCII, without a final dot"
    except DomainError as error:
        # It repeats what it was given, and escapes may make four characters of one.
        return format_line(str(error), MAX_DETAIL_CHARACTERS)
    return None
