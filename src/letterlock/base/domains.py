"""Domain names: one form inside the program, made at the edge.

RFC 1035 §2.3.4 (lengths), RFC 5890 §2.3 (A-labels and U-labels). `parse_domain` gives lower-case
ASCII (A-labels) without a final dot; everything after it takes a `Domain`. What a name may be
used for is not decided here.
"""

import re
from typing import NewType

Domain = NewType("Domain", str)
"""A domain name: lower-case A-labels, no final dot, at least one label."""

MAX_DOMAIN_OCTETS = 253
MAX_LABEL_OCTETS = 63

# RFC 5321 §4.1.2 `sub-domain`, and the underscore: real hosts and record owners use it.
_ONE = r"[a-z0-9_][a-z0-9_-]{0,62}(?<!-)"
_LABEL = re.compile(rf"{_ONE}\Z")
# A whole name at once takes half the time that label by label does.
_NAME = re.compile(rf"(?:{_ONE}\.)*{_ONE}\Z")


class DomainError(ValueError):
    """A text is not a domain name; the message says which rule it broke."""


def parse_domain(text: str) -> Domain:
    """Parse a domain name in ASCII or Unicode, with or without a final dot.

    Raises DomainError for an empty name, an empty or long label, characters outside letters,
    digits, hyphen and underscore, and Unicode that IDNA 2008 (with UTS 46 mapping) refuses.
    """
    name = text.removesuffix(".").lower() if text.isascii() else _to_a_labels(text)
    if not name:
        raise DomainError("a domain name must not be empty")
    if len(name) > MAX_DOMAIN_OCTETS:
        raise DomainError(f"a domain name has at most {MAX_DOMAIN_OCTETS} octets")
    if not _NAME.match(name):
        raise DomainError(_describe_fault(name))
    return Domain(name)


def _describe_fault(name: str) -> str:
    """Say which label of a name is none."""
    label = next(each for each in name.split(".") if not _LABEL.match(each))
    if len(label) > MAX_LABEL_OCTETS:
        return f"a label has at most {MAX_LABEL_OCTETS} octets: {label[:20]!r}..."
    return f"{label[:80]!r} is not a label of a domain name"


def format_unicode(domain: Domain) -> str:
    """Give the domain with U-labels, for people; a label that is no A-label stays as it is."""
    if "xn--" not in domain:
        return domain
    # Names without A-labels are nearly all names: idna is loaded for the others only.
    import idna  # noqa: PLC0415 - as said

    labels = []
    for label in domain.split("."):
        try:
            labels.append(idna.decode(label))
        except idna.IDNAError:
            labels.append(label)
    return ".".join(labels)


def _to_a_labels(text: str) -> str:
    import idna  # noqa: PLC0415 - see format_unicode

    try:
        mapped = idna.uts46_remap(text, std3_rules=False).removesuffix(".")
        # One by one: `_25._tcp.bücher.example` is a name too, and IDNA knows no underscore.
        labels = (
            label if label.isascii() else idna.alabel(label).decode("ascii")
            for label in mapped.split(".")
        )
        return ".".join(labels).lower()
    except idna.IDNAError as error:
        raise DomainError(
            f"{text[:80]!r} is not an internationalised domain name: {str(error)[:160]}"
        ) from error
