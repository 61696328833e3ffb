"""TLSA records of a host: where they may be, in which order to ask, and what an answer means.

RFC 7672 §2.1 (errors, aliases), §2.2.2 (addresses first, candidates), §2.2.3 (lookup). Whether a
record can be used is `protocols.policy.dane`; what an insecure MX means for the host's records is
`protocols.policy.decide` (RFC 7672 §2.2.1).
"""

from letterlock.base.domains import Domain, DomainError, parse_domain
from letterlock.network.dns import Resolver
from letterlock.protocols.dns.answers import Answer, CnameLink, Existence, Security, TlsaRecord
from letterlock.protocols.policy.dane import find_usable
from letterlock.protocols.policy.facts import TlsaFacts, TlsaStatus
from letterlock.services.discover.aliases import examine_aliases
from letterlock.services.discover.routes import MxHost

_NO_NAME = "the next hop is an address, and those have no TLSA records"
_UNSIGNED = "its addresses are not signed"


class TlsaFinder:
    """Finds the TLSA records of hosts whose addresses are known already."""

    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver

    async def find(self, host: MxHost, port: int) -> TlsaFacts:
        """Find the records for a connection to a port of a host. A failed lookup is FAILED."""
        if host.name is None:
            return TlsaFacts(TlsaStatus.INSECURE, reason=_NO_NAME)
        if not host.addresses:
            # RFC 7672 §2.2.2: without addresses it is unreachable, whatever is published for it.
            return TlsaFacts(TlsaStatus.FAILED, reason=f"not asked for: {host.error}")
        candidates = await self._find_candidates(host, host.name)
        if isinstance(candidates, TlsaFacts):
            return candidates
        return await self._ask_in_turn(candidates, port)

    async def _find_candidates(self, host: MxHost, name: Domain) -> list[Domain] | TlsaFacts:
        """Give the names at which there may be records; facts when there is nothing to ask."""
        has_secure = any(address.security is Security.SECURE for address in host.addresses)
        if has_secure:
            return _candidates(name, host.aliases)
        # Not asked at all: servers of unsigned zones are known to fail such queries.
        if not host.aliases:
            return TlsaFacts(TlsaStatus.INSECURE, reason=f"{name}: {_UNSIGNED}")
        (link,), reason = await examine_aliases(self._resolver, host.aliases[:1])
        match link.security:
            case Security.SECURE:
                return [name]
            case Security.INSECURE:
                return TlsaFacts(TlsaStatus.INSECURE, reason=f"{name}: its alias is not signed")
            case _:
                is_bogus = link.security is Security.BOGUS
                return TlsaFacts(TlsaStatus.FAILED, reason=reason, is_bogus=is_bogus)

    async def _ask_in_turn(self, candidates: list[Domain], port: int) -> TlsaFacts:
        """Take the first candidate that has secure records; after an error there is no next."""
        without: list[TlsaFacts] = []
        for base in candidates:
            owner = _find_owner(base, port)
            if owner is None:
                reason = f"{base} is too long a name to have TLSA records"
                without.append(TlsaFacts(TlsaStatus.NONE, reason=reason))
                continue
            facts = _read(base, await self._resolver.ask(owner, "TLSA"))
            if facts.status not in (TlsaStatus.NONE, TlsaStatus.INSECURE):
                return facts
            without.append(facts)
        insecure = [facts for facts in without if facts.status is TlsaStatus.INSECURE]
        status = TlsaStatus.INSECURE if insecure else TlsaStatus.NONE
        return TlsaFacts(status, reason="; ".join(facts.reason for facts in without))


def _candidates(name: Domain, aliases: tuple[CnameLink, ...]) -> list[Domain]:
    """Put the expanded name first, if every alias on the way is secure: else anybody could lead us.

    Names in between are never asked.
    """
    if not aliases or any(link.security is not Security.SECURE for link in aliases):
        return [name]
    return [aliases[-1].target, name]


def _find_owner(base: Domain, port: int) -> Domain | None:
    """RFC 6698 §3: the port in decimal without leading zeros. None when the name gets too long."""
    try:
        return parse_domain(f"_{port}._tcp.{base}")
    except DomainError:
        return None


def _read(base: Domain, answer: Answer) -> TlsaFacts:
    what = f"TLSA of {answer.name}"
    if not answer.is_answer:
        is_bogus = answer.security is Security.BOGUS
        return TlsaFacts(TlsaStatus.FAILED, reason=f"{what}: {answer.reason}", is_bogus=is_bogus)
    if answer.security is Security.INSECURE:
        return TlsaFacts(TlsaStatus.INSECURE, reason=f"{what}: the answer is not signed")
    if answer.existence is not Existence.RECORDS:
        return TlsaFacts(TlsaStatus.NONE, reason=f"{what}: there are none")
    records = tuple(record for record in answer.records if isinstance(record, TlsaRecord))
    status, reason = TlsaStatus.USABLE, ""
    if not find_usable(records):
        status, reason = TlsaStatus.UNUSABLE, f"{what}: none of them can be used"
    return TlsaFacts(status, base, records, reason, answer.owner, answer.ttl)
