"""Which certificates an incident affects: by what they lack in the log, and by what they are."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from letterlock.base.domains import Domain
from letterlock.protocols.audit.evidence import Ground
from letterlock.services.ca.incidents.choosing import (
    PAGE,
    Choice,
    choose,
    choose_serials,
)
from letterlock.services.ca.own_certificates import OWN_ACCOUNT
from letterlock.storage.ca.changes import AddCertificate, AddSerial, ChangeCertificate
from letterlock.storage.ca.kept import Issued
from tests.fakes import START
from tests.services.ca.auditing.archive import RULES, Archive
from tests.services.ca.issuing.office import ALLOWS, DAY, Office
from tests.storage.authorities import make_issued, reserve

HOUR = timedelta(hours=1)


async def chosen(archive: Archive, choice: Choice) -> list[str]:
    """Give the first names of what is chosen."""
    store, now = archive.office.kept, archive.office.clock.now()
    pages = [each async for each in choose(store, choice, RULES, now)]
    return [
        each.issued.certificate.identifiers[0].value for page in pages for each in page.certificates
    ]


@pytest.fixture
def archive(office: Office) -> Archive:
    return Archive(office)


@pytest.fixture
async def three(archive: Archive) -> Sequence[Issued]:
    """Certificates that were issued an hour after each other; the second lacks a look at CAA."""
    found = []
    for name in ("one.example", "two.example", "three.sub.example"):
        archive.office.resolver.set(name, "CAA", ALLOWS)
        unproved = [name] if name == "two.example" else []
        found.append(await archive.issue(name, unproved=unproved))
        archive.office.clock.move(HOUR)
    archive.office.resolver.set("sub.example", "CAA")
    return found


@pytest.mark.parametrize(
    ("choice", "names"),
    [
        (Choice(), ["one.example", "two.example", "three.sub.example"]),
        (Choice(lacks=(Ground.CAA,)), ["two.example"]),
        (Choice(lacks=(Ground.LINT,)), []),
        (Choice(lacks=(Ground.LINT, Ground.VALIDATION)), ["two.example"]),
        (Choice(issued_from=START + HOUR), ["two.example", "three.sub.example"]),
        (Choice(issued_until=START + HOUR), ["one.example"]),
        (Choice(issued_from=START + HOUR, issued_until=START + 2 * HOUR), ["two.example"]),
        (Choice(account_id="account-one-abcdef", lacks=(Ground.CAA,)), ["two.example"]),
        (Choice(account_id="other"), []),
        (Choice(profile="default", under=Domain("sub.example")), ["three.sub.example"]),
        (Choice(profile="plain"), []),
        (Choice(under=Domain("one.example")), ["one.example"]),
        (Choice(under=Domain("ne.example")), []),
        (Choice(method="dns-01"), ["one.example", "three.sub.example"]),
        (Choice(method="http-01"), []),
        (Choice(perspective="here"), ["one.example", "three.sub.example"]),
        (Choice(perspective="far"), []),
    ],
    ids=str,
)
async def test_all_that_was_said_holds(
    archive: Archive, three: Sequence[Issued], choice: Choice, names: list[str]
) -> None:
    assert len(three) == 3
    assert await chosen(archive, choice) == names


async def test_what_is_revoked_or_has_ended_is_not_affected(
    archive: Archive, three: Sequence[Issued]
) -> None:
    certificate = three[0].certificate
    revoked = replace(certificate, revoked=archive.office.clock.now())
    assert await archive.office.kept.commit([ChangeCertificate(certificate, revoked)])
    assert await chosen(archive, Choice()) == ["two.example", "three.sub.example"]
    archive.office.clock.move(90 * DAY)
    assert await chosen(archive, Choice()) == []


async def test_serial_numbers_are_found_and_others_passed_over(
    archive: Archive, three: Sequence[Issued]
) -> None:
    store, now = archive.office.kept, archive.office.clock.now()
    serials = [each.certificate.name.serial for each in three]
    asked = [*range(1, PAGE + 1), serials[2], 7, serials[0]]
    pages = [each async for each in choose_serials(store, iter(asked), now)]
    assert [each.looked_at for each in pages] == [PAGE, 3]
    found = [each.issued.certificate.name.serial for each in pages[1].certificates]
    assert sorted(found) == sorted([serials[0], serials[2]])


async def test_the_authoritys_own_server_is_chosen_by_its_account_alone(archive: Archive) -> None:
    own = make_issued(1, "ca.example", account_id=OWN_ACCOUNT)
    own = replace(own, issued=START)
    assert await archive.office.kept.commit([AddSerial(reserve(1)), AddCertificate(own)])
    assert await chosen(archive, Choice()) == []
    assert await chosen(archive, Choice(account_id=OWN_ACCOUNT)) == ["ca.example"]


def test_a_choice_says_what_it_is() -> None:
    assert str(Choice()) == "all"
    whole = Choice((Ground.CAA,), START, START, "a", "p", Domain("a.example"), "dns-01", "far")
    assert str(whole) == (
        "missing caa, issued from 2026-03-01T12:00:00Z, issued before 2026-03-01T12:00:00Z, "
        "account a, profile p, under a.example, validated by dns-01, validated from far"
    )
