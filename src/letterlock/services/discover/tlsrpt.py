"""Where a domain wants reports on TLS: its TLSRPT record, looked up.

RFC 8460 §3. Nothing about a delivery depends on it.
"""

from dataclasses import dataclass

from letterlock.base.domains import MAX_DOMAIN_OCTETS, Domain
from letterlock.network.dns import Resolver
from letterlock.protocols.tlsrpt.record import (
    LABEL,
    TlsrptRecord,
    TlsrptRecordError,
    parse_record,
)


@dataclass(frozen=True, slots=True)
class TlsrptFacts:
    """What a domain's record says. `error`: what is wrong with it, or with looking it up."""

    domain: Domain
    record: str | None = None
    rua: tuple[str, ...] = ()
    error: str | None = None
    is_passing: bool = False
    """Nobody could say: another time there may be one."""
    destinations: tuple[str, ...] = ()
    """Those of `rua` that a report can be sent to."""


async def find_tlsrpt(resolver: Resolver, domain: Domain) -> TlsrptFacts | None:
    """Look the record of a policy domain up; None: there is none."""
    name = Domain(f"{LABEL}.{domain}")
    if len(name) > MAX_DOMAIN_OCTETS:
        return None
    answer = await resolver.ask(name, "TXT")
    if not answer.is_answer:
        return TlsrptFacts(domain, error=f"TXT of {name}: {answer.reason}", is_passing=True)
    match parse_record([each for each in answer.records if isinstance(each, bytes)]):
        case None:
            return None
        case TlsrptRecordError(reason, text):
            return TlsrptFacts(domain, text or None, error=reason)
        case TlsrptRecord() as record:
            error = None
            if not record.destinations:
                error = "no report can be sent to any of its rua: they are neither mailto nor https"
            return TlsrptFacts(
                domain, record.text, record.rua, error, destinations=record.destinations
            )
