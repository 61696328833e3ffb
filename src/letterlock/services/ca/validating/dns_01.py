"""dns-01: a TXT record at `_acme-challenge` has the digest of the key authorization.

RFC 8555 §8.4; Baseline Requirements 3.2.2.4.7. Aliases are followed by the resolver. The resolver
must keep nothing of such names: who looks too early would be told for the whole negative TTL that
there is nothing (`perspectives.Perspective`).
"""

from letterlock.base.domains import DomainError, parse_domain
from letterlock.protocols.acme.challenges import dns_name
from letterlock.protocols.acme.problems import Problem
from letterlock.protocols.acme.server.refusals import ErrorType
from letterlock.protocols.acme.validation.proofs import Expected, find_text_fault
from letterlock.protocols.dns.answers import Security
from letterlock.services.ca.validating.hosts import ValidationBounds
from letterlock.services.ca.validating.outcomes import Notes, refuse
from letterlock.services.ca.validating.perspectives import Perspective


async def look_for_text(
    expected: Expected, perspective: Perspective, bounds: ValidationBounds, notes: Notes
) -> Problem | None:
    """Look; None: it is there."""
    del bounds  # the resolver has its own
    try:
        name = parse_domain(dns_name(expected.identifier))
    except DomainError as error:
        return refuse(
            ErrorType.DNS, f"there can be no TXT record for {expected.identifier}: {error}"
        )
    answer = await perspective.resolver.ask(name, "TXT")
    notes.lookups.append(answer)
    where = " -> ".join([name, *(link.target for link in answer.cnames)])
    if answer.security is Security.BOGUS:
        return refuse(ErrorType.DNS, f"{where} TXT: DNSSEC validation failed: {answer.reason}")
    if not answer.is_answer:
        return refuse(ErrorType.DNS, f"{where} TXT: {answer.reason}")
    texts = [record for record in answer.records if isinstance(record, bytes)]
    notes.steps.append(f"{where} TXT: {len(texts)} records ({answer.security.value})")
    fault = find_text_fault(texts, expected)
    return None if fault is None else refuse(ErrorType.INCORRECT_RESPONSE, f"{where}: {fault}")
