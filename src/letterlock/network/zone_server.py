"""A small authoritative name server for the demo and for tests, on loopback.

RFC 1034 §4.3.2 (the algorithm; wildcards are left out), RFC 1035 §4.2 (UDP and TCP), RFC 6891
§6.2.3 (sizes). It knows all there is: a name outside its zones does not exist. Records can be
changed, and names can be made to fail, while it runs.
"""

import asyncio
import textwrap
from collections.abc import Mapping
from typing import Any

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset
import dns.zone

MAX_CONNECTIONS = 50
MAX_LINKS = 16
IDLE_SECONDS = 10.0

_SOA = "\n@ 60 IN SOA ns hostmaster 1 3600 600 86400 60\n"
_MIN_UDP_OCTETS = 512
_MAX_OCTETS = 0xFFFF
_PORT_TRIES = 10


class ZoneServer:
    """Serves zones: origin -> records as a zone file has them, names relative to the origin.

    Indentation that all lines share does not count.
    A zone without a SOA is given one, whose negative TTL is 60 s. With `authentic_data` the
    answers have the AD bit, as a validating resolver's in a world where every zone is signed.
    """

    def __init__(self, zones: Mapping[str, str], *, authentic_data: bool = False) -> None:
        loaded = [_load_zone(origin, text) for origin, text in zones.items()]
        self._zones = {zone.origin: zone for zone in loaded}
        self._is_authentic = authentic_data
        self._failures: dict[dns.name.Name, dns.rcode.Rcode | None] = {}
        self._udp: asyncio.DatagramTransport | None = None
        self._tcp: asyncio.Server | None = None
        self._connections = 0

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> tuple[str, int]:
        """Listen; gives the address. Port 0: one that is free for TCP and UDP both."""
        for _ in range(_PORT_TRIES - 1 if port == 0 else 0):
            try:
                return await self._listen(host, port)
            except OSError:
                continue
        return await self._listen(host, port)

    async def close(self) -> None:
        """Stop listening."""
        if self._udp:
            self._udp.close()
        if self._tcp:
            self._tcp.close()
            await asyncio.sleep(0)

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

    def fail(self, name: str, rcode: str | None = "SERVFAIL") -> None:
        """Answer every question for a name with a response code; None: don't answer at all."""
        self._failures[dns.name.from_text(name)] = dns.rcode.from_text(rcode) if rcode else None

    def restore(self, name: str) -> None:
        """Let a name that was made to fail work again."""
        self._failures.pop(dns.name.from_text(name), None)

    def answer(self, wire: bytes, *, is_datagram: bool) -> bytes | None:
        """Answer one message; None: with nothing."""
        try:
            query = dns.message.from_wire(wire)
            response = dns.message.make_response(query)
        except (dns.exception.DNSException, ValueError):
            return None
        if len(query.question) != 1:
            return None
        (question,) = query.question
        failure = self._failures.get(question.name, dns.rcode.NOERROR)
        if failure is None:
            return None
        response.set_rcode(failure)
        if failure == dns.rcode.NOERROR:
            self._fill(response, question.name, question.rdtype)
        return _to_wire(response, max(query.payload, _MIN_UDP_OCTETS) if is_datagram else None)

    async def _listen(self, host: str, port: int) -> tuple[str, int]:
        self._tcp = await asyncio.start_server(self._serve_tcp, host, port)
        address: tuple[str, int] = self._tcp.sockets[0].getsockname()[:2]
        loop = asyncio.get_running_loop()
        try:
            self._udp, _ = await loop.create_datagram_endpoint(
                lambda: _UdpPort(self), local_addr=address
            )
        except OSError:
            self._tcp.close()
            raise
        return address

    async def _serve_tcp(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections += 1
        try:
            if self._connections <= MAX_CONNECTIONS:
                await self._converse(reader, writer)
        except (OSError, EOFError, TimeoutError):
            pass  # the client went away or said nothing
        finally:
            self._connections -= 1
            writer.close()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            async with asyncio.timeout(IDLE_SECONDS):
                size = int.from_bytes(await reader.readexactly(2))
                wire = await reader.readexactly(size)
                response = self.answer(wire, is_datagram=False)
                if response is None:
                    return
                writer.write(len(response).to_bytes(2) + response)
                await writer.drain()

    def _fill(
        self, response: dns.message.Message, name: dns.name.Name, rdtype: dns.rdatatype.RdataType
    ) -> None:
        """Put in what there is: aliases, then records, or a SOA and perhaps NXDOMAIN."""
        response.flags |= dns.flags.AA | dns.flags.RA
        if self._is_authentic:
            response.flags |= dns.flags.AD
        zone = self._find_zone(name)
        for _ in range(MAX_LINKS):
            if found := _find_rrset(zone, name, rdtype):
                response.answer.append(found)
                return
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

    def _find_zone(self, name: dns.name.Name) -> dns.zone.Zone | None:
        """Find the closest zone above a name."""
        while name not in self._zones:
            if name == dns.name.root:
                return None
            name = name.parent()
        return self._zones[name]


class _UdpPort(asyncio.DatagramProtocol):
    def __init__(self, server: ZoneServer) -> None:
        self._server = server
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(
        self,
        transport: asyncio.DatagramTransport,  # type: ignore[override]  # it gets no other
    ) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str | Any, int]) -> None:
        response = self._server.answer(data, is_datagram=True)
        if response is not None and self._transport is not None:
            self._transport.sendto(response, addr)


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


def _to_wire(response: dns.message.Message, limit: int | None) -> bytes:
    try:
        return response.to_wire(max_size=limit or _MAX_OCTETS)
    except dns.exception.TooBig:
        response.answer.clear()
        response.authority.clear()
        response.flags |= dns.flags.TC
        return response.to_wire()
