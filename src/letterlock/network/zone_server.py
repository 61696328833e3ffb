"""A small authoritative name server for the demo and for tests, on loopback.

RFC 1034 §4.3.2 (the algorithm; wildcards and delegations are left out), RFC 4035 §3.1 (what a
signed zone's answers have). It knows all there is: a name outside its zones does not exist.
Records can be changed, and names can be made to fail, while it runs.
"""

import textwrap
from collections.abc import Mapping
from datetime import datetime

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset
import dns.zone

from letterlock.network.dns_server import DnsServer
from letterlock.network.zone_signing import (
    BACKDATED,
    LIFETIME,
    ZoneKey,
    find_denial,
    find_signatures,
    sign_zone,
)

MAX_LINKS = 16

_SOA = "\n@ 60 IN SOA ns hostmaster 1 3600 600 86400 60\n"


class ZoneServer:
    """Serves zones: origin -> records as a zone file has them, names relative to the origin.

    Indentation that all lines share does not count.
    A zone without a SOA is given one, whose negative TTL is 60 s. With `authentic_data` the
    answers have the AD bit, as a validating resolver's in a world where every zone is signed.
    """

    def __init__(
        self,
        zones: Mapping[str, str],
        *,
        authentic_data: bool = False,
        keys: Mapping[str, ZoneKey] | None = None,
        now: datetime | None = None,
    ) -> None:
        """Load the zones. Those that have a key are signed with it, from `now` for LIFETIME.

        Raises ValueError for keys without `now`.
        """
        loaded = [_load_zone(origin, text) for origin, text in zones.items()]
        self._zones = {zone.origin: zone for zone in loaded}
        self._keys = {dns.name.from_text(origin): key for origin, key in (keys or {}).items()}
        if self._keys and now is None:
            raise ValueError("signatures need to know the time")
        self._signed = now
        for origin in self._keys:
            self._sign(self._zones[origin])
        self._is_authentic = authentic_data
        self._failures: dict[dns.name.Name, dns.rcode.Rcode | None] = {}
        self._server = DnsServer(self.respond)

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> tuple[str, int]:
        """Listen; gives the address. Port 0: one that is free for TCP and UDP both."""
        return await self._server.start(host, port)

    async def close(self) -> None:
        """Stop listening."""
        await self._server.close()

    def set(self, name: str, rdtype: str, *records: str, ttl: int = 60) -> None:
        """Replace the records of a name and type; with none, remove them.

        Raises ValueError for a name that is in none of the zones.
        """
        owner = dns.name.from_text(name)
        zone = self._find_zone(owner)
        if zone is None:
            raise ValueError(f"{name} is in none of the zones")
        if records:
            rrset = dns.rrset.from_text(owner, ttl, "IN", rdtype, *records)
            zone.replace_rdataset(owner, rrset.to_rdataset())
        else:
            zone.delete_rdataset(owner, rdtype)
        if zone.origin in self._keys:
            self._sign(zone)

    def fail(self, name: str, rcode: str | None = "SERVFAIL") -> None:
        """Answer every question for a name with a response code; None: don't answer at all."""
        self._failures[dns.name.from_text(name)] = dns.rcode.from_text(rcode) if rcode else None

    def restore(self, name: str) -> None:
        """Let a name that was made to fail work again."""
        self._failures.pop(dns.name.from_text(name), None)

    def answer(self, wire: bytes, *, is_datagram: bool) -> bytes | None:
        """Answer one message; None: with nothing."""
        return self._server.answer(wire, is_datagram=is_datagram)

    def respond(self, query: dns.message.Message) -> dns.message.Message | None:
        """Answer a query that has one question; None: not at all."""
        response = dns.message.make_response(query)
        (question,) = query.question
        failure = self._failures.get(question.name, dns.rcode.NOERROR)
        if failure is None:
            return None
        response.set_rcode(failure)
        if failure == dns.rcode.NOERROR:
            denied = self._fill(response, question.name, question.rdtype)
            if query.ednsflags & dns.flags.DO:
                self._add_proof(response, denied)
        return response

    def _fill(
        self, response: dns.message.Message, name: dns.name.Name, rdtype: dns.rdatatype.RdataType
    ) -> dns.name.Name | None:
        """Put in what there is: aliases, then records, or a SOA and perhaps NXDOMAIN.

        Gives the name that has not what was asked for; None when it has.
        """
        response.flags |= dns.flags.AA | dns.flags.RA
        if self._is_authentic:
            response.flags |= dns.flags.AD
        zone = self._find_zone(name)
        for _ in range(MAX_LINKS):
            if found := _find_rrset(zone, name, rdtype):
                response.answer.append(found)
                return None
            alias = _find_rrset(zone, name, dns.rdatatype.CNAME)
            if alias is None:
                break
            response.answer.append(alias)
            name = alias[0].target
            zone = self._find_zone(name)
        if zone and zone.origin and (soa := _find_rrset(zone, zone.origin, dns.rdatatype.SOA)):
            response.authority.append(soa)
        if not _exists(zone, name):
            response.set_rcode(dns.rcode.NXDOMAIN)
        return name

    def _add_proof(self, response: dns.message.Message, denied: dns.name.Name | None) -> None:
        """Add signatures to what is there, and proof of what is not (RFC 4035 §3.1)."""
        if denied is not None and (zone := self._find_zone(denied)):
            response.authority.extend(find_denial(zone, denied))
        for section in (response.answer, response.authority):
            for rrset in tuple(section):
                zone = self._find_zone(rrset.name)
                if zone is not None and (found := find_signatures(zone, rrset)):
                    section.append(found)

    def _sign(self, zone: dns.zone.Zone) -> None:
        assert self._signed is not None
        assert zone.origin is not None
        inception, expiration = self._signed - BACKDATED, self._signed + LIFETIME
        sign_zone(zone, self._keys[zone.origin], inception, expiration)

    def _find_zone(self, name: dns.name.Name) -> dns.zone.Zone | None:
        """Find the closest zone above a name."""
        while name not in self._zones:
            if name == dns.name.root:
                return None
            name = name.parent()
        return self._zones[name]


def _load_zone(origin: str, text: str) -> dns.zone.Zone:
    """Load a zone. Raises dns.exception.DNSException for text that is no zone file."""
    head = "" if " SOA " in text else _SOA
    return dns.zone.from_text(
        "$TTL 60\n" + head + textwrap.dedent(text),
        origin=origin,
        relativize=False,
        check_origin=False,
    )


def _find_rrset(
    zone: dns.zone.Zone | None, name: dns.name.Name, rdtype: dns.rdatatype.RdataType
) -> dns.rrset.RRset | None:
    return zone.get_rrset(name, rdtype) if zone else None


def _exists(zone: dns.zone.Zone | None, name: dns.name.Name) -> bool:
    """Tell whether there is anything at a name or below it (RFC 4592 §2.2.2)."""
    return zone is not None and any(owner.is_subdomain(name) for owner in zone.nodes)
