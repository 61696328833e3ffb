"""Validate the answers of a name server for zones whose keys are known, for the demo.

RFC 4035 §4.4 (keys as trust anchors), §5.3 (signatures), §5.4 (denial by NSEC). Only what the
demo's own zones have: one key for a zone, no delegation out of it, no wildcards, no NSEC3. What is
not understood is bogus, never insecure; zones without a known key are insecure. This is no
validator for the Internet: that is Unbound's work.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import dns.dnssec
import dns.exception
import dns.message
import dns.name
import dns.rcode
import dns.rdataclass
import dns.rdataset
import dns.rdatatype
import dns.rrset
from dns.rdtypes.ANY.DNSKEY import DNSKEY
from dns.rdtypes.ANY.NSEC import NSEC

from letterlock.network.rrsets import find_rrset
from letterlock.protocols.dns.answers import Security

MAX_LINKS = 16

_SIGNATURE = dns.rdatatype.RRSIG


@dataclass(frozen=True, slots=True)
class Validation:
    """SECURE, INSECURE or BOGUS, and why it is bogus."""

    security: Security
    reason: str = ""


class _BogusError(Exception):
    """What is there does not prove what it should; never leaves this module."""


class ZoneValidator:
    """Validates responses, by the keys of some zones: origin -> key."""

    def __init__(self, anchors: Mapping[str, DNSKEY]) -> None:
        self._anchors = {dns.name.from_text(origin): key for origin, key in anchors.items()}

    def validate(self, response: dns.message.Message, now: datetime) -> Validation:
        """Say how far a response to a question can be believed."""
        try:
            return Validation(self._walk(response, now))
        except _BogusError as error:
            return Validation(Security.BOGUS, str(error))

    def _walk(self, response: dns.message.Message, now: datetime) -> Security:
        """Follow the aliases from the question, and validate all that is said on the way."""
        if response.rcode() not in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
            return Security.INSECURE
        (question,) = response.question
        name, security = question.name, Security.SECURE
        for number in range(MAX_LINKS):
            origin = self._find_origin(name)
            if origin is None:
                security = Security.INSECURE
            found = find_rrset(response.answer, name, question.rdtype)
            alias = find_rrset(response.answer, name, dns.rdatatype.CNAME)
            rrset = found or alias
            if rrset is None:
                if origin is not None:
                    self._validate_denial(response, name, origin, now)
                _require_only(response.answer, number)
                return security
            if origin is not None:
                self._validate_rrset(response.answer, rrset, origin, now)
            if found:
                _require_only(response.answer, number + 1)
                return security
            name = rrset[0].target
        raise _BogusError(f"more than {MAX_LINKS} aliases")

    def _find_origin(self, name: dns.name.Name) -> dns.name.Name | None:
        """Find the closest zone above a name whose key is known."""
        while name not in self._anchors:
            if name == dns.name.root:
                return None
            name = name.parent()
        return name

    def _validate_rrset(
        self,
        section: list[dns.rrset.RRset],
        rrset: dns.rrset.RRset,
        origin: dns.name.Name,
        now: datetime,
    ) -> None:
        what = f"{dns.rdatatype.to_text(rrset.rdtype)} of {rrset.name}"
        signatures = find_rrset(section, rrset.name, _SIGNATURE, rrset.rdtype)
        if signatures is None:
            raise _BogusError(f"{what} is not signed")
        if any(signature.labels != len(rrset.name) - 1 for signature in signatures):
            raise _BogusError(f"{what} comes from a wildcard")
        if any(signature.signer != origin for signature in signatures):
            raise _BogusError(f"{what} is signed by another zone")
        anchor = dns.rdataset.from_rdata(rrset.ttl, self._anchors[origin])
        try:
            dns.dnssec.validate(rrset, signatures, {origin: anchor}, now=now.timestamp())
        except dns.exception.DNSException as error:
            raise _BogusError(f"{what}: {error}") from None

    def _validate_denial(
        self,
        response: dns.message.Message,
        name: dns.name.Name,
        origin: dns.name.Name,
        now: datetime,
    ) -> None:
        """Require proof of what is not there, and a SOA that says for how long."""
        for rrset in response.authority:
            if rrset.rdtype != _SIGNATURE:
                self._validate_rrset(response.authority, rrset, origin, now)
        if find_rrset(response.authority, origin, dns.rdatatype.SOA) is None:
            raise _BogusError("a denial without SOA")
        proofs = {
            rrset.name: rrset[0]
            for rrset in response.authority
            if rrset.rdtype == dns.rdatatype.NSEC and rrset.name.is_subdomain(origin)
        }
        if response.rcode() == dns.rcode.NXDOMAIN:
            _require_no_name(name, proofs)
        else:
            _require_no_data(name, response.question[0].rdtype, proofs)


def _require_only(section: list[dns.rrset.RRset], count: int) -> None:
    """Require that there is nothing but what was followed: the rest was not validated."""
    if sum(rrset.rdtype != _SIGNATURE for rrset in section) != count:
        raise _BogusError("there are records that nobody asked for")


def _require_no_data(
    name: dns.name.Name, rdtype: dns.rdatatype.RdataType, proofs: Mapping[dns.name.Name, NSEC]
) -> None:
    """RFC 4035 §5.4: the name is there without that type, or only names below it are."""
    own = proofs.get(name)
    if own is not None:
        if _has_type(own, rdtype) or _has_type(own, dns.rdatatype.CNAME):
            raise _BogusError(f"{name} is said to have nothing, and has it by its NSEC")
        return
    for owner, proof in proofs.items():
        if _covers(owner, proof, name) and proof.next.is_subdomain(name):
            return
    raise _BogusError(f"nothing proves that {name} has no such records")


def _require_no_name(name: dns.name.Name, proofs: Mapping[dns.name.Name, NSEC]) -> None:
    """RFC 4035 §5.4: neither the name is there, nor a wildcard that would stand for it."""
    for owner, proof in proofs.items():
        if _covers(owner, proof, name) and not proof.next.is_subdomain(name):
            encloser = max(_common(name, owner), _common(name, proof.next), key=len)
            wildcard = dns.name.from_text("*", origin=encloser)
            if any(_covers(other, each, wildcard) for other, each in proofs.items()):
                return
    raise _BogusError(f"nothing proves that {name} is not there")


def _covers(owner: dns.name.Name, proof: NSEC, name: dns.name.Name) -> bool:
    """Tell whether a name lies between an NSEC and the next; the last one's next is the origin."""
    return bool(owner < name and (name < proof.next or proof.next <= owner))


def _common(first: dns.name.Name, second: dns.name.Name) -> dns.name.Name:
    """Give the closest name above both."""
    _, _, labels = first.fullcompare(second)
    return first.split(labels)[1]


def _has_type(proof: NSEC, rdtype: dns.rdatatype.RdataType) -> bool:
    window, offset = divmod(int(rdtype), 256)
    for number, bitmap in proof.windows:
        if number == window and offset // 8 < len(bitmap):
            return bool(bitmap[offset // 8] & (0x80 >> offset % 8))
    return False
