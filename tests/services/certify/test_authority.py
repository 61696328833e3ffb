"""RFC 8555 §7.3, §7.6; RFC 9773 §4: an account, and what can be asked with it."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509

from letterlock.network.acme_client import AcmeClient, AcmeFailed
from letterlock.protocols.acme.identifiers import parse_identifier
from letterlock.protocols.acme.jws import AccountKey, ExternalAccount, make_account_key
from letterlock.protocols.acme.requests import OrderRequest, RevocationReason
from letterlock.protocols.pki.throwaway_ca import Shape, ThrowawayCa, self_signed
from letterlock.services.certify.authority import (
    Authority,
    RenewalAdvice,
    Terms,
    find_account,
    open_account,
    revoke,
)
from tests.acme_server import BASE, FakeAcmeServer, refuse, respond
from tests.fakes import START, FakeClock

AGREED = Terms(("mailto:postmaster@example.org",), is_agreed=True)
ORDER = OrderRequest(frozenset({parse_identifier("mx.example.org")}))


def make(server: FakeAcmeServer) -> AcmeClient:
    return AcmeClient(server, server.directory_url, FakeClock())


async def opened(server: FakeAcmeServer, key: AccountKey | None = None) -> Authority:
    authority = await open_account(make(server), key or make_account_key(), AGREED)
    assert isinstance(authority, Authority)
    return authority


async def test_an_account_is_made_once_for_a_key() -> None:
    """RFC 8555 §7.3, §7.3.1."""
    server = FakeAcmeServer()
    key = make_account_key()
    first, second = await opened(server, key), await opened(server, key)
    assert first.account.url == second.account.url
    assert server.paths("new-account")[0] == {
        "contact": ["mailto:postmaster@example.org"],
        "termsOfServiceAgreed": True,
    }


async def test_terms_are_agreed_to_by_the_operator_only() -> None:
    """RFC 8555 §7.3: without it an account that is there is found, and none is made."""
    server = FakeAcmeServer(meta={"termsOfService": "https://ca.example/terms"})
    key = make_account_key()
    failed = await open_account(make(server), key, Terms())
    assert isinstance(failed, AcmeFailed)
    assert "https://ca.example/terms" in failed.reason
    assert server.paths("new-account") == [{"onlyReturnExisting": True}]
    await opened(server, key)
    assert isinstance(await open_account(make(server), key, Terms()), Authority)


async def test_an_external_account_is_bound_where_there_is_one() -> None:
    """RFC 8555 §7.3.4."""
    server = FakeAcmeServer(meta={"externalAccountRequired": True})
    failed = await open_account(make(server), make_account_key(), AGREED)
    assert isinstance(failed, AcmeFailed)
    assert "external account" in failed.reason
    terms = Terms(is_agreed=True, external=ExternalAccount("kid-1", bytes(32)))
    assert isinstance(await open_account(make(server), make_account_key(), terms), Authority)
    binding = server.paths("new-account")[-1]["externalAccountBinding"]
    assert set(binding) == {"protected", "payload", "signature"}


async def test_an_account_that_is_not_there_is_not_found() -> None:
    """RFC 8555 §7.3.1."""
    failed = await find_account(make(FakeAcmeServer()), make_account_key())
    assert isinstance(failed, AcmeFailed)
    assert failed.is_about("accountDoesNotExist")


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (respond(201, {"status": "valid"}), "the account has no URL"),
        (respond(200, {"status": "revoked"}, location=f"{BASE}/account/1"), "account is revoked"),
        (respond(200, {}, location=f"{BASE}/account/1"), "status is missing"),
        (refuse("userActionRequired"), "userActionRequired"),
    ],
)
async def test_an_account_that_is_of_no_use_is_a_value(reply: object, words: str) -> None:
    server = FakeAcmeServer()
    server.replies["new-account"].append(reply)  # type: ignore[arg-type] # a reply
    failed = await open_account(make(server), make_account_key(), AGREED)
    assert isinstance(failed, AcmeFailed)
    assert words in failed.reason


async def test_a_key_is_changed_and_the_account_stays() -> None:
    """RFC 8555 §7.3.5."""
    server = FakeAcmeServer()
    old, new = make_account_key(), make_account_key()
    authority = await opened(server, old)
    changed = await authority.change_key(new)
    assert isinstance(changed, Authority)
    assert changed.account.url == authority.account.url
    assert isinstance(await find_account(make(server), new), Authority)
    assert isinstance(await find_account(make(server), old), AcmeFailed)


async def test_a_change_of_keys_that_is_refused_leaves_the_old_one() -> None:
    """RFC 8555 §7.3.5: the new key has an account already."""
    server = FakeAcmeServer()
    authority = await opened(server)
    server.replies["key-change"].append(refuse("conflict", 409))
    assert isinstance(await authority.change_key(make_account_key()), AcmeFailed)
    assert isinstance(await find_account(make(server), authority.key), Authority)


async def test_an_account_is_given_up() -> None:
    """RFC 8555 §7.3.6."""
    server = FakeAcmeServer()
    authority = await opened(server)
    assert await authority.deactivate() is None
    assert server.paths("account") == [{"status": "deactivated"}]
    server.replies["account"].append(refuse("unauthorized", 401))
    assert isinstance(await authority.deactivate(), AcmeFailed)


async def test_a_certificate_is_revoked_by_account_or_by_its_own_key() -> None:
    """RFC 8555 §7.6."""
    server = FakeAcmeServer()
    authority = await opened(server)
    certificate = self_signed(["mx.example.org"], now=START)
    own = make_account_key()
    assert await authority.revoke(certificate.certificate, RevocationReason.SUPERSEDED) is None
    assert await revoke(make(server), certificate.certificate, None, own) is None
    by_account, by_key = server.revoked
    assert by_account[0]["reason"] == 4
    assert by_account[1] == authority.key.thumbprint
    assert "reason" not in by_key[0]
    assert by_key[1] == own.thumbprint


async def test_what_is_revoked_already_is_revoked() -> None:
    """RFC 8555 §7.6."""
    server = FakeAcmeServer()
    authority = await opened(server)
    certificate = self_signed(["mx.example.org"], now=START).certificate
    server.replies["revoke-cert"] += [refuse("alreadyRevoked", 400), refuse("unauthorized")]
    assert await authority.revoke(certificate) is None
    assert isinstance(await authority.revoke(certificate), AcmeFailed)


async def test_renewal_is_asked_for_without_a_signature() -> None:
    """RFC 9773 §4.1, §4.3."""
    server = FakeAcmeServer(directory={"renewalInfo": f"{BASE}/renewal-info"})
    authority = await opened(server)
    certificate = ThrowawayCa("Root", START).issue(["a.example"], now=START).certificate
    advice = await authority.ask_renewal(certificate)
    assert isinstance(advice, RenewalAdvice)
    assert advice.info.start == datetime(2026, 3, 10, tzinfo=UTC)
    assert advice.ask_again == timedelta(hours=6)


async def test_where_there_is_no_renewal_information_nothing_is_asked() -> None:
    """RFC 9773 §4.1."""
    certificate = ThrowawayCa("Root", START).issue(["a.example"], now=START).certificate
    authority = await opened(FakeAcmeServer())
    assert await authority.ask_renewal(certificate) is None
    server = FakeAcmeServer(directory={"renewalInfo": f"{BASE}/renewal-info"})
    shape = Shape(extensions=[x509.AuthorityKeyIdentifier(None, None, None)])
    nameless = self_signed(["a.example"], now=START, shape=shape).certificate
    assert await (await opened(server)).ask_renewal(nameless) is None


@pytest.mark.parametrize(
    ("url", "reply"),
    [
        (f"{BASE}/renewal-info", respond(200, {})),
        (f"{BASE}/renewal-info", respond(503)),
        (f"{BASE}/renewal-info/{'x' * 2010}", respond(200)),
    ],
)
async def test_renewal_information_of_no_use_is_a_value(url: str, reply: object) -> None:
    """RFC 9773 §4.3.3."""
    server = FakeAcmeServer(directory={"renewalInfo": url})
    server.replies["renewal-info"].append(reply)  # type: ignore[arg-type] # a reply
    certificate = ThrowawayCa("Root", START).issue(["a.example"], now=START).certificate
    assert isinstance(await (await opened(server)).ask_renewal(certificate), AcmeFailed)


async def test_a_profile_that_the_server_has_not_is_not_ordered() -> None:
    server = FakeAcmeServer(meta={"profiles": {"classic": "as ever"}})
    authority = await opened(server)
    failed = await authority.order(OrderRequest(ORDER.identifiers, profile="shortlived"))
    assert failed == AcmeFailed("the authority has no profile 'shortlived'; it has: classic")
    assert server.paths("new-order") == []
    await authority.order(OrderRequest(ORDER.identifiers, profile="classic"))
    assert server.paths("new-order")[0]["profile"] == "classic"


async def test_a_directory_that_is_lost_later_is_a_value_everywhere() -> None:
    server = FakeAcmeServer()
    clock = FakeClock()
    client = AcmeClient(server, server.directory_url, clock)
    authority = await open_account(client, make_account_key(), AGREED)
    assert isinstance(authority, Authority)
    clock.move(timedelta(days=1))
    server.replies["directory"] += [respond(503)] * 6
    certificate = self_signed(["mx.example.org"], now=START).certificate
    outcomes = [
        await authority.order(ORDER),
        await authority.revoke(certificate),
        await authority.change_key(make_account_key()),
        await authority.ask_renewal(certificate),
        await open_account(client, make_account_key(), AGREED),
        await find_account(client, make_account_key()),
    ]
    assert all(isinstance(each, AcmeFailed) for each in outcomes)
    assert json.dumps([str(each) for each in outcomes]).count("503") >= len(outcomes)
