"""Sign a zone with one key, for the demo and for tests: ECDSA P-256, NSEC.

RFC 4034 §3 (signatures), §4 (NSEC), RFC 4035 §2 (what a signed zone has), RFC 6605 §4 (the
algorithm). dnspython does the work. One key signs everything, and none is ever rolled over.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

import dns.dnssec
import dns.name
import dns.rdatatype
import dns.rrset
import dns.zone
from cryptography.hazmat.primitives.asymmetric import ec
from dns.dnssectypes import Algorithm, DSDigest
from dns.rdtypes.ANY.DNSKEY import DNSKEY
from dns.rdtypes.ANY.DS import DS

LIFETIME = timedelta(days=7)
BACKDATED = timedelta(hours=1)
"""Signatures are valid before they are made: the clock of who checks them may be behind."""

_SECURE_ENTRY_POINT = 257


@dataclass(frozen=True, slots=True)
class ZoneKey:
    """A zone's key: the private one, and the record that is published."""

    private: ec.EllipticCurvePrivateKey
    dnskey: DNSKEY

    def make_ds(self, origin: str) -> DS:
        """Make the record by which a parent zone, or a trust anchor, names this key."""
        return dns.dnssec.make_ds(dns.name.from_text(origin), self.dnskey, DSDigest.SHA256)


def make_key(
    make_private: Callable[[], ec.EllipticCurvePrivateKey] = lambda: ec.generate_private_key(
        ec.SECP256R1()
    ),
) -> ZoneKey:
    """Make a key for keys and records both."""
    private = make_private()
    dnskey = dns.dnssec.make_dnskey(
        private.public_key(), Algorithm.ECDSAP256SHA256, flags=_SECURE_ENTRY_POINT
    )
    return ZoneKey(private, dnskey)


def sign_zone(zone: dns.zone.Zone, key: ZoneKey, inception: datetime, expiration: datetime) -> None:
    """Add the key, the signatures and the NSEC chain to a zone, in place of those it had."""
    for name, rdataset in list(zone.iterate_rdatasets()):
        if rdataset.rdtype in (dns.rdatatype.RRSIG, dns.rdatatype.NSEC):
            zone.delete_rdataset(name, rdataset.rdtype, rdataset.covers)
    with zone.writer() as changes:
        dns.dnssec.sign_zone(
            zone,
            changes,
            keys=[(key.private, key.dnskey)],
            inception=inception,
            expiration=expiration,
        )


def find_signatures(zone: dns.zone.Zone, rrset: dns.rrset.RRset) -> dns.rrset.RRset | None:
    """Find the signatures of a zone's records; None where it is not signed."""
    return zone.get_rrset(rrset.name, dns.rdatatype.RRSIG, rrset.rdtype)


def find_denial(zone: dns.zone.Zone, name: dns.name.Name) -> list[dns.rrset.RRset]:
    """Find the NSEC records that prove what a name has not, or that there is no such name.

    RFC 4035 §3.1.3.1, §3.1.3.2: for a name that is not there, also that no wildcard stands for it.
    Empty where the zone is not signed.
    """
    owners = sorted(owner for owner in zone.nodes if zone.get_rdataset(owner, dns.rdatatype.NSEC))
    if not owners or zone.origin is None:
        return []
    names = [name]
    if not any(owner.is_subdomain(name) for owner in owners):
        encloser = name
        while not any(owner.is_subdomain(encloser) for owner in owners):
            encloser = encloser.parent()
        names.append(dns.name.from_text("*", origin=encloser))
    found = {}
    for denied in names:
        owner = max(owner for owner in owners if owner <= denied)
        rrset = zone.get_rrset(owner, dns.rdatatype.NSEC)
        assert rrset is not None
        found[owner] = rrset
    return list(found.values())
