"""Certificates from our authority for our own client: each challenge, and each option it has.

RFC 8555, RFC 8737, RFC 8738, RFC 9773. `test_pebble` asks the same client the same at Pebble.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import timedelta

import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.asymmetric import rsa

from letterlock.base.clock import SystemClock
from letterlock.network.acme_client import AcmeFailed
from letterlock.protocols.acme.fields import parse_url
from letterlock.protocols.acme.jws import (
    AccountKey,
    ExternalAccount,
    make_account_key,
    parse_mac_key,
)
from letterlock.protocols.acme.renewal_info import find_certificate_id
from letterlock.protocols.acme.requests import RevocationReason
from letterlock.services.certify.authority import (
    Authority,
    RenewalAdvice,
    find_account,
    open_account,
    revoke,
)
from letterlock.services.certify.issuing import Issued, Issuer, NotIssued
from tests.interop.acme_worlds import OTHER_ROOT, OwnOperator, running_own
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
from tests.interop.pebble import Tried, surroundings

pytestmark = pytest.mark.asyncio(loop_scope="module")

NAMES = ("mx1.example.org", "mx2.example.org")


@dataclass
class Ours(Tried):
    """An authority of ours that runs, and its operator."""

    operator: OwnOperator


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ours(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Ours]:
    folder = tmp_path_factory.mktemp("ours")
    async with surroundings(folder) as around:
        ports = (around.http_port, around.tls_port)
        async with running_own(folder, around.resolver, ports) as operator:
            around.add(*NAMES)
            root = operator.files.root.read_bytes()
            yield Ours(parse_url(operator.directory), root, around, operator)


@pytest.mark.parametrize("kind", CHALLENGES)
async def test_a_certificate_by_each_challenge(ours: Ours, kind: str) -> None:
    """RFC 8555 §8.3, §8.4; RFC 8737 §3."""
    issued = await issue(await account(ours), solver(ours, kind), order(*NAMES))
    assert names_of(issued.chain.leaf) == set(NAMES)
    assert len(issued.chain.certificates) == 2
    assert await ours.count_proofs() == 0


async def test_a_wildcard_and_its_base_are_proved_at_one_name(ours: Ours) -> None:
    """RFC 8555 §8.4: two TXT records there; and an RSA key."""
    key = rsa.generate_private_key(65537, 2048)
    request = order("example.org", "*.example.org")
    issued = await issue(await account(ours), ours.dns, request, key)
    assert names_of(issued.chain.leaf) == {"example.org", "*.example.org"}
    assert issued.chain.leaf.public_key() == key.public_key()


@pytest.mark.parametrize("kind", ["http-01", "tls-alpn-01"])
async def test_an_address_has_its_certificate(ours: Ours, kind: str) -> None:
    """RFC 8738 §4, §6."""
    issued = await issue(await account(ours), solver(ours, kind), order("127.0.0.1"))
    assert names_of(issued.chain.leaf) == {"127.0.0.1"}


async def test_every_name_that_is_not_proved_is_told(ours: Ours) -> None:
    """RFC 8555 §6.7, §8."""
    outcome = await ask(await account(ours), Forgetful(), order(*NAMES))
    assert isinstance(outcome, NotIssued)
    told = [line for line in outcome.lines if line.startswith("mx")]
    assert [line.split(": ")[:2] for line in told] == [
        [name, "incorrectResponse"] for name in NAMES
    ]


async def test_another_authoritys_name_is_refused_with_its_caa(ours: Ours) -> None:
    """RFC 8659 §4.1, RFC 8555 §6.7.1: of two names one is forbidden."""
    ours.zone.set("mx9.example.org", "A", "127.0.0.1")
    ours.zone.set("mx9.example.org", "CAA", '0 issue "another.example"')
    outcome = await ask(await account(ours), ours.http, order("mx9.example.org", NAMES[0]))
    assert isinstance(outcome, NotIssued)
    (line,) = (line for line in outcome.lines if line.startswith("mx9.example.org"))
    assert line.startswith("mx9.example.org: caa: ")
    assert "another.example" in line


async def test_alternate_chains_are_fetched_and_chosen_from(ours: Ours) -> None:
    """RFC 8555 §7.4.2."""
    authority = await account(ours)
    issued = await issue(authority, ours.http, order(NAMES[0]))
    usual, other = (chain.top_issuer for chain in issued.chains)
    assert usual != other
    assert OTHER_ROOT in other
    issuer = Issuer(authority, [ours.http], SystemClock(), PATIENCE)
    chosen = await issuer.issue(order(NAMES[0]), make_key(), other)
    assert isinstance(chosen, Issued)
    assert chosen.chain.top_issuer == other


async def test_an_account_changes_its_key_and_ends(ours: Ours) -> None:
    """RFC 8555 §7.3.1, §7.3.5, §7.3.6."""
    old = await account(ours)
    new = await old.change_key(AccountKey(rsa.generate_private_key(65537, 2048)))
    assert isinstance(new, Authority), new
    found = await find_account(ours.client(), new.key)
    assert isinstance(found, Authority)
    assert found.account.url == old.account.url
    gone = await find_account(ours.client(), old.key)
    assert isinstance(gone, AcmeFailed)
    assert gone.is_about("accountDoesNotExist")
    await issue(new, ours.http, order(NAMES[0]))
    assert await new.deactivate() is None
    assert isinstance(await ask(new, ours.http, order(NAMES[0])), NotIssued)


async def test_a_certificate_is_revoked_by_each_who_may(ours: Ours) -> None:
    """RFC 8555 §7.6: its account, its key, another account that has proved all of its names."""
    first, second = await account(ours), await account(ours)
    key = make_key()
    leaves = [
        (await issue(first, ours.http, order(*NAMES), each)).chain.leaf
        for each in (make_key(), key, make_key())
    ]
    stranger = await revoke(ours.client(), leaves[1], None, AccountKey(make_key()))
    assert isinstance(stranger, AcmeFailed)
    early = await second.revoke(leaves[2], RevocationReason.SUPERSEDED)
    assert isinstance(early, AcmeFailed)
    assert early.is_about("unauthorized")
    await issue(second, ours.http, order(*NAMES))
    assert await first.revoke(leaves[0], RevocationReason.SUPERSEDED) is None
    reason = RevocationReason.KEY_COMPROMISE
    assert await revoke(ours.client(), leaves[1], reason, AccountKey(key)) is None
    assert await second.revoke(leaves[2], RevocationReason.SUPERSEDED) is None
    for leaf in leaves:
        assert await ours.operator.is_revoked_soon(leaf)
    # Once more: it is, so nothing is wrong.
    assert await first.revoke(leaves[0]) is None


async def test_a_key_that_was_compromised_has_no_other_certificate(ours: Ours) -> None:
    """Baseline Requirements 6.1.1.3."""
    authority, key = await account(ours), make_key()
    leaf = (await issue(authority, ours.http, order(NAMES[0]), key)).chain.leaf
    reason = RevocationReason.KEY_COMPROMISE
    assert await revoke(ours.client(), leaf, reason, AccountKey(key)) is None
    outcome = await ask(authority, ours.http, order(NAMES[0]), key)
    assert isinstance(outcome, NotIssued)
    assert "compromised" in " ".join(outcome.lines)


async def test_an_account_is_bound_to_an_external_one(ours: Ours) -> None:
    """RFC 8555 §7.3.4."""
    given = await ours.operator.make_account_key()
    external = ExternalAccount(given["key_id"], parse_mac_key(given["key"]))
    wrong = replace(AGREED, external=replace(external, mac_key=bytes(32)))
    assert isinstance(await open_account(ours.client(), make_account_key(), wrong), AcmeFailed)
    right = replace(AGREED, external=external)
    opened = await open_account(ours.client(), make_account_key(), right)
    assert isinstance(opened, Authority), opened


async def test_a_profile_is_asked_for_by_name(ours: Ours) -> None:
    authority = await account(ours)
    request = replace(order(NAMES[0]), profile="shortlived")
    leaf = (await issue(authority, ours.http, request)).chain.leaf
    assert leaf.not_valid_after_utc - leaf.not_valid_before_utc < timedelta(days=7)
    unknown = await ask(authority, ours.http, replace(request, profile="gold"))
    assert isinstance(unknown, NotIssued)
    assert unknown.lines == ("the authority has no profile 'gold'; it has: default, shortlived",)


async def test_renewal_is_as_the_authority_wants_it(ours: Ours) -> None:
    """RFC 9773 §4, §5: an incident's window is in the past, with its page; then `replaces`."""
    authority = await account(ours)
    first = (await issue(authority, ours.http, order(NAMES[0]))).chain.leaf
    advice = await authority.ask_renewal(first)
    assert isinstance(advice, RenewalAdvice), advice
    now = SystemClock().now()
    assert now < advice.info.start < advice.info.end < first.not_valid_after_utc
    assert timedelta(minutes=1) <= advice.ask_again <= timedelta(days=1)

    await ours.operator.hasten_soon(first)
    urgent = await authority.ask_renewal(first)
    assert isinstance(urgent, RenewalAdvice), urgent
    assert urgent.info.end < now
    assert urgent.info.explanation is not None

    again = replace(order(NAMES[0]), replaces=find_certificate_id(first))
    second = await issue(authority, ours.http, again)
    # A second successor is refused, so it is ordered without `replaces`.
    third = await issue(authority, ours.http, again)
    serials = {each.chain.leaf.serial_number for each in (second, third)}
    assert len(serials | {first.serial_number}) == 3
