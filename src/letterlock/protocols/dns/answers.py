"""A DNS answer as a fact: records, DNSSEC state and the reason for it.

RFC 4035 §4.3 (the states), RFC 8914 (reasons), RFC 6698 §2.1 (TLSA), RFC 8659 §4.1 (CAA). Looking
up is `network.dns`.
"""

from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Address, IPv6Address

from letterlock.base.domains import Domain


class Security(StrEnum):
    """What is known of an answer. `indeterminate` (RFC 4035 §4.3) counts as FAILED."""

    SECURE = "secure"
    INSECURE = "insecure"
    BOGUS = "bogus"
    FAILED = "failed"


class Existence(StrEnum):
    """Whether there is something: an answer of records, no such type, or no such name."""

    RECORDS = "records"
    NODATA = "nodata"
    NXDOMAIN = "nxdomain"


@dataclass(frozen=True, slots=True)
class MxRecord:
    """RFC 1035 §3.3.9. `exchange` is None for the null MX (RFC 7505 §3)."""

    preference: int
    exchange: Domain | None


@dataclass(frozen=True, slots=True)
class SoaRecord:
    """RFC 1035 §3.3.13, what is needed of it. `mname` is None when it is no domain name."""

    mname: Domain | None
    serial: int
    minimum: int
    """Seconds for which a negative answer may be kept."""


@dataclass(frozen=True, slots=True)
class TlsaRecord:
    """RFC 6698 §2.1, as published: whether it can be used is for `protocols.policy` to say."""

    usage: int
    selector: int
    matching_type: int
    association: bytes

    def __str__(self) -> str:
        """As in a zone file."""
        return f"{self.usage} {self.selector} {self.matching_type} {self.association.hex()}"


@dataclass(frozen=True, slots=True)
class CaaRecord:
    """RFC 8659 §4.1, as published: any flags, any octets. What it means is for `protocols.caa`."""

    flags: int
    tag: bytes
    value: bytes

    def __str__(self) -> str:
        """As in a zone file (RFC 8659 §4.1.1, RFC 1035 §5.1), on one line whatever is in it."""
        tag, value = _escape(self.tag, b' "();\\'), _escape(self.value, b'"\\')
        return f'{self.flags} {tag} "{value}"'


@dataclass(frozen=True, slots=True)
class CnameLink:
    """One alias on the way to the records, and its own DNSSEC state."""

    name: Domain
    target: Domain
    security: Security


Record = IPv4Address | IPv6Address | MxRecord | SoaRecord | TlsaRecord | CaaRecord | Domain | bytes
"""A and AAAA; MX; SOA; TLSA; CAA; CNAME, NS, PTR as Domain; the rest as octets (TXT: joined)."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a resolver said to one question.

    `name` is what was asked, `owner` where the records were found (after CNAMEs). `existence` has
    a meaning only when `security` is SECURE or INSECURE; RECORDS with no `records` means that
    none of them could be used. `ttl` in seconds. `reason` is one line for people, empty when there
    is nothing to say.
    """

    name: Domain
    rdtype: str
    security: Security
    existence: Existence = Existence.NODATA
    records: tuple[Record, ...] = ()
    owner: Domain | None = None
    cnames: tuple[CnameLink, ...] = ()
    ttl: int = 0
    reason: str = ""
    extended_error: int | None = None

    @property
    def is_answer(self) -> bool:
        """The resolver gave an answer that may be used (also: that there is nothing)."""
        return self.security in (Security.SECURE, Security.INSECURE)


def _escape(octets: bytes, escaped: bytes) -> str:
    return "".join(
        (f"\\{chr(octet)}" if octet in escaped else chr(octet))
        if 0x20 <= octet < 0x7F
        else f"\\{octet:03d}"
        for octet in octets
    )
