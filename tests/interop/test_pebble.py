"""Certificates from Pebble, which refuses two nonces in five, and reuses authorizations by chance.

RFC 8555, RFC 8737, RFC 8738, RFC 9773; Debian's own release, and one that has renewal information
and profiles.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding

from letterlock.base.clock import SystemClock
from letterlock.network.acme_client import AcmeFailed
from letterlock.protocols.acme.jws import (
    AccountKey,
    ExternalAccount,
    make_account_key,
    parse_mac_key,
)
from letterlock.protocols.acme.renewal_info import find_certificate_id
from letterlock.protocols.acme.requests import RevocationReason
from letterlock.services.certify.accounts import CLOSED_ADVICE, Accounts
from letterlock.services.certify.authority import (
    Authority,
    RenewalAdvice,
    Terms,
    find_account,
    open_account,
    revoke,
)
from letterlock.services.certify.issuing import Issued, Issuer, NotIssued
from letterlock.storage.sqlite.acme_accounts import SqliteAccounts
from tests.interop.own_client import (
    AGREED,
    CHALLENGES,
    PATIENCE,
    Forgetful,
    account,
    ask,
    issue,
    make_key,
    names_of,
    order,
    solver,
)
from tests.interop.pebble import POLICY, POLICY_HOST, Knobs, Pebble, running_pebble
from tests.network.certificates import authority
from tests.peers import is_foreign, require_mounts, require_peer

pytestmark = pytest.mark.asyncio(loop_scope="module")

PEBBLES = ("pebble", "pebble-2.10")
NEW_PEBBLE = "pebble-2.10"

KID = "kid-1"
MAC_KEY = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W"
KNOBS = Knobs(
    alternate_roots=2,
    settings={
        # Pebble 2.10 too panics over names that have fewer labels than one of these.
        "domainBlocklist": ["blocked.example"],
        "profiles": {
            "default": {"description": "as ever", "validityPeriod": 7776000},
            "shortlived": {"description": "six days", "validityPeriod": 518400},
        },
    },
)


def require(peer: str) -> None:
    require_peer(peer)
    if is_foreign(peer):
        require_mounts(peer)


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=PEBBLES)
async def pebble(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Pebble]:
    require(request.param)
    async with running_pebble(request.param, tmp_path_factory.mktemp("pebble"), KNOBS) as running:
        yield running


only_new = pytest.mark.parametrize("pebble", [NEW_PEBBLE], indirect=True)


@pytest.mark.parametrize("kind", CHALLENGES)
async def test_a_certificate_by_each_challenge(pebble: Pebble, kind: str) -> None:
    """RFC 8555 §8.3, §8.4; RFC 8737 §3."""
    names = ("mx1.example.org", "mx2.example.org")
    pebble.add(*names)
    issued = await issue(await account(pebble), solver(pebble, kind), order(*names))
    assert names_of(issued.chain.leaf) == set(names)
    assert len(issued.chain.certificates) >= 2
    assert await pebble.count_proofs() == 0


@pytest.mark.parametrize("peer", PEBBLES)
async def test_the_files_of_another_web_server_prove_names_too(peer: str, tmp_path: Path) -> None:
    """RFC 8555 §8.3."""
    require(peer)
    names = ("mx1.example.org", "mx2.example.org")
    async with running_pebble(peer, tmp_path, Knobs(has_webroot=True)) as pebble:
        pebble.add(*names)
        issued = await issue(await account(pebble), pebble.http, order(*names))
        assert names_of(issued.chain.leaf) == set(names)
    assert list((tmp_path / "webroot/.well-known/acme-challenge").iterdir()) == []


@pytest.mark.parametrize("peer", PEBBLES)
async def test_the_policy_host_and_tls_alpn_01_share_a_port(peer: str, tmp_path: Path) -> None:
    """RFC 8737 §3; RFC 8461 §3.3: curl fetches the policy all the while."""
    require(peer)
    require_peer("curl")
    names = [f"mx{number}.example.org" for number in range(10)]
    async with running_pebble(peer, tmp_path, Knobs(has_policy_host=True)) as pebble:
        pebble.add(*names)
        done = asyncio.Event()
        fetching = asyncio.ensure_future(fetch_until(done, pebble, tmp_path))
        try:
            issued = await issue(await account(pebble), pebble.tls, order(*names))
        finally:
            done.set()
            policies = await fetching
    assert names_of(issued.chain.leaf) == set(names)
    assert policies
    assert set(policies) == {POLICY}


async def fetch_until(done: asyncio.Event, pebble: Pebble, folder: Path) -> list[bytes]:
    """Fetch the policy again and again, once at least."""
    trust = folder / "trust.pem"
    trust.write_bytes(authority().pem)
    words = (
        *("curl", "--silent", "--show-error", "--fail", "--cacert", str(trust)),
        *("--resolve", f"{POLICY_HOST}:{pebble.around.tls_port}:127.0.0.1"),
        f"https://{POLICY_HOST}:{pebble.around.tls_port}/.well-known/mta-sts.txt",
    )
    seen: list[bytes] = []
    while not done.is_set() or not seen:
        process = await asyncio.create_subprocess_exec(*words, stdout=asyncio.subprocess.PIPE)
        octets, _ = await process.communicate()
        seen.append(octets)
    return seen


async def test_a_wildcard_and_its_base_are_proved_at_one_name(pebble: Pebble) -> None:
    """RFC 8555 §8.4: two TXT records there; and an RSA key."""
    key = rsa.generate_private_key(65537, 2048)
    request = order("example.org", "*.example.org")
    issued = await issue(await account(pebble), pebble.dns, request, key)
    assert names_of(issued.chain.leaf) == {"example.org", "*.example.org"}
    assert issued.chain.leaf.public_key() == key.public_key()


@pytest.mark.parametrize("kind", ["http-01", "tls-alpn-01"])
async def test_an_address_has_its_certificate(pebble: Pebble, kind: str) -> None:
    """RFC 8738 §4, §6."""
    issued = await issue(await account(pebble), solver(pebble, kind), order("127.0.0.1"))
    assert names_of(issued.chain.leaf) == {"127.0.0.1"}


async def test_every_name_that_is_not_proved_is_told(pebble: Pebble) -> None:
    """RFC 8555 §6.7, §8: the server's words, for each name."""
    names = ("mx1.example.org", "mx2.example.org")
    pebble.add(*names)
    outcome = await ask(await account(pebble), Forgetful(), order(*names))
    assert isinstance(outcome, NotIssued)
    first, second = (line for line in outcome.lines if line.startswith("mx"))
    assert first.startswith("mx1.example.org: unauthorized: ")
    assert second.startswith("mx2.example.org: unauthorized: ")


async def test_a_name_that_is_refused_is_told(pebble: Pebble) -> None:
    """RFC 8555 §7.4."""
    outcome = await ask(await account(pebble), pebble.http, order("blocked.example"))
    assert isinstance(outcome, NotIssued)
    assert "rejectedIdentifier" in outcome.lines[0]
    assert "blocked.example" in " ".join(outcome.lines)


async def test_alternate_chains_are_fetched_and_chosen_from(pebble: Pebble) -> None:
    """RFC 8555 §7.4.2."""
    pebble.add("mx1.example.org")
    authority = await account(pebble)
    issued = await issue(authority, pebble.http, order("mx1.example.org"))
    tops = [chain.top_issuer for chain in issued.chains]
    assert len(set(tops)) == 3
    issuer = Issuer(authority, [pebble.http], SystemClock(), PATIENCE)
    chosen = await issuer.issue(order("mx1.example.org"), make_key(), tops[2])
    assert isinstance(chosen, Issued)
    assert chosen.chain.top_issuer == tops[2]


async def test_an_account_changes_its_key_and_ends(pebble: Pebble) -> None:
    """RFC 8555 §7.3.1, §7.3.5, §7.3.6."""
    old = await account(pebble)
    new = await old.change_key(AccountKey(rsa.generate_private_key(65537, 2048)))
    assert isinstance(new, Authority), new
    found = await find_account(pebble.client(), new.key)
    assert isinstance(found, Authority)
    assert found.account.url == old.account.url
    gone = await find_account(pebble.client(), old.key)
    assert isinstance(gone, AcmeFailed)
    assert gone.is_about("accountDoesNotExist")
    pebble.add("mx1.example.org")
    await issue(new, pebble.http, order("mx1.example.org"))
    assert await new.deactivate() is None
    outcome = await ask(new, pebble.http, order("mx1.example.org"))
    assert isinstance(outcome, NotIssued)


async def test_another_account_is_opened_for_a_closed_one_when_it_is_told(pebble: Pebble) -> None:
    """RFC 8555 §7.3.6: nothing signed with the closed one's key is accepted any more."""
    directory = pebble.directory.text
    store = SqliteAccounts(pebble.around.database)

    def accounts() -> Accounts:
        return Accounts(store, lambda _: pebble.client(), {directory: AGREED}, SystemClock())

    before = await accounts().open(directory)
    assert isinstance(before, Authority), before
    assert await before.deactivate() is None
    failed = await accounts().open(directory)
    assert isinstance(failed, AcmeFailed)
    assert failed.reason.endswith(f"deactivated; {CLOSED_ADVICE}")
    after = await accounts().change_key(directory)
    assert isinstance(after, Authority), after
    assert after.account.url != before.account.url
    again = await accounts().open(directory)
    assert isinstance(again, Authority), again
    assert again.account.url == after.account.url
    pebble.add("mx1.example.org")
    await issue(again, pebble.http, order("mx1.example.org"))


async def test_a_certificate_is_revoked_by_account_or_by_its_own_key(pebble: Pebble) -> None:
    """RFC 8555 §7.6."""
    pebble.add("mx1.example.org")
    authority = await account(pebble)
    by_account = await issue(authority, pebble.http, order("mx1.example.org"))
    key = make_key()
    by_key = await issue(authority, pebble.http, order("mx1.example.org"), key)
    leaf, other = by_account.chain.leaf, by_key.chain.leaf
    assert await authority.revoke(leaf, RevocationReason.SUPERSEDED) is None
    stranger = await revoke(pebble.client(), other, None, AccountKey(make_key()))
    assert isinstance(stranger, AcmeFailed)
    reason = RevocationReason.KEY_COMPROMISE
    assert await revoke(pebble.client(), other, reason, AccountKey(key)) is None
    for certificate in (leaf, other):
        answer = await pebble.manage(f"cert-status-by-serial/{certificate.serial_number:x}")
        assert json.loads(answer.body)["Status"] == "Revoked"
    # Once more: it is, so nothing is wrong.
    assert await authority.revoke(leaf) is None


@pytest.mark.parametrize("peer", PEBBLES)
async def test_an_account_is_bound_to_an_external_one(peer: str, tmp_path: Path) -> None:
    """RFC 8555 §7.3.4."""
    require(peer)
    settings = {"externalAccountBindingRequired": True, "externalAccountMACKeys": {KID: MAC_KEY}}
    async with running_pebble(peer, tmp_path, Knobs(settings=settings)) as pebble:
        unbound = await open_account(pebble.client(), make_account_key(), AGREED)
        assert isinstance(unbound, AcmeFailed)
        assert "external account" in unbound.reason
        wrong = replace(AGREED, external=ExternalAccount(KID, bytes(32)))
        assert isinstance(
            await open_account(pebble.client(), make_account_key(), wrong), AcmeFailed
        )
        right = replace(AGREED, external=ExternalAccount(KID, parse_mac_key(MAC_KEY)))
        opened = await open_account(pebble.client(), make_account_key(), right)
        assert isinstance(opened, Authority), opened
        pebble.add("mx1.example.org")
        await issue(opened, pebble.tls, order("mx1.example.org"))


async def test_terms_that_nobody_agreed_to_end_it(pebble: Pebble) -> None:
    """RFC 8555 §7.3."""
    failed = await open_account(pebble.client(), make_account_key(), Terms())
    assert isinstance(failed, AcmeFailed)
    assert "terms must be agreed to first" in failed.reason


@only_new
async def test_a_profile_is_asked_for_by_name(pebble: Pebble) -> None:
    pebble.add("mx1.example.org")
    authority = await account(pebble)
    request = replace(order("mx1.example.org"), profile="shortlived")
    leaf = (await issue(authority, pebble.http, request)).chain.leaf
    assert leaf.not_valid_after_utc - leaf.not_valid_before_utc < timedelta(days=7)
    unknown = await ask(authority, pebble.http, replace(request, profile="gold"))
    assert isinstance(unknown, NotIssued)
    assert unknown.lines == ("the authority has no profile 'gold'; it has: default, shortlived",)


@only_new
async def test_renewal_is_as_the_authority_wants_it(pebble: Pebble) -> None:
    """RFC 9773 §4, §5: a window in the past is shown with its explanation; then `replaces`."""
    pebble.add("mx1.example.org")
    authority = await account(pebble)
    first = (await issue(authority, pebble.http, order("mx1.example.org"))).chain.leaf
    advice = await authority.ask_renewal(first)
    assert isinstance(advice, RenewalAdvice), advice
    now = SystemClock().now()
    assert now < advice.info.start < advice.info.end < first.not_valid_after_utc
    assert timedelta(minutes=1) <= advice.ask_again <= timedelta(days=1)

    past = {
        "suggestedWindow": {"start": "2026-01-01T00:00:00Z", "end": "2026-01-02T00:00:00Z"},
        "explanationURL": "https://example.org/incident",
    }
    pem = first.public_bytes(Encoding.PEM).decode("ascii")
    answer = await pebble.manage(
        "set-renewal-info/", {"certificate": pem, "ARIResponse": json.dumps(past)}
    )
    assert answer.status == 200, answer
    urgent = await authority.ask_renewal(first)
    assert isinstance(urgent, RenewalAdvice), urgent
    assert urgent.info.end < now
    assert urgent.info.explanation == "https://example.org/incident"

    again = replace(order("mx1.example.org"), replaces=find_certificate_id(first))
    second = await issue(authority, pebble.http, again)
    # A second successor is refused, so it is ordered without `replaces`.
    third = await issue(authority, pebble.http, again)
    serials = {each.chain.leaf.serial_number for each in (second, third)}
    assert len(serials | {first.serial_number}) == 3


@pytest.mark.proof
@pytest.mark.parametrize("peer", PEBBLES)
@pytest.mark.parametrize(
    ("kind", "knobs"),
    [
        *((kind, Knobs()) for kind in CHALLENGES),
        pytest.param("http-01", Knobs(has_webroot=True), id="http-01-webroot"),
        pytest.param("tls-alpn-01", Knobs(has_policy_host=True), id="tls-alpn-01-shared"),
    ],
)
async def test_fifty_certificates_without_one_failure(
    peer: str, kind: str, knobs: Knobs, tmp_path: Path
) -> None:
    """RFC 8555 §6.5: two nonces in five refused, authorizations reused by chance."""
    require(peer)
    async with running_pebble(peer, tmp_path, knobs) as pebble:
        authority = await account(pebble)
        busy = asyncio.Semaphore(5)

        async def one(number: int) -> Issued | NotIssued:
            # Every fifth name is had twice: its authorization may be reused.
            name = f"mx{number % 40}.example.org"
            pebble.add(name)
            async with busy:
                return await ask(authority, solver(pebble, kind), order(name))

        outcomes = await asyncio.gather(*(one(number) for number in range(50)))
        failures = [each.lines for each in outcomes if isinstance(each, NotIssued)]
        assert failures == []
        serials = {each.chain.leaf.serial_number for each in outcomes if isinstance(each, Issued)}
        assert len(serials) == 50
