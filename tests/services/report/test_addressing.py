"""Who wants reports, and where."""

from datetime import date

import pytest

from letterlock.protocols.tlsrpt.findings import PolicyType
from letterlock.protocols.tlsrpt.sessions import AppliedPolicy, Outcome, Session
from letterlock.services.collect.aggregate import DayCounts
from letterlock.services.report.addressing import Addressing, Unwanted, Wanted
from letterlock.services.report.composing import DayReports, Topic
from tests.fakes import FixtureResolver

HOST = "mx.host.example"


@pytest.fixture
def resolver() -> FixtureResolver:
    return FixtureResolver()


def publish(resolver: FixtureResolver, domain: str, *uris: str) -> None:
    record = f"v=TLSRPTv1; rua={','.join(uris)}"
    resolver.set(f"_smtp._tls.{domain}", "TXT", record.encode())


async def test_a_domain_that_asks_is_found(resolver: FixtureResolver) -> None:
    """RFC 8460 §3; rules 180, 183."""
    publish(resolver, "a.example", "mailto:a@a.example", "ftp://a.example/", "https://a.example/")
    wanted = await Addressing(resolver).find(Topic("a.example"))
    assert wanted == Wanted(("mailto:a@a.example", "https://a.example/"))


async def test_a_record_that_was_seen_counts_and_is_not_looked_up(
    resolver: FixtureResolver,
) -> None:
    topic = Topic("a.example", "v=TLSRPTv1; rua=mailto:then@a.example")
    assert await Addressing(resolver).find(topic) == Wanted(("mailto:then@a.example",))
    assert resolver.asked == []


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (None, "a.example has no TLSRPT record"),
        ("v=TLSRPTv1; rua=nowhere", "rua: 'nowhere' is not a URI"),
        ("v=TLSRPTv1; rua=ftp://a.example/", "neither mailto nor https"),
    ],
)
async def test_nobody_is_sent_what_he_does_not_ask_for(
    record: str | None, reason: str, resolver: FixtureResolver
) -> None:
    """RFC 8460 §3; rules 181, 182."""
    if record is not None:
        resolver.set("_smtp._tls.a.example", "TXT", record.encode())
    found = await Addressing(resolver).find(Topic("a.example"))
    assert isinstance(found, Unwanted)
    assert reason in found.reason
    assert not found.is_passing


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ("v=TLSRPTv1; rua=nowhere", "not valid"),
        ("v=TLSRPTv1; rua=ftp://a.example/", "none of its rua"),
        ("something else", "is none"),
    ],
)
async def test_a_record_that_was_seen_is_judged_as_well(
    record: str, reason: str, resolver: FixtureResolver
) -> None:
    found = await Addressing(resolver).find(Topic("a.example", record))
    assert isinstance(found, Unwanted)
    assert reason in found.reason


async def test_where_nobody_answers_it_may_be_known_later(resolver: FixtureResolver) -> None:
    resolver.fail("_smtp._tls.a.example", "TXT")
    found = await Addressing(resolver).find(Topic("a.example"))
    assert isinstance(found, Unwanted)
    assert found.is_passing


async def test_many_destinations_are_cut(resolver: FixtureResolver) -> None:
    """RFC 8460 §7: a record is no way to have many others flooded."""
    publish(resolver, "a.example", *(f"mailto:a{number}@x.example" for number in range(50)))
    wanted = await Addressing(resolver).find(Topic("a.example"))
    assert isinstance(wanted, Wanted)
    assert len(wanted.uris) == 10


async def test_domains_that_tell_the_same_places_are_found(resolver: FixtureResolver) -> None:
    counts = DayCounts()
    policy = AppliedPolicy(PolicyType.TLSA, HOST)
    for domain in ("a.example", "b.example", "c.example"):
        counts.add(Session(domain, "", (Outcome(policy, is_failed=False),)))
    publish(resolver, HOST, "mailto:tls@host.example")
    publish(resolver, "a.example", "mailto:a@a.example", "mailto:tls@host.example")
    publish(resolver, "b.example", "mailto:b@b.example")
    addressing, topic = Addressing(resolver), Topic(HOST)
    wanted = await addressing.find(topic)
    assert isinstance(wanted, Wanted)
    told = await addressing.find_told(DayReports(date(2026, 3, 1), counts), topic, wanted)
    assert told == {Topic("a.example")}
