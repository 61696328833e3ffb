"""Names as an order may have them: in the one form in which they would stand in a certificate.

RFC 8555 §7.1.3 (wildcards), §7.1.4 (`xn--` must be encoded well), RFC 5280 §7.2, RFC 5890 §2.3.1
(no label but an A-label has hyphens in its third and fourth place), RFC 8738 §3 (addresses as
RFC 5952 §4 writes them). Which names an authority certifies is its profile's to say, in `pki`.
"""

import re

from letterlock.base.domains import MAX_DOMAIN_OCTETS, MAX_LABEL_OCTETS
from letterlock.protocols.acme.fields import Fields, ObjectError
from letterlock.protocols.acme.identifiers import DNS, IP, WILDCARD, Identifier, parse_identifier
from letterlock.protocols.acme.server.refusals import ErrorType, NameFault

MAX_LABELS = 10
"""Names of more are what loops make, as `www.www.www...`."""

# RFC 1035 §2.3.1: letters, digits, hyphens; an underscore is in no certificate of a server.
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\Z")
_ALL_DIGITS = re.compile(r"[0-9]+\Z")
# Baseline Requirements 4.2.2: nobody proves who an address is by its name in the DNS.
_REVERSE = (".in-addr.arpa", ".ip6.arpa")


def read_ordered(fields: Fields) -> Identifier | NameFault:
    """Read one of an order's identifiers. Raises ObjectError where it is no identifier at all."""
    kind, value = fields.required_text("type"), fields.required_text("value")
    identifier = Identifier(kind, value.lower() if kind == DNS else value)
    if kind not in (DNS, IP):
        detail = f"type {kind[:40]!r} is neither {DNS} nor {IP}"
        return NameFault(identifier, ErrorType.UNSUPPORTED_IDENTIFIER, detail)
    detail = (_find_name_fault if kind == DNS else _find_address_fault)(identifier.value) or ""
    if detail:
        return NameFault(identifier, ErrorType.MALFORMED, detail)
    if kind == DNS and identifier.value.endswith(_REVERSE):
        detail = "names of the reverse DNS get no certificates"
        return NameFault(identifier, ErrorType.REJECTED_IDENTIFIER, detail)
    return identifier


def read_all_ordered(
    found: Fields, most: int
) -> tuple[tuple[Identifier, ...], tuple[NameFault, ...]]:
    """Read an order's identifiers, each once and in the order given, and what is wrong with which.

    Raises ObjectError where there is none, or more than `most`.
    """
    each_read = [read_ordered(each) for each in found.many("identifiers", most)]
    if not each_read:
        raise ObjectError("order: it has no identifiers")
    good = dict.fromkeys(each for each in each_read if isinstance(each, Identifier))
    faults = tuple(each for each in each_read if isinstance(each, NameFault))
    return tuple(good), faults


def _find_name_fault(value: str) -> str | None:
    name = value.removeprefix(WILDCARD)
    labels = name.split(".")
    if not name.isascii():
        return "a name is given in ASCII, its other letters as xn-- has them"
    if len(name) > MAX_DOMAIN_OCTETS or len(labels) > MAX_LABELS:
        return f"a name has at most {MAX_DOMAIN_OCTETS} octets and {MAX_LABELS} labels"
    for label in labels:
        if len(label) > MAX_LABEL_OCTETS or not _LABEL.match(label):
            return f"{label[:MAX_LABEL_OCTETS]!r} is no label of letters, digits and hyphens"
        if label[2:4] == "--" and not _is_a_label(label):
            return f"{label!r} is not an A-label"
    if _ALL_DIGITS.match(labels[-1]):
        return "a name does not end in a number: is it an address?"
    return None


def _is_a_label(label: str) -> bool:
    import idna  # noqa: PLC0415 - names without A-labels are nearly all names

    try:
        return label.startswith("xn--") and idna.alabel(idna.ulabel(label)).decode() == label
    except (idna.IDNAError, UnicodeError):
        return False


def _find_address_fault(value: str) -> str | None:
    try:
        identifier = parse_identifier(value)
    except ValueError:
        identifier = None
    if identifier is None or identifier.type != IP:
        return "it is no address that a certificate can have"
    if identifier.value != value:
        return f"this address is written {identifier.value}"
    return None
