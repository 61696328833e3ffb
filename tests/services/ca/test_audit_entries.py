"""What the audit log gets of validations and looks at CAA: all that was seen, by whom, and when."""

from dataclasses import replace
from datetime import timedelta

from letterlock.base.domains import Domain
from letterlock.protocols.acme.identifiers import parse_identifier
from letterlock.protocols.acme.problems import Problem
from letterlock.protocols.acme.server.objects import Authorization
from letterlock.protocols.acme.states import AuthorizationStatus
from letterlock.protocols.acme.validation.proofs import Expected
from letterlock.protocols.acme.validation.quorums import QuorumRules, Vote, judge_quorum
from letterlock.protocols.audit.decisions import LoggedProblem
from letterlock.protocols.caa.rechecks import ProvedName, RecheckRule, make_issuance
from letterlock.protocols.dns.answers import Answer, CaaRecord, Security
from letterlock.services.ca.audit_entries import (
    describe_basis,
    describe_recheck,
    describe_validation,
)
from letterlock.services.ca.caa_rechecks import CaaRechecker
from letterlock.services.ca.validating.caa_looks import CaaLooked
from letterlock.services.ca.validating.outcomes import Looked
from letterlock.services.ca.validating.perspectives import Corroboration, Report
from letterlock.services.ca.validating.validate import Validation
from letterlock.services.discover.caa import CaaFinder, check_caa
from tests.audit_entries import NOW
from tests.fakes import FakeClock, FixtureResolver

ISSUERS, ACCOUNTS = ("ca.example",), ("https://ca.example/acct/1",)
NAME = parse_identifier("*.a.example")
AUTHORIZATION = Authorization(
    "authz-1",
    "account-1",
    parse_identifier("a.example"),
    AuthorizationStatus.VALID,
    NOW,
    (),
    is_wildcard=True,
)
EXPECTED = Expected(NAME, "dns-01", "token", "token.key")
TXT = Answer(Domain("_acme-challenge.a.example"), "TXT", Security.SECURE, records=(b"x",))


def seen(place: str, problem: Problem | None = None) -> Report[Looked]:
    return Report(place, "APNIC", Looked(EXPECTED, problem, (TXT,), ("asked\nfor it",)))


async def test_a_validation_is_written_with_each_perspective() -> None:
    resolver = FixtureResolver()
    resolver.set("example", "CAA")
    resolver.set("a.example", "CAA", CaaRecord(0, b"issue", b"ca.example"))
    issuance = make_issuance(NAME, ISSUERS, ACCOUNTS, "dns-01")
    assert issuance is not None
    answer = await check_caa(CaaFinder(resolver, FakeClock()), issuance)
    quorum = judge_quorum([Vote("far", "APNIC", agrees=True)], QuorumRules())
    remote = seen("far", Problem("dns", "not there"))
    control = Corroboration(seen("here"), (remote,), quorum)
    caa = Corroboration(Report("here", "APNIC", CaaLooked(answer, NOW)), (), quorum)
    found = describe_validation(AUTHORIZATION, "dns-01", Validation(control, caa))
    assert (found.authorization, found.account, found.name) == (
        "authz-1",
        "account-1",
        "*.a.example",
    )
    assert [each.perspective for each in found.looks] == ["here", "far"]
    assert found.looks[0].steps == ("asked for it",)
    assert found.looks[0].lookups[0].records == ("x",)
    assert found.looks[1].problem == LoggedProblem("dns", "not there")
    (look,) = found.caa_looks
    assert (look.name, look.began, look.perspective) == ("*.a.example", NOW, "here")
    assert look.lookups[0].records == ('0 issue "ca.example"',)
    assert (found.quorum, found.caa_quorum, found.problem) == ("1/1", "1/1", None)


def test_a_validation_that_failed_here_has_no_look_at_caa() -> None:
    control = Corroboration(seen("here", Problem("dns", "not there")))
    found = describe_validation(AUTHORIZATION, "dns-01", Validation(control))
    assert (found.caa_looks, found.quorum, found.caa_quorum) == ((), None, None)
    assert found.problem == LoggedProblem("dns", "not there")


async def test_looks_that_were_made_again_are_written_for_each_name() -> None:
    clock, resolver = FakeClock(), FixtureResolver()
    resolver.set("example", "CAA")
    names = [
        ProvedName(each, make_issuance(each, ISSUERS, ACCOUNTS, "dns-01"))
        for each in map(parse_identifier, ("a.example", "*.b.example", "192.0.2.1"))
        if each.type == "dns"
    ]
    for name in ("a.example", "b.example"):
        resolver.set(name, "CAA")
    done = await CaaRechecker(CaaFinder(resolver, clock), clock, RecheckRule()).recheck(names)
    found = describe_recheck("order-1", done)
    assert found.due == (
        ("a.example", "it was never looked up"),
        ("*.b.example", "it was never looked up"),
    )
    assert [look.name for look in found.looks] == ["a.example", "*.b.example"]
    assert [look.lookups[0].name for look in found.looks] == ["a.example", "b.example"]
    assert all(look.began == clock.now() for look in found.looks)


def test_a_basis_says_when_caa_was_looked_up() -> None:
    issuance = make_issuance(NAME, ISSUERS, ACCOUNTS, "dns-01")
    proved = ProvedName(NAME, issuance)
    assert describe_basis(proved, "authz-1", "dns-01", NOW).caa_began is None
    address = ProvedName(parse_identifier("192.0.2.1"), None)
    found = describe_basis(replace(address), "authz-2", "http-01", NOW - timedelta(hours=1))
    assert (found.name, found.authorization, found.caa_began) == ("192.0.2.1", "authz-2", None)
    assert found.validated == NOW - timedelta(hours=1)


async def test_the_basis_of_a_name_has_the_look_that_counts() -> None:
    clock, resolver = FakeClock(), FixtureResolver()
    resolver.set("example", "CAA")
    resolver.set("a.example", "CAA", CaaRecord(0, b"issue", b"ca.example"))
    issuance = make_issuance(NAME, ISSUERS, ACCOUNTS, "dns-01")
    rechecker = CaaRechecker(CaaFinder(resolver, clock), clock, RecheckRule())
    (proved,) = (await rechecker.recheck([ProvedName(NAME, issuance)])).names
    found = describe_basis(proved, "authz-1", "dns-01", NOW)
    assert proved.check is not None
    assert found.caa_began == clock.now()
    assert proved.check.ttl is not None
    assert found.caa_ttl == int(proved.check.ttl.total_seconds())
