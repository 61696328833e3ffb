"""Ask one authoritative server what it has, past every cache.

RFC 1034 §4.3.1 (without recursion), §6.2.6 (what a referral looks like), RFC 1035 §4.1.1 (AA),
RFC 4034 §3.1.5 (when a signature ends).
Which servers a zone has, and what follows from their answers, is in
`services.discover.authorities`.
"""

import asyncio
import errno
from dataclasses import dataclass
from datetime import UTC, datetime

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdataclass
import dns.rdatatype

from letterlock.base.domains import Domain, DomainError, parse_domain
from letterlock.network.dns_exchange import exchange_tcp, exchange_udp, explain_os_error
from letterlock.network.zone_records import format_value

ASK_SECONDS = 3.0
ATTEMPTS = 2
MAX_NAME_SERVERS = 32
"""Names of servers taken from one answer; the most that zones have is 13 or so."""

_NO_WAY = frozenset(
    {errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL}
)


@dataclass(frozen=True, slots=True)
class Served:
    """The records of one name and type at a server: values as `ZoneRecord` has them."""

    values: frozenset[str]
    ttl: int = 0
    """Seconds; 0 without records."""


@dataclass(frozen=True, slots=True)
class NotSaid:
    """A server did not say what it has; `reason` is one line.

    `has_no_way`: nothing can be sent to it from here, whatever it is.
    """

    reason: str
    has_no_way: bool = False


class AuthorityQuery:
    """One question, without recursion, and how to read what comes back."""

    def __init__(self, name: Domain, rdtype: str, *, wants_signatures: bool = False) -> None:
        self._owner = dns.name.from_text(f"{name}.")
        self._rdtype = dns.rdatatype.from_text(rdtype)
        # Without EDNS every server understands it; what is longer comes by TCP.
        self._query = dns.message.make_query(
            self._owner, rdtype, flags=0, use_edns=wants_signatures, want_dnssec=wants_signatures
        )
        self.wire = self._query.to_wire()

    def read(self, wire: bytes) -> dns.message.Message | None:
        """Read an answer; None when it is none to this."""
        try:
            reply = dns.message.from_wire(wire, raise_on_truncation=False)
        except (dns.exception.DNSException, ValueError):
            return None
        return reply if self._query.is_response(reply) else None

    def find_served(self, reply: dns.message.Message) -> Served | NotSaid:
        """Find the records that were asked for. An alias counts as none of another type."""
        if reply.rcode() not in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
            return NotSaid(f"it says {dns.rcode.to_text(reply.rcode())}")
        if not reply.flags & dns.flags.AA:
            return NotSaid("it does not serve this zone")
        found = reply.get_rrset(reply.answer, self._owner, dns.rdataclass.IN, self._rdtype)
        if found is None:
            return Served(frozenset())
        return Served(frozenset(map(format_value, found)), found.ttl)

    def find_signature_end(self, reply: dns.message.Message) -> datetime | None:
        """Find when the last signature of the records ends; None: there is none."""
        found = reply.get_rrset(
            reply.answer,
            self._owner,
            dns.rdataclass.IN,
            dns.rdatatype.RRSIG,
            covers=self._rdtype,
        )
        ends = [datetime.fromtimestamp(rrsig.expiration, UTC) for rrsig in found or ()]
        return max(ends, default=None)

    def find_hosts(self, reply: dns.message.Message) -> frozenset[Domain]:
        """Find the servers of a zone, in an answer or in a referral."""
        texts = [
            rdata.target.to_text()
            for rrset in (*reply.answer, *reply.authority)
            if rrset.name == self._owner and rrset.rdtype == dns.rdatatype.NS
            for rdata in rrset
        ]
        return frozenset(filter(None, map(_find_domain, texts[:MAX_NAME_SERVERS])))


async def ask_authority(
    server: tuple[str, int], name: Domain, rdtype: str, seconds: float = ASK_SECONDS
) -> Served | NotSaid:
    """Ask for records."""
    query = AuthorityQuery(name, rdtype)
    reply = await _ask(server, query, seconds)
    return reply if isinstance(reply, NotSaid) else query.find_served(reply)


async def ask_signature_end(
    server: tuple[str, int], name: Domain, rdtype: str, seconds: float = ASK_SECONDS
) -> datetime | None:
    """Ask until when records are signed; None: they are not, or nothing is said of it."""
    query = AuthorityQuery(name, rdtype, wants_signatures=True)
    reply = await _ask(server, query, seconds)
    return None if isinstance(reply, NotSaid) else query.find_signature_end(reply)


async def ask_delegation(
    server: tuple[str, int], zone: Domain, seconds: float = ASK_SECONDS
) -> frozenset[Domain]:
    """Ask a server of the zone above for a zone's servers; gives none where it says none."""
    query = AuthorityQuery(zone, "NS")
    reply = await _ask(server, query, seconds)
    return frozenset() if isinstance(reply, NotSaid) else query.find_hosts(reply)


async def _ask(
    server: tuple[str, int], query: AuthorityQuery, seconds: float
) -> dns.message.Message | NotSaid:
    outcome = NotSaid("it was not asked")
    for _ in range(ATTEMPTS):
        try:
            async with asyncio.timeout(seconds):
                return await _exchange(server, query)
        except TimeoutError:
            outcome = NotSaid(f"no answer within {seconds:g} seconds")
        except EOFError:
            outcome = NotSaid("it ended the connection without an answer")
        except OSError as error:
            reason = f"it can't be reached: {explain_os_error(error)}"
            return NotSaid(reason, has_no_way=error.errno in _NO_WAY)
    return outcome


async def _exchange(
    server: tuple[str, int], query: AuthorityQuery
) -> dns.message.Message | NotSaid:
    reply: dns.message.Message | None = await exchange_udp(server, query.wire, query.read)
    if reply is not None and reply.flags & dns.flags.TC:
        reply = query.read(await exchange_tcp(server, query.wire))
    return reply or NotSaid("it sends no answer that can be read")


def _find_domain(text: str) -> Domain | None:
    try:
        return parse_domain(text)
    except DomainError:
        return None
