"""Mailboxes and paths: what stands between `<` and `>` in MAIL FROM and RCPT TO.

RFC 5321 §4.1.2 (Mailbox, Path), §4.1.3 (address literals), §4.5.3.1.3 (length); RFC 6531 §3.3
(UTF-8); RFC 6532 §3.1 (NFC). Source routes are recognised and dropped, as RFC 5321 §4.1.1.3 asks of
receivers. `%`, `!` and the like in a local part mean nothing here: who may send where is decided
elsewhere.
"""

import re
from ipaddress import IPv4Address, IPv6Address
from unicodedata import normalize

from msgspec import Struct

from letterlock.base.domains import MAX_DOMAIN_OCTETS, Domain, DomainError, parse_domain

MAX_PATH_OCTETS = 256
"""RFC 5321 §4.5.3.1.3, with `<` and `>`. The 64 octets of §4.5.3.1.1 for a local part are what
everyone must take, not a limit: bounce addresses of mailing lists exceed them, so the path's
length alone bounds a local part."""

# RFC 5321 §4.1.2: Dot-string = Atom *("." Atom), atext of RFC 5322 §3.2.3. RFC 6531 §3.3 adds
# UTF8-non-ascii; its C1 controls and line separators are left out: they would end a line in str.
_ATEXT = r"A-Za-z0-9!#$%&'*+/=?^_`{|}~\-"
_NON_ASCII = r"\u00a0-\u2027\u202a-\U0010ffff"
_ATOM = rf"[{_ATEXT}{_NON_ASCII}]+"
_DOT_STRING = re.compile(rf"{_ATOM}(?:\.{_ATOM})*\Z")
# RFC 5321 §4.1.2: Quoted-string, qtextSMTP and quoted-pairSMTP.
_QUOTED_STRING = re.compile(
    rf'"((?:[ !#-\[\]-~{_NON_ASCII}]|\\[ -~])*)"\Z',
)
_QUOTED_PAIR = re.compile(r"\\(.)")
_TO_QUOTE = re.compile(r'(["\\])')
# RFC 5321 §4.1.2: sub-domain = Let-dig [Ldh-str]; no underscore, as its last paragraph says.
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_LDH_DOMAIN = re.compile(rf"{_LABEL}(?:\.{_LABEL})*\Z")
# Both at once, in ASCII: what nearly all addresses are. A domain that fits beside a local part in
# MAX_PATH_OCTETS is not too long by itself.
_USUAL_MAILBOX = re.compile(rf"([{_ATEXT}]+(?:\.[{_ATEXT}]+)*)@({_LABEL}(?:\.{_LABEL})*)\Z")
# RFC 5321 §4.1.2: A-d-l = At-domain *("," At-domain), then ":".
_SOURCE_ROUTE = re.compile(r"@[^@,:<>\"\\\s]+(?:,@[^@,:<>\"\\\s]+)*:")


class AddressError(ValueError):
    """A text is not a mailbox or path; the message says which rule it broke.

    `is_unicode` when its only fault is that it is not ASCII (RFC 6531 §3.5).
    """

    def __init__(self, reason: str, *, is_unicode: bool = False) -> None:
        super().__init__(reason)
        self.is_unicode = is_unicode


class Mailbox(Struct, frozen=True):
    """An address. `local` is what quoting meant, case kept; `domain` a Domain or `[literal]`.

    Mailboxes that differ in quoting only are equal (RFC 5321 §4.1.2). Made by `parse_mailbox`,
    or from a local part of printable characters and a domain in canonical form.
    """

    local: str
    domain: str

    @property
    def is_literal(self) -> bool:
        return self.domain.startswith("[")

    def format(self) -> str:
        """Give the address as text, quoted only where it must be; `parse_mailbox` inverts this."""
        if _DOT_STRING.match(self.local):
            return f"{self.local}@{self.domain}"
        quoted = _TO_QUOTE.sub(r"\\\1", self.local)
        return f'"{quoted}"@{self.domain}'

    def __str__(self) -> str:
        return self.format()


def fold_local_part(local: str) -> str:
    """Give the form in which local parts of our own domains are compared: small letters, in NFC.

    Whose domain it is decides what is the same (RFC 5321 §2.4): mail for others goes on as it was
    written. RFC 6532 §3.1: the same letters may be written in several ways, and NFC is one.
    """
    return local.lower() if local.isascii() else normalize("NFC", local.lower())


def parse_mailbox(text: str, *, may_be_unicode: bool = True) -> Mailbox:
    """Parse `local@domain` without angle brackets. Raises AddressError."""
    usual = _USUAL_MAILBOX.match(text) if len(text) <= MAX_PATH_OCTETS - 2 else None
    if usual is not None:
        return Mailbox(usual[1], Domain(usual[2].lower()))
    return _parse_unusual(text, may_be_unicode=may_be_unicode)


def _parse_unusual(text: str, *, may_be_unicode: bool) -> Mailbox:
    """Parse any mailbox; raises AddressError for what is none."""
    if _count_octets(text) > MAX_PATH_OCTETS - 2:
        raise AddressError(f"a path has at most {MAX_PATH_OCTETS} octets")
    if not may_be_unicode and not text.isascii():
        _parse_unusual(text, may_be_unicode=True)
        raise AddressError("an address outside ASCII needs SMTPUTF8", is_unicode=True)
    local, at, domain = text.rpartition("@")
    if not at:
        raise AddressError("an address has a local part, @ and a domain")
    return Mailbox(_parse_local_part(local), _parse_domain_part(domain))


def parse_reverse_path(path: str, *, may_be_unicode: bool = True) -> Mailbox | None:
    """Parse MAIL FROM's `<...>`; None is the null reverse-path `<>`. Raises AddressError."""
    if path == "<>":
        return None
    return _parse_path(path, may_be_unicode=may_be_unicode)


def parse_forward_path(path: str, *, may_be_unicode: bool = True) -> Mailbox | None:
    """Parse RCPT TO's `<...>`; None is `<Postmaster>`, which needs no domain (RFC 5321 §4.1.1.3).

    Raises AddressError.
    """
    if path.lower() == "<postmaster>":
        return None
    return _parse_path(path, may_be_unicode=may_be_unicode)


def _parse_path(path: str, *, may_be_unicode: bool) -> Mailbox:
    if path[:1] != "<" or path[-1:] != ">":
        raise AddressError("a path stands between < and >")
    inside = path[1:-1]
    if inside[:1] == "@":
        # The route is not looked at: it must never lead anywhere.
        route = _SOURCE_ROUTE.match(inside)
        if route is None:
            raise AddressError("a source route is a list of @domains that ends with a colon")
        if _count_octets(path) > MAX_PATH_OCTETS:
            raise AddressError(f"a path has at most {MAX_PATH_OCTETS} octets")
        if not may_be_unicode and not route[0].isascii():
            raise AddressError("a source route outside ASCII needs SMTPUTF8", is_unicode=True)
        inside = inside[route.end() :]
    return parse_mailbox(inside, may_be_unicode=may_be_unicode)


def _parse_local_part(text: str) -> str:
    if _DOT_STRING.match(text):
        return text
    quoted = _QUOTED_STRING.match(text)
    if quoted is None:
        raise AddressError(f"{text[:64]!r} is not a local part")
    return _QUOTED_PAIR.sub(r"\1", quoted[1])


def _parse_domain_part(text: str) -> str:
    if text[:1] == "[":
        return _parse_literal(text)
    domain = text.lower() if text.isascii() else _to_a_labels(text)
    if len(domain) > MAX_DOMAIN_OCTETS or not _LDH_DOMAIN.match(domain):
        raise AddressError(f"{text[:64]!r} is not a domain of letters, digits and hyphens")
    return Domain(domain)


def _to_a_labels(text: str) -> str:
    try:
        return parse_domain(text)
    except DomainError as error:
        raise AddressError(str(error)) from error


def _parse_literal(text: str) -> str:
    # RFC 5321 §4.1.3. No other Standardized-tag is registered than IPv6.
    if text[-1:] != "]" or "%" in text:
        raise AddressError(f"{text[:64]!r} is not an address literal")
    inside = text[1:-1]
    try:
        if inside[:5].lower() == "ipv6:":
            return f"[IPv6:{_format_ipv6(IPv6Address(inside[5:]))}]"
        return f"[{IPv4Address(inside)}]"
    except ValueError as error:
        raise AddressError(f"{text[:64]!r} is not an address literal") from error


def _format_ipv6(address: IPv6Address) -> str:
    # str() writes mapped addresses in another way since Python 3.13.
    mapped = address.ipv4_mapped
    return str(address) if mapped is None else f"::ffff:{mapped}"


def _count_octets(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "replace"))
