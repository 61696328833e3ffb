"""Before an order: what CAA forbids, what it may forbid, and what to publish."""

import asyncio

import pytest

from letterlock.base.domains import Domain
from letterlock.protocols.acme.identifiers import parse_identifier
from letterlock.protocols.dns.answers import Answer, CaaRecord, Existence, Security
from letterlock.services.certify.caa import (
    MAX_NAMES_AT_ONCE,
    CaaExamination,
    Orderer,
    examine_caa,
)
from letterlock.services.discover.caa import CaaFinder
from tests.fakes import FakeClock, FixtureResolver

ACCOUNT = "https://ca.example/acct/1"
ORDERER = Orderer(("ca.example",), ACCOUNT, ("dns-01", "http-01"))


def make_resolver(*records: str, at: str = "example.org") -> FixtureResolver:
    """Give DNS with these records, as `FLAGS TAG VALUE`, and none elsewhere."""
    resolver = FixtureResolver()
    for name in ("mail.example.org", "example.org", "org"):
        resolver.set(name, "CAA")
    made = []
    for text in records:
        flags, tag, value = text.split(" ", 2)
        made.append(CaaRecord(int(flags), tag.encode(), value.encode()))
    if made:
        resolver.set(at, "CAA", *made)
    return resolver


async def examine(
    resolver: FixtureResolver, *names: str, orderer: Orderer = ORDERER
) -> CaaExamination:
    finder = CaaFinder(resolver, FakeClock())
    chosen = [parse_identifier(name) for name in names or ("mail.example.org",)]
    return await examine_caa(finder, chosen, orderer)


@pytest.mark.parametrize(
    "records",
    [
        (),
        ("0 issue ca.example",),
        ("0 issue other.example", f"0 issue ca.example; accounturi={ACCOUNT}"),
        ("0 issue ca.example; validationmethods=http-01,dns-01",),
        ("0 issuewild ;",),
        ("128 issuemail ;",),
    ],
)
async def test_what_is_allowed_is_nothing_to_tell(records: tuple[str, ...]) -> None:
    """RFC 8659 §3, RFC 8657 §3, §4"""
    examination = await examine(make_resolver(*records))
    assert (examination.refusals, examination.warnings) == ((), ())
    assert list(examination.methods.values()) == [("dns-01", "http-01")]


FULL = f"ca.example; accounturi={ACCOUNT}; validationmethods=dns-01,http-01"


@pytest.mark.parametrize(
    ("records", "line"),
    [
        (
            ("0 issue other.example",),
            (
                'CAA 0 issue "other.example" at example.org: it allows other.example, not '
                f'ca.example; publish instead: example.org. CAA 0 issue "{FULL}"'
            ),
        ),
        (
            ("0 issue ;",),
            (
                'CAA 0 issue ";" at example.org: it names nobody, and allows nobody; '
                f'publish instead: example.org. CAA 0 issue "{FULL}"'
            ),
        ),
        (
            ("0 issue ca.example; accounturi=https://ca.example/acct/2",),
            (
                'CAA 0 issue "ca.example; accounturi=https://ca.example/acct/2" at example.org: '
                "it is for another account, https://ca.example/acct/2; "
                f'publish instead: example.org. CAA 0 issue "{FULL}"'
            ),
        ),
        (
            ("0 issue ca.example; validationmethods=tls-alpn-01",),
            (
                'CAA 0 issue "ca.example; validationmethods=tls-alpn-01" at example.org: '
                "it is for other methods than dns-01: tls-alpn-01; "
                f'publish instead: example.org. CAA 0 issue "{FULL}"'
            ),
        ),
    ],
)
async def test_a_sure_refusal_names_the_record_and_the_remedy(
    records: tuple[str, ...], line: str
) -> None:
    """RFC 8659 §4.2, RFC 8657 §3, §4"""
    examination = await examine(make_resolver(*records))
    assert [str(each) for each in examination.refusals] == [f"mail.example.org: {line}"]
    assert examination.warnings == ()
    assert list(examination.methods.values()) == [()]


async def test_the_remedy_allows_the_order() -> None:
    (advice,) = (await examine(make_resolver("0 issue other.example"))).refusals
    assert advice.publish is not None
    owner, record = advice.publish.split(". CAA ", 1)
    flags, tag, value = record.split(" ", 2)
    remedied = make_resolver(f"{flags} {tag} {value[1:-1]}", "0 issue other.example", at=owner)
    assert (await examine(remedied)).refusals == ()


async def test_a_wildcard_is_told_of_its_own_records() -> None:
    """RFC 8659 §4.3; wildcards are proved by dns-01 only; rules 170 and 171"""
    limits = f"ca.example; accounturi={ACCOUNT}; validationmethods=dns-01"
    resolver = make_resolver("0 issue ca.example", "0 issuewild ;")
    examination = await examine(resolver, "*.example.org", "mail.example.org")
    (advice,) = examination.refusals
    assert str(advice) == (
        '*.example.org: CAA 0 issuewild ";" at example.org: it names nobody, and allows nobody; '
        f'publish instead: example.org. CAA 0 issuewild "{limits}"'
    )
    plain = await examine(make_resolver("0 issue ;"), "*.example.org")
    assert plain.refusals[0].publish == f'example.org. CAA 0 issue "{limits}"'


async def test_a_method_less_is_a_warning_that_names_those_left() -> None:
    """RFC 8657 §4"""
    examination = await examine(make_resolver("0 issue ca.example; validationmethods=http-01"))
    assert examination.refusals == ()
    assert [str(each) for each in examination.warnings] == [
        (
            'mail.example.org: CAA 0 issue "ca.example; validationmethods=http-01" at example.org: '
            "it is for other methods than dns-01: http-01; http-01 will do"
        )
    ]
    assert examination.methods == {parse_identifier("mail.example.org"): ("http-01",)}


@pytest.mark.parametrize(
    ("records", "orderer", "reason"),
    [
        (
            ("128 tbs Unknown", "0 issue ca.example"),
            ORDERER,
            (
                'CAA 128 tbs "Unknown" at example.org: it is critical, and its tag is not known '
                "here: nobody may issue"
            ),
        ),
        (
            ("0 t-b-s Unknown",),
            ORDERER,
            (
                'CAA 0 t-b-s "Unknown" at example.org: its tag is none: letters and digits only, '
                "and at least one"
            ),
        ),
        (
            ("0 issue other.example",),
            Orderer((), ACCOUNT, ("dns-01",)),
            (
                'CAA 0 issue "other.example" at example.org: the authority does not tell which '
                "name in such a record is its own"
            ),
        ),
        (
            (f"0 issue ca.example; accounturi={ACCOUNT}",),
            Orderer(("ca.example",), None, ("dns-01",)),
            (
                f'CAA 0 issue "ca.example; accounturi={ACCOUNT}" at example.org: it is for the '
                f"account {ACCOUNT} only"
            ),
        ),
        (
            ("0 issue CA.example",),
            ORDERER,
            'CAA 0 issue "CA.example": some authorities compare their name exactly, and refuse',
        ),
    ],
)
async def test_what_the_authority_may_see_otherwise_is_a_warning(
    records: tuple[str, ...], orderer: Orderer, reason: str
) -> None:
    """RFC 8659 §4.1, §4.5, RFC 8555 §9.7.6"""
    examination = await examine(make_resolver(*records), orderer=orderer)
    assert examination.refusals == ()
    assert [str(each) for each in examination.warnings] == [f"mail.example.org: {reason}"]


@pytest.mark.parametrize("security", [Security.FAILED, Security.BOGUS])
async def test_a_failed_lookup_is_a_warning(security: Security) -> None:
    """RFC 8659 §3: the authority looks up for itself."""
    resolver = make_resolver()
    resolver.fail("example.org", "CAA", security)
    examination = await examine(resolver)
    assert examination.refusals == ()
    (warning,) = examination.warnings
    assert warning.reason.startswith("CAA of example.org is not known: ")
    assert warning.publish is None


async def test_an_authority_whose_name_no_record_can_hold_gets_no_remedy() -> None:
    """RFC 8659 §4.2; of its names the first one that can is taken."""
    resolver = make_resolver("0 issue other.example")
    odd = await examine(resolver, orderer=Orderer(("ca_1",), None, ("dns-01",)))
    assert [each.publish for each in odd.refusals] == [None]
    both = await examine(resolver, orderer=Orderer(("ca_1", "ca.example"), None, ("dns-01",)))
    assert [each.publish for each in both.refusals] == [
        'example.org. CAA 0 issue "ca.example; validationmethods=dns-01"'
    ]


async def test_the_remedy_goes_where_an_alias_leads() -> None:
    """RFC 1034 §3.6.2: beside a CNAME nothing else can stand."""
    resolver = make_resolver()
    owner = Domain("caa.host.example")
    record = CaaRecord(0, b"issue", b";")
    resolver.put(
        Answer(
            Domain("mail.example.org"),
            "CAA",
            Security.INSECURE,
            Existence.RECORDS,
            (record,),
            owner=owner,
        )
    )
    (advice,) = (await examine(resolver)).refusals
    assert advice.publish is not None
    assert advice.publish.startswith(f"{owner}. CAA 0 issue ")


async def test_every_name_is_looked_up_and_the_same_told_once() -> None:
    """RFC 8659 §3: one record that forbids, at any one of many names, is found. Rule 177"""
    names = [f"n{number}.example.org" for number in range(100)]
    resolver = make_resolver()
    resolver.set("n57.example.org", "CAA", CaaRecord(0, b"issue", b";"))
    examination = await examine(resolver, *names)
    assert [str(each) for each in examination.refusals[0].identifiers] == ["n57.example.org"]
    assert {name for name, _ in resolver.asked} >= set(names)
    everywhere = await examine(make_resolver("0 issue ;"), *names)
    (advice,) = everywhere.refusals
    assert len(advice.identifiers) == 100
    assert str(advice).startswith(
        'n0.example.org, n1.example.org, n2.example.org and 97 more: CAA 0 issue ";" at example.org'
    )


async def test_addresses_have_no_caa() -> None:
    """RFC 8659 §3: it is about domain names."""
    resolver = make_resolver()
    examination = await examine(resolver, "192.0.2.1", "2001:db8::1")
    assert (examination, resolver.asked) == (CaaExamination(), [])


async def test_a_name_that_none_of_our_methods_can_prove_is_not_judged() -> None:
    examination = await examine(
        make_resolver("0 issue ;"),
        "*.example.org",
        orderer=Orderer(("ca.example",), ACCOUNT, ("http-01",)),
    )
    assert examination == CaaExamination(methods={parse_identifier("*.example.org"): ()})


async def test_few_names_are_looked_up_at_a_time() -> None:
    class CountingResolver(FixtureResolver):
        running = most = 0

        async def ask(self, name: Domain, rdtype: str) -> Answer:
            self.running += 1
            self.most = max(self.most, self.running)
            await asyncio.sleep(0)
            self.running -= 1
            return await super().ask(name, rdtype)

    resolver = CountingResolver()
    resolver.set("org", "CAA")
    await examine(resolver, *(f"n{number}.example.org" for number in range(100)))
    assert resolver.most == MAX_NAMES_AT_ONCE
