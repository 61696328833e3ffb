"""What is in a section of a DNS message, as dnspython reads it: RFC 1035 §4.1, RFC 2181 §5."""

import dns.name
import dns.rdataclass
import dns.rdatatype
import dns.rrset


def find_rrset(
    section: list[dns.rrset.RRset],
    name: dns.name.Name,
    rdtype: dns.rdatatype.RdataType,
    covers: dns.rdatatype.RdataType = dns.rdatatype.NONE,
) -> dns.rrset.RRset | None:
    """Find the records of a name and type; `covers`: of RRSIG, those of this type. None: none."""
    for rrset in section:
        if rrset.match(name, dns.rdataclass.IN, rdtype, covers) and len(rrset):
            return rrset
    return None
