"""One record of a zone as whoever changes zones has it: in words, and as dnspython's rdata.

RFC 1035 §3.3.14 (TXT), §5.1 (text of records), RFC 6698 §2.2 (TLSA).
"""

from dataclasses import dataclass

import dns.exception
import dns.rdata
import dns.rdataclass
import dns.rdatatype
from dns.rdtypes.ANY.TXT import TXT

from letterlock.base.domains import Domain

MAX_STRING_OCTETS = 255
"""RFC 1035 §3.3: what one character-string holds; a longer text is several."""


@dataclass(frozen=True, slots=True)
class ZoneRecord:
    """A record of class IN. `value` is as in a zone file; of TXT it is the text, without quotes."""

    name: Domain
    rdtype: str
    value: str
    ttl: int
    """Seconds."""

    def __str__(self) -> str:
        return f"{self.rdtype} {self.name}"


def make_rdata(rdtype: str, value: str) -> dns.rdata.Rdata:
    """Make what dnspython has of it. Raises ValueError for a value that the type can't have."""
    if rdtype == "TXT":
        octets = value.encode()
        steps = range(0, max(len(octets), 1), MAX_STRING_OCTETS)
        strings = [octets[at : at + MAX_STRING_OCTETS] for at in steps]
        return TXT(dns.rdataclass.IN, dns.rdatatype.TXT, strings)
    try:
        return dns.rdata.from_text(dns.rdataclass.IN, dns.rdatatype.from_text(rdtype), value)
    except (dns.exception.DNSException, ValueError) as error:
        raise ValueError(f"not the text of a {rdtype} record: {error}") from error


def format_value(rdata: dns.rdata.Rdata) -> str:
    """Give the value of a record in its one form: whatever was written, the same is equal."""
    if isinstance(rdata, TXT):
        return b"".join(rdata.strings).decode("utf-8", "replace")
    return rdata.to_text()


def normalize_value(rdtype: str, value: str) -> str:
    """Give a value its one form. Raises ValueError."""
    return format_value(make_rdata(rdtype, value))
