"""The DNS records that an inbound test needs, those included that are wrong on purpose.

RFC 5321 §5.1 (MX), RFC 7672 §3.1 (TLSA: here of a key that nobody has), RFC 8461 §3.1 and §3.2.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from hashlib import sha256

from letterlock.base.domains import Domain
from letterlock.protocols.inbound.cases import PLACE_BY_CASE, Case, HostNames, Place
from letterlock.protocols.inbound.document import FAULTS
from letterlock.protocols.mta_sts.policy import MtaStsMode, MtaStsPolicy
from letterlock.protocols.mta_sts.record import LABEL as MTA_STS_LABEL
from letterlock.services.publish.records import (
    FIRST_PREFERENCE,
    SMTP_LABEL,
    IpAddress,
    PlannedRecord,
    RecordKind,
    format_text,
    make_policy_id,
    make_tlsa,
)

POLICY_AGE = timedelta(days=1)
"""Short: nobody's mail depends on the policy, and a test may end."""
_NOBODYS_KEY = sha256(b"letterlock inbound test: no key has this digest").digest()

Addresses = Mapping[Place, Sequence[IpAddress]]
"""Where each place is; a place without addresses is not offered."""


def make_policy(names: HostNames) -> MtaStsPolicy:
    """Make the policy that its host does not meet: the host is listed, and cannot prove itself."""
    host = names.host(Case.MTA_STS)
    return MtaStsPolicy(MtaStsMode.ENFORCE, (host,), POLICY_AGE)


def plan_records(
    names: HostNames, addresses: Addresses, web: Sequence[IpAddress]
) -> tuple[PlannedRecord, ...]:
    """Make the records of all hosts that have an address; `web` are those of policy and page.

    The zone has to be signed, or the TLSA record says nothing.
    """
    found = [
        record
        for case, place in PLACE_BY_CASE.items()
        if addresses.get(place)
        for record in _plan_case(names, case, addresses[place])
    ]
    if web:
        found += [*_plan_policy(names, web), *_plan_page(names, web)]
    return tuple(found)


def _plan_case(
    names: HostNames, case: Case, addresses: Sequence[IpAddress]
) -> Iterator[PlannedRecord]:
    domain, host = names.mail_domain(case), names.host(case)
    reason = f"{case.value}: {FAULTS[case]}"
    value = f"{FIRST_PREFERENCE} {host}."
    yield PlannedRecord(RecordKind.MX, domain, "MX", value, reason)
    yield from _plan_addresses(host, addresses, reason)
    if case is Case.BAD_TLSA:
        name, value = Domain(f"{SMTP_LABEL}.{host}"), str(make_tlsa(_NOBODYS_KEY))
        yield PlannedRecord(RecordKind.TLSA, name, "TLSA", value, reason)


def _plan_policy(names: HostNames, web: Sequence[IpAddress]) -> Iterator[PlannedRecord]:
    domain = names.mail_domain(Case.MTA_STS)
    reason = f"{Case.MTA_STS.value}: its policy"
    yield from _plan_addresses(names.policy_host, web, reason)
    text = f"v=STSv1; id={make_policy_id(make_policy(names))}"
    value, name = format_text(text.encode()), Domain(f"{MTA_STS_LABEL}.{domain}")
    yield PlannedRecord(RecordKind.MTA_STS, name, "TXT", value, reason)


def _plan_page(names: HostNames, web: Sequence[IpAddress]) -> Iterator[PlannedRecord]:
    yield from _plan_addresses(names.base, web, "the page of each test")


def _plan_addresses(
    name: Domain, addresses: Sequence[IpAddress], reason: str
) -> Iterator[PlannedRecord]:
    for address in addresses:
        rdtype = "A" if address.version == 4 else "AAAA"
        yield PlannedRecord(RecordKind.ADDRESS, name, rdtype, str(address), reason)
