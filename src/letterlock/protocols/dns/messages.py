"""A DNS response as read from the wire, before anybody says what it means.

RFC 1035 §4.1, RFC 6891 §6.1.3, RFC 8914 §2. Reading and writing the octets is `codec`; what a
response means is `chains`.
"""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from letterlock.protocols.dns.answers import CaaRecord, TlsaRecord

RDTYPES = {
    "A": 1,
    "NS": 2,
    "CNAME": 5,
    "SOA": 6,
    "PTR": 12,
    "MX": 15,
    "TXT": 16,
    "AAAA": 28,
    "DS": 43,
    "DNSKEY": 48,
    "TLSA": 52,
    "CAA": 257,
}

NOERROR = 0
FORMERR = 1
SERVFAIL = 2
NXDOMAIN = 3
_RCODES = ("NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED")


@dataclass(frozen=True, slots=True)
class Question:
    """What a message asks. `name` as in ResourceRecord; `rdtype` is the number."""

    name: str
    rdtype: int


@dataclass(frozen=True, slots=True)
class MxRdata:
    """RFC 1035 §3.3.9. `exchange` is empty for the root."""

    preference: int
    exchange: str


@dataclass(frozen=True, slots=True)
class SoaRdata:
    """RFC 1035 §3.3.13, without mailbox and timers."""

    mname: str
    serial: int
    minimum: int


Rdata = IPv4Address | IPv6Address | MxRdata | SoaRdata | TlsaRecord | CaaRecord | str | bytes
"""A and AAAA; MX; SOA; TLSA; CAA; CNAME, NS and PTR as str; the rest as octets (TXT: joined)."""


@dataclass(frozen=True, slots=True)
class ResourceRecord:
    """A record of class IN.

    Names are lower-case text without a final dot, odd octets escaped as RFC 1035 §5.1 does; the
    root is empty.
    """

    owner: str
    rdtype: int
    ttl: int
    rdata: Rdata


@dataclass(frozen=True, slots=True)
class ExtendedError:
    """RFC 8914 §2. `text` is printable, and at most MAX_EXTRA_TEXT_OCTETS long."""

    code: int
    text: str


@dataclass(frozen=True, slots=True)
class Response:
    """A response as it came. Of a truncated one (TC) only header and question are read.

    `rcode` includes EDNS's upper bits. `negative_ttl`: seconds for which "there is nothing" may be
    kept, None when the response has no SOA.
    """

    query_id: int
    rcode: int
    is_authentic: bool
    question: Question | None
    is_truncated: bool = False
    answers: tuple[ResourceRecord, ...] = ()
    negative_ttl: int | None = None
    extended_errors: tuple[ExtendedError, ...] = ()


@dataclass(frozen=True, slots=True)
class Malformed:
    """Octets that are no DNS response; `reason` names the rule they break."""

    reason: str


def format_rcode(rcode: int) -> str:
    """Give a response code its name."""
    return _RCODES[rcode] if rcode < len(_RCODES) else f"RCODE{rcode}"
