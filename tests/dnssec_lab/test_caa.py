"""CAA through validating resolvers: what is found, how sure it is, and what is only failure."""

from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest

from letterlock.base.clock import SystemClock
from letterlock.base.domains import Domain
from letterlock.network.dns import Resolver
from letterlock.protocols.caa.relevant import LookupFailed, NoRecords, RecordSet
from letterlock.protocols.dns.answers import Security
from letterlock.services.discover.caa import CaaFacts, CaaFinder
from tests.dnssec_lab.fault_proxy import Fault
from tests.dnssec_lab.lab import DnssecLab
from tests.dnssec_lab.test_answers import asking

SECURE, INSECURE = Security.SECURE, Security.INSECURE
BOGUS, FAILED = Security.BOGUS, Security.FAILED

Asking = Callable[..., AbstractContextManager[Resolver]]

__all__ = ["asking"]  # a fixture


async def find(asking: Asking, name: str, seconds: float = 20) -> CaaFacts:
    with asking(seconds) as resolver:
        return await CaaFinder(resolver, SystemClock()).find(Domain(name))


@pytest.mark.parametrize(
    ("name", "found_at", "security", "count"),
    [
        ("caa.secure.example", "caa.secure.example", SECURE, 2),
        ("below.caa.secure.example", "caa.secure.example", SECURE, 2),
        # Empty names in between: NODATA, with proof.
        ("x.ent.caa.secure.example", "caa.secure.example", SECURE, 2),
        ("ent.caa.secure.example", "caa.secure.example", SECURE, 2),
        ("to-caa.secure.example", "to-caa.secure.example", SECURE, 2),
        ("below.to-caa.secure.example", "to-caa.secure.example", SECURE, 2),
        ("caa.secure.renamed.secure.example", "caa.secure.renamed.secure.example", SECURE, 2),
        ("any.caa-wild.secure.example", "any.caa-wild.secure.example", SECURE, 1),
        ("a.b.caa-wild.secure.example", "a.b.caa-wild.secure.example", SECURE, 1),
        ("to-unsigned-caa.secure.example", "to-unsigned-caa.secure.example", INSECURE, 1),
        ("caa.unsigned.example", "caa.unsigned.example", INSECURE, 1),
        ("x.caa.unsigned.example", "caa.unsigned.example", INSECURE, 1),
    ],
)
async def test_the_relevant_set_is_found_with_its_dnssec_state(
    asking: Asking, name: str, found_at: str, security: Security, count: int
) -> None:
    """RFC 8659 §3, §5.1; rules 158, 159 and 162"""
    relevant = (await find(asking, name)).relevant
    assert isinstance(relevant, RecordSet), relevant
    assert (relevant.found_at, relevant.security) == (found_at, security)
    assert len(relevant.records) == count
    assert relevant.ttl > 0


@pytest.mark.parametrize(
    ("name", "security"),
    [
        ("secure.example", SECURE),
        ("nx.secure.example", SECURE),
        ("mx1.secure.example", SECURE),
        ("alias.secure.example", SECURE),
        ("w.wild.secure.example", SECURE),
        ("nx.nsec3.example", SECURE),
        ("mx.nsec3.example", SECURE),
        ("mx.unsigned.example", INSECURE),
        ("mx.island.example", INSECURE),
        ("mx.unknown.example", INSECURE),
    ],
)
async def test_that_there_are_none_is_known_with_its_dnssec_state(
    asking: Asking, name: str, security: Security
) -> None:
    """RFC 8659 §5.1; rules 160 and 162"""
    assert (await find(asking, name)).relevant == NoRecords(Domain(name), security)


@pytest.mark.parametrize(
    ("name", "at", "state"),
    [
        ("caa.bogus.example", "caa.bogus.example", BOGUS),
        ("nx.bogus.example", "nx.bogus.example", BOGUS),
        ("to-bogus-caa.secure.example", "to-bogus-caa.secure.example", BOGUS),
        ("mx.expired.example", "mx.expired.example", BOGUS),
        ("mx.future.example", "mx.future.example", BOGUS),
        ("mx.wrong-ds.example", "mx.wrong-ds.example", BOGUS),
    ],
)
async def test_what_does_not_validate_is_never_no_records(
    asking: Asking, name: str, at: str, state: Security
) -> None:
    """RFC 8659 §6.4; Baseline Requirements 3.2.2.8.1; rule 162"""
    facts = await find(asking, name)
    assert isinstance(facts.relevant, LookupFailed), facts
    assert (facts.relevant.at, facts.relevant.security) == (at, state)
    assert not facts.is_zone_unsigned


@pytest.mark.parametrize("fault", [Fault.NXDOMAIN, Fault.NO_SIGNATURES])
async def test_a_denial_without_proof_hides_no_records(
    asking: Asking, dnssec_lab: DnssecLab, fault: Fault
) -> None:
    """RFC 8659 §5.4: suppressed records; rule 162"""
    with dnssec_lab.failing("caa.secure.example", "CAA", fault):
        relevant = (await find(asking, "caa.secure.example")).relevant
    assert isinstance(relevant, LookupFailed)
    assert relevant.security is BOGUS


@pytest.mark.parametrize("fault", [Fault.SERVFAIL, Fault.REFUSED, Fault.NOTIMP])
@pytest.mark.parametrize(
    ("name", "is_unsigned"), [("caa.unsigned.example", True), ("caa.secure.example", False)]
)
async def test_servers_that_know_no_such_type_make_the_lookup_fail(
    asking: Asking, dnssec_lab: DnssecLab, name: str, is_unsigned: bool, fault: Fault
) -> None:
    """RFC 8659 §6.2; Baseline Requirements 3.2.2.8: whether the zone is proved to be unsigned

    Rules 161 and 163.
    """
    with dnssec_lab.failing(name, "CAA", fault):
        facts = await find(asking, name)
    assert isinstance(facts.relevant, LookupFailed)
    assert (facts.relevant.at, facts.relevant.security) == (name, FAILED)
    assert facts.is_zone_unsigned is is_unsigned


async def test_a_truncated_answer_comes_by_tcp(asking: Asking, dnssec_lab: DnssecLab) -> None:
    """RFC 2181 §9; rule 163"""
    with dnssec_lab.failing("caa.secure.example", "CAA", Fault.TRUNCATED):
        relevant = (await find(asking, "caa.secure.example")).relevant
    assert isinstance(relevant, RecordSet)
    assert len(relevant.records) == 2


async def test_silence_is_a_failure_in_our_own_time(asking: Asking, dnssec_lab: DnssecLab) -> None:
    """RFC 8659 §6.1: servers that drop questions of types they do not know; rule 163"""
    with dnssec_lab.failing("caa.unsigned.example", "CAA", Fault.DROP):
        facts = await find(asking, "caa.unsigned.example", seconds=1.0)
    assert isinstance(facts.relevant, LookupFailed)
    assert "in time" in facts.relevant.reason
