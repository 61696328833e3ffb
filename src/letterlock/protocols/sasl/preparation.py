"""Names and passwords as they are compared: SASLprep.

RFC 4013 §2 with RFC 3454 (its tables are in Python, for Unicode 3.2). Both RFC 4616 §2 and
RFC 5802 §2.2 want it. Characters that Unicode 3.2 did not have are left as they are, also where a
password is set: people have them in passwords, and no later version changes them here. The PRECIS
profiles of RFC 8265, which replace it, differ in what they fold; ASCII is the same in both.
"""

import stringprep
from unicodedata import ucd_3_2_0

from letterlock.base.domains import DomainError, parse_domain

MAX_NAME_OCTETS = 255
MAX_PASSWORD_OCTETS = 255
"""In UTF-8, prepared or not."""

# RFC 4013 §2.3.
_PROHIBITED = (
    *(stringprep.in_table_c12, stringprep.in_table_c21_c22, stringprep.in_table_c3),
    *(stringprep.in_table_c4, stringprep.in_table_c5, stringprep.in_table_c6),
    *(stringprep.in_table_c7, stringprep.in_table_c8, stringprep.in_table_c9),
)


class PreparationError(ValueError):
    """A name or password is none; the message says why, without telling it."""


def prepare_password(text: str) -> str:
    """Give a password as it is compared. Raises PreparationError."""
    return _prepare(text, "password", MAX_PASSWORD_OCTETS)


def prepare_name(text: str) -> str:
    """Give an account's name as it is compared: in lower case. Raises PreparationError.

    To tell `Alice` from `alice` would help nobody: they are one mailbox here.
    """
    return _prepare(text, "name", MAX_NAME_OCTETS).lower()


def unify_name(prepared: str) -> str:
    """Give the one form that an account's name is kept in: its domain, if it has one, in A-labels.

    RFC 5890 §2.3.2.1. What goes into an exchange is the name as it was told.
    """
    local, at, domain = prepared.rpartition("@")
    if not at or domain.isascii():
        return prepared
    try:
        return f"{local}@{parse_domain(domain)}"
    except DomainError:
        return prepared


def prepare_login(text: str) -> str:
    """Give a name as a client says it, whose case may count. Raises PreparationError."""
    return _prepare(text, "name", MAX_NAME_OCTETS)


def _prepare(text: str, what: str, max_octets: int) -> str:
    if len(text) > max_octets:
        raise PreparationError(f"the {what} has more than {max_octets} octets")
    prepared = text if _is_plain(text) else _prepare_unicode(text, what)
    if not prepared:
        raise PreparationError(f"the {what} is empty")
    if len(prepared.encode()) > max_octets:
        raise PreparationError(f"the {what} has more than {max_octets} octets")
    return prepared


def _is_plain(text: str) -> bool:
    return text.isascii() and text.isprintable()


def _prepare_unicode(text: str, what: str) -> str:
    mapped = "".join(
        " " if stringprep.in_table_c12(character) else character
        for character in text
        if not stringprep.in_table_b1(character)
    )
    prepared = ucd_3_2_0.normalize("NFKC", mapped)
    if any(is_in(character) for character in prepared for is_in in _PROHIBITED):
        raise PreparationError(f"the {what} has a character that none may have")
    if not _is_in_one_direction(prepared):
        raise PreparationError(f"the {what} mixes directions of writing")
    return prepared


def _is_in_one_direction(text: str) -> bool:
    """RFC 3454 §6: what is written from right to left is so as a whole."""
    if not any(map(stringprep.in_table_d1, text)):
        return True
    if any(map(stringprep.in_table_d2, text)):
        return False
    return stringprep.in_table_d1(text[0]) and stringprep.in_table_d1(text[-1])
