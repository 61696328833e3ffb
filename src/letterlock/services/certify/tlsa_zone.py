"""The TLSA records of our own names: what every authoritative server has, and changing them.

RFC 7672 §2.2.3 (`_25._tcp` below the MX host; an alias there is followed). The servers themselves
are asked, for caches know what was there before; where they can't be reached from here, what our
resolver says has to do for a renewal, and does not do for a roll-over.
"""

from datetime import timedelta

from letterlock.base.domains import Domain, DomainError, parse_domain
from letterlock.network.dns import Resolver
from letterlock.network.zone_records import ZoneRecord, normalize_value
from letterlock.protocols.acme.identifiers import IP, parse_identifier
from letterlock.protocols.dns.answers import TlsaRecord
from letterlock.services.certify.rollover import PublishedTlsa
from letterlock.services.certify.solving.changing import RecordChanger
from letterlock.services.discover.authorities import AuthorityFinder, NotFound, Published

TTL = timedelta(hours=1)
"""Of records that we make. Short (RFC 7671 §13): a roll-over waits for two of them."""
RDTYPE = "TLSA"


class OwnTlsaRecords:
    """Fulfils `tlsa_guard.TlsaZone`. Without a `changer` only the operator changes records."""

    def __init__(
        self, resolver: Resolver, finder: AuthorityFinder, changer: RecordChanger | None = None
    ) -> None:
        self._resolver = resolver
        self._finder = finder
        self._changer = changer

    @property
    def is_ours_to_change(self) -> bool:
        return self._changer is not None

    async def look(self, name: str) -> PublishedTlsa:
        base = _find_base(name)
        if base is None:
            return PublishedTlsa("")
        owner = await self._finder.find_owner(base, RDTYPE)
        if isinstance(owner, NotFound):
            return PublishedTlsa(base, fault=owner.reason)
        seen = await self._finder.look(owner, RDTYPE)
        if isinstance(seen, NotFound):
            return await self._ask_resolver(base, seen.reason)
        if len(seen.faults) == len(seen.views):
            return await self._ask_resolver(base, "; ".join(seen.faults))
        return _read(base, seen)

    async def add(self, name: str, record: TlsaRecord, ttl: timedelta = timedelta()) -> str | None:
        change = await self._find_change(name, record, ttl or TTL)
        if isinstance(change, NotFound):
            return change.reason
        changer, changed = change
        return await changer.add(changed)

    async def remove(self, name: str, record: TlsaRecord) -> str | None:
        change = await self._find_change(name, record)
        if isinstance(change, NotFound):
            return change.reason
        changer, changed = change
        return await changer.remove(changed)

    async def _find_change(
        self, name: str, record: TlsaRecord, ttl: timedelta = TTL
    ) -> tuple[RecordChanger, ZoneRecord] | NotFound:
        base = _find_base(name)
        if base is None or self._changer is None:
            return NotFound(f"{name}: its TLSA records are not ours to change")
        owner = await self._finder.find_owner(base, RDTYPE)
        if isinstance(owner, NotFound):
            return owner
        value = normalize_value(RDTYPE, str(record))
        return self._changer, ZoneRecord(owner, RDTYPE, value, int(ttl.total_seconds()))

    async def _ask_resolver(self, base: Domain, doubt: str) -> PublishedTlsa:
        answer = await self._resolver.ask(base, RDTYPE)
        if not answer.is_answer:
            return PublishedTlsa(base, fault=answer.reason or "the lookup failed")
        records = frozenset(each for each in answer.records if isinstance(each, TlsaRecord))
        ttl = timedelta(seconds=answer.ttl)
        return PublishedTlsa(base, records, records, ttl, doubt=doubt)


def _find_base(name: str) -> Domain | None:
    """Give where records of a certificate's name are; None for what no MX host can be."""
    identifier = parse_identifier(name)
    if identifier.is_wildcard or identifier.type == IP:
        return None
    try:
        return parse_domain(f"_25._tcp.{name}")
    except DomainError:  # too long for that
        return None


def _read(base: Domain, seen: Published) -> PublishedTlsa:
    answered = [view.values for view in seen.views if not view.fault]
    return PublishedTlsa(
        base,
        frozenset(map(_parse, frozenset.intersection(*answered))),
        frozenset(map(_parse, seen.anywhere)),
        timedelta(seconds=seen.ttl),
        doubt="; ".join(seen.faults),
    )


def _parse(value: str) -> TlsaRecord:
    """Read a value as `zone_records` writes them."""
    usage, selector, matching_type, *association = value.split()
    octets = bytes.fromhex("".join(association))
    return TlsaRecord(int(usage), int(selector), int(matching_type), octets)
