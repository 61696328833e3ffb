"""What a check looks at besides: whether certificates may be renewed, are revoked, how long signed.

RFC 8659 and RFC 8657 (CAA), RFC 5280 §6.3 (CRLs), RFC 4034 §3.1.5 (signatures). None of it decides
what becomes of mail today, so no verdict rests on it.
"""

import asyncio
from dataclasses import dataclass

from letterlock.protocols.caa.relevant import LookupFailed
from letterlock.protocols.check.facts import DomainFacts
from letterlock.protocols.check.findings import Finding
from letterlock.protocols.check.name_status import NameStatus, list_statuses
from letterlock.protocols.check.renewal_rights import Renewal, find_rights, list_renewals
from letterlock.protocols.check.signatures import find_signature_faults
from letterlock.protocols.check.terms import Terms
from letterlock.protocols.dns.answers import Security
from letterlock.services.check.chains import ChainLooker, Explained
from letterlock.services.check.revoked import LeafRevocation, RevocationLooker, find_revoked
from letterlock.services.check.signed import SignatureLooker, Signed
from letterlock.services.discover.caa import CaaAnswer, CaaFinder, check_caa

RenewalRight = tuple[Renewal, CaaAnswer]


@dataclass(frozen=True, slots=True)
class Besides:
    """What was found. `undecided`: lookups that nobody answered, one line each."""

    rights: tuple[RenewalRight, ...]
    revocations: tuple[LeafRevocation, ...]
    signed: Signed
    findings: tuple[Finding, ...]
    undecided: tuple[str, ...]
    statuses: tuple[NameStatus, ...] = ()
    explained: Explained | None = None
    """None: it was not asked for."""


@dataclass(frozen=True, slots=True)
class BesideLooker:
    """Looks at all of it at a time."""

    caa: CaaFinder
    revocations: RevocationLooker
    signatures: SignatureLooker
    chains: ChainLooker | None = None
    """None: nobody wants them explained."""

    async def look(self, facts: DomainFacts, port: int, terms: Terms) -> Besides:
        """Look at a domain, whose hosts were asked at a port."""
        async with asyncio.TaskGroup() as group:
            rights = group.create_task(self._find_rights(facts))
            revocations = group.create_task(self.revocations.look(facts, terms))
            looking = group.create_task(self.signatures.look(facts, port))
            following = group.create_task(self._explain(facts, port, terms))
        signed, explained = looking.result(), following.result()
        findings = (
            *find_rights((renewal, answer.verdict) for renewal, answer in rights.result()),
            *find_revoked(revocations.result()),
            *find_signature_faults(signed.signatures, terms.now),
            *(explained.findings if explained is not None else ()),
        )
        undecided = (*_list_unanswered(rights.result()), *signed.undecided)
        statuses = list_statuses(facts, port, signed.signatures)
        return Besides(
            rights.result(),
            revocations.result(),
            signed,
            findings,
            undecided,
            statuses,
            explained,
        )

    async def _explain(self, facts: DomainFacts, port: int, terms: Terms) -> Explained | None:
        return await self.chains.look(facts, port, terms.now) if self.chains is not None else None

    async def _find_rights(self, facts: DomainFacts) -> tuple[RenewalRight, ...]:
        renewals = list_renewals(facts)
        answers = await asyncio.gather(*(check_caa(self.caa, each.issuance) for each in renewals))
        return tuple(zip(renewals, answers, strict=True))


def _list_unanswered(rights: tuple[RenewalRight, ...]) -> list[str]:
    return [
        f"CAA of {failed.at}: {failed.reason}"
        for _, answer in rights
        if isinstance(failed := answer.facts.relevant, LookupFailed)
        and failed.security is Security.FAILED
    ]
