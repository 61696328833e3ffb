"""RFC 5280 §4.2.1.13: CRLs fetched for certificates of ours."""

from dataclasses import replace
from datetime import timedelta

import pytest
from cryptography import x509

from letterlock.network.http_exchange import (
    HttpBounds,
    HttpFailed,
    HttpFault,
    HttpRequest,
    HttpResponse,
)
from letterlock.protocols.pki.crl import CrlUnusable, Revocation
from letterlock.protocols.pki.throwaway_ca import ThrowawayCa
from letterlock.services.certify import revocation
from letterlock.services.certify.revocation import HELD_SECONDS, CrlBounds, RevocationFinder
from tests.fakes import START, FakeClock
from tests.revocations import URL, issue_with_crl, make_crl, make_point

CA = ThrowawayCa("Root", START)
ISSUED = issue_with_crl(CA, "mx.example.org")
CHAIN = [ISSUED.certificate, CA.issued.certificate]
SERIAL = ISSUED.certificate.serial_number
DIRECTORY = "https://one.example/directory"
REVOKED = Revocation(START, "keyCompromise")


class FakeAsker:
    """Gives the same response each time, or by turns."""

    def __init__(self, *replies: HttpResponse | HttpFailed | bytes) -> None:
        self.asked: list[str] = []
        self._replies = list(replies)

    async def ask(self, request: HttpRequest, bounds: HttpBounds) -> HttpResponse | HttpFailed:
        assert bounds.max_body_octets > 0
        self.asked.append(f"{request.host}:{request.port}{request.target}")
        reply = self._replies.pop(0) if len(self._replies) > 1 else self._replies[0]
        return HttpResponse(200, (), reply) if isinstance(reply, bytes) else reply


def revoking(*serials: int) -> bytes:
    return make_crl(CA, dict.fromkeys(serials, x509.ReasonFlags.key_compromise))


def finder(asker: FakeAsker, clock: FakeClock | None = None) -> RevocationFinder:
    return RevocationFinder({}, asker, clock or FakeClock())


async def test_a_revoked_certificate_is_found() -> None:
    asker = FakeAsker(revoking(SERIAL))
    assert await finder(asker).find(DIRECTORY, CHAIN, ()) == REVOKED
    assert asker.asked == ["crl.example:80/7.crl"]
    assert await finder(FakeAsker(revoking(1))).find(DIRECTORY, CHAIN, ()) is None


async def test_one_crl_does_for_all_of_ours_for_some_hours() -> None:
    clock, other = FakeClock(), issue_with_crl(CA, "other.example.org")
    asker = FakeAsker(revoking(SERIAL))
    looking = finder(asker, clock)
    ours = {SERIAL, other.certificate.serial_number}
    assert await looking.find(DIRECTORY, CHAIN, ours) == REVOKED
    assert await looking.find(DIRECTORY, [other.certificate, CHAIN[1]], ours) is None
    assert len(asker.asked) == 1
    clock.move(timedelta(seconds=HELD_SECONDS))
    assert await looking.find(DIRECTORY, CHAIN, ours) == REVOKED
    assert len(asker.asked) == 2


async def test_a_new_certificate_has_the_crl_fetched_anew() -> None:
    asker, new = FakeAsker(revoking(SERIAL)), issue_with_crl(CA, "new.example.org")
    looking = finder(asker)
    await looking.find(DIRECTORY, CHAIN, ())
    await looking.find(DIRECTORY, [new.certificate, CHAIN[1]], ())
    assert len(asker.asked) == 2


async def test_what_is_held_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(revocation, "MAX_HELD", 1)
    asker = FakeAsker(revoking(SERIAL))
    looking = finder(asker)
    other = issue_with_crl(CA, "other.example.org", make_point("http://two.example/"))
    for chain in (CHAIN, [other.certificate, CHAIN[1]], CHAIN):
        await looking.find(DIRECTORY, chain, (SERIAL,))
    assert len(asker.asked) == 3


async def test_the_next_place_is_asked_when_one_fails() -> None:
    places = make_point(URL, "http://two.example/7.crl")
    issued = issue_with_crl(CA, "mx.example.org", places)
    chain = [issued.certificate, CHAIN[1]]
    good = revoking(issued.certificate.serial_number)
    asker = FakeAsker(HttpResponse(404, ()), good)
    assert await finder(asker).find(DIRECTORY, chain, ()) == REVOKED
    assert len(asker.asked) == 2


async def test_why_nothing_is_known_is_told() -> None:
    away = HttpFailed(HttpFault.UNREACHABLE, "crl.example: refused")
    for reply, reason in (
        (away, "crl.example: refused"),
        (HttpResponse(404, ()), f"{URL}: HTTP status 404"),
        (make_crl(ThrowawayCa("Root", START)), f"{URL}: the issuer's key did not sign the CRL"),
        (make_crl(CA, now=START - timedelta(days=8)), "out of date since 2026-02-28 12:00 UTC"),
    ):
        found = await finder(FakeAsker(reply)).find(DIRECTORY, CHAIN, ())
        assert isinstance(found, CrlUnusable)
        assert reason in found.reason


async def test_what_is_revoked_stays_so_in_an_old_crl() -> None:
    """RFC 5280 §6.3.3 (a): what is not may be revoked by now."""
    entry = {SERIAL: x509.ReasonFlags.key_compromise}
    old = make_crl(CA, entry, now=START - timedelta(days=8))
    found = await finder(FakeAsker(old)).find(DIRECTORY, CHAIN, ())
    assert isinstance(found, Revocation)


async def test_without_a_crl_or_an_issuer_nobody_is_asked() -> None:
    asker = FakeAsker(b"")
    plain = CA.issue(["mx.example.org"], now=START).certificate
    assert await finder(asker).find(DIRECTORY, [plain, CHAIN[1]], ()) is None
    assert isinstance(await finder(asker).find(DIRECTORY, CHAIN[:1], ()), CrlUnusable)
    assert asker.asked == []


async def test_each_authority_is_asked_in_its_own_way() -> None:
    own, public = FakeAsker(revoking(SERIAL)), FakeAsker(revoking(1))
    looking = RevocationFinder({DIRECTORY: own}, public, FakeClock())
    assert await looking.find(DIRECTORY, CHAIN, ()) == REVOKED
    assert public.asked == []
    looking = RevocationFinder({DIRECTORY: own}, public, FakeClock())
    assert await looking.find("https://two.example/directory", CHAIN, ()) is None


KEEPING = CrlBounds(kept_octets=100_000, failure_seconds=60.0)


async def test_a_crl_that_is_kept_does_for_certificates_that_come_later() -> None:
    """A check learns of certificates one by one."""
    asker, new = FakeAsker(revoking(SERIAL)), issue_with_crl(CA, "new.example.org")
    looking = RevocationFinder({}, asker, FakeClock(), KEEPING)
    assert await looking.find("", [new.certificate, CHAIN[1]], ()) is None
    assert await looking.find("", CHAIN, ()) == REVOKED
    assert len(asker.asked) == 1


async def test_no_more_octets_are_kept_than_may_be() -> None:
    asker, new = FakeAsker(revoking(SERIAL)), issue_with_crl(CA, "new.example.org")
    looking = RevocationFinder({}, asker, FakeClock(), replace(KEEPING, kept_octets=100))
    await looking.find("", CHAIN, ())
    await looking.find("", [new.certificate, CHAIN[1]], ())
    assert len(asker.asked) == 2


async def test_what_could_not_be_had_is_not_asked_for_again_at_once() -> None:
    clock, asker = FakeClock(), FakeAsker(HttpFailed(HttpFault.UNREACHABLE, "away"))
    looking = RevocationFinder({}, asker, clock, KEEPING)
    for _ in range(2):
        assert await looking.find("", CHAIN, ()) == CrlUnusable("away")
    assert len(asker.asked) == 1
    clock.move(timedelta(seconds=60))
    await looking.find("", CHAIN, ())
    assert len(asker.asked) == 2
