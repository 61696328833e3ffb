"""Issuing: what becomes a certificate, what becomes which problem, and what a crash leaves."""

import re
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from letterlock.protocols.acme.server.objects import Account
from letterlock.protocols.acme.server.transitions import (
    deactivate_account,
    deactivate_authorization,
    fail_order,
    revoke_account,
)
from letterlock.protocols.acme.states import OrderStatus
from letterlock.protocols.audit.decisions import (
    CaaLogged,
    LintLogged,
    OrderEndedLogged,
    RequestLogged,
    SerialLogged,
    SigningLogged,
)
from letterlock.protocols.audit.records import AuditEntry, read_decision
from letterlock.protocols.dns.answers import Security
from letterlock.protocols.pki.issuance.issuers import find_shard
from letterlock.protocols.pki.issuance.lint_records import LintRecord
from letterlock.protocols.pki.issuance.linting import CertificateKind, Linter
from letterlock.protocols.pki.issuance.profiles import Profile
from letterlock.protocols.pki.issuance.signing import KeySigner, KeyUnavailable
from letterlock.protocols.pki.issuance.subject_keys import RefusedKeys, digest_spki
from letterlock.services.ca.issuing.certifying import FINISH_WITHIN
from letterlock.services.ca.issuing.outcomes import (
    MAX_TRIES,
    WAITS,
    make_internal_problem,
)
from letterlock.storage.ca import changes, kept
from letterlock.storage.queue import StoreUnavailable
from tests.peers import environment, program
from tests.services.ca.issuing.office import (
    ACCOUNT_KEY,
    ALLOWS,
    CERTIFICATE_KEY,
    DAY,
    FORBIDS,
    LEASE,
    WORLD,
    KilledError,
    Office,
    OrderedName,
    do_nothing,
    make_csr,
)

OLD = timedelta(hours=8)


async def logged(office: Office) -> list[Any]:
    records = await office.kept.list_records(0, 1000)
    return [read_decision(each.document) for each in records]


async def halt(office: Office, why: str = "a key was lost") -> None:
    before = await office.kept.load_halt()
    after = kept.Halt(is_halted=True, since=office.clock.now(), why=why, who="operator")
    assert await office.kept.commit([changes.ChangeHalt(before, after)])


async def test_an_order_becomes_a_certificate_for_its_names_and_key(office: Office) -> None:
    """RFC 8555 §7.4"""
    claimed = await office.add_order(
        "mx.example", "*.w.example", OrderedName("192.0.2.1", None, method="http-01")
    )
    assert await office.issuing().do(claimed) is None
    issued = await office.find_issued(claimed)
    assert issued is not None
    made = x509.load_der_x509_certificate(issued.der)
    made.verify_directly_issued_by(WORLD.certificate)
    assert office.signatures[0].names == ["*.w.example", "192.0.2.1", "mx.example"]
    assert made.public_key() == CERTIFICATE_KEY.public_key()
    assert issued.certificate.name.serial == made.serial_number
    assert issued.certificate.not_after == made.not_valid_after_utc
    assert issued.certificate.not_before == made.not_valid_before_utc
    assert issued.chains == office.authority.chains
    assert issued.certificate.chain_count == 2
    assert (find_shard(made.serial_number) or 0) in range(1, 5)
    order = await office.find_order(claimed)
    assert (order.status, order.expires) == (OrderStatus.VALID, made.not_valid_after_utc)
    assert await office.kept.find_next_due(kept.WorkKind.ISSUANCE) is None
    assert await office.kept.list_unused_serials(office.clock.now() + DAY, 10) == ()


async def test_its_number_its_looks_and_its_lint_are_kept_before_it_is_signed(
    office: Office,
) -> None:
    """Baseline Requirements 4.3.1, 5.4.1. Rule 245"""
    office.resolver.set("old.example", "CAA", ALLOWS)
    claimed = await office.add_order("mx.example", OrderedName("old.example", OLD))
    await office.issuing().do(claimed)
    kinds = [what for what, _ in office.steps.done if what != "ask"]
    assert kinds == [
        *("halt", "ChangeAuthorization", "AddSerial", "ProlongLease"),
        *("halt", "sign", "ChangeOrder", "AddCertificate", "EndWork", "ChangeHalt"),
    ]
    found = await logged(office)
    assert [type(each) for each in found] == [CaaLogged, LintLogged, SerialLogged, SigningLogged]
    looked, lint, serial, signing = found
    assert [each.name for each in looked.looks] == ["old.example"]
    assert (lint.draft, lint.faults) == (signing.draft, ())
    assert serial.serial == signing.serial
    assert [each.name for each in signing.names] == ["mx.example", "old.example"]
    assert all(each.caa_began == office.clock.now() for each in signing.names)
    order = await office.kept.load_order(claimed.work.subject)
    assert order is not None
    check = order.authorizations[1].check
    assert check is not None
    assert check.began == office.clock.now()


async def test_a_certificate_cannot_be_told_from_its_id(office: Office) -> None:
    """RFC 8555 §10.5"""
    claimed = await office.add_order("mx.example")
    await office.issuing().do(claimed)
    issued = await office.find_issued(claimed)
    assert issued is not None
    assert f"{issued.certificate.name.serial:x}"[2:] not in issued.certificate.id
    assert len(issued.certificate.id) >= 22


@pytest.mark.peer("openssl")
async def test_openssl_trusts_it_by_each_of_its_chains(office: Office, tmp_path: Path) -> None:
    """RFC 5280 §6, RFC 8555 §7.4.2"""
    claimed = await office.add_order("mx.example")
    await office.issuing().do(claimed)
    issued = await office.find_issued(claimed)
    assert issued is not None
    for chain, root in enumerate((WORLD.root, WORLD.other_root)):
        (tmp_path / "chain.pem").write_bytes(issued.format_chain(chain))
        (tmp_path / "root.pem").write_bytes(root.certificate.public_bytes(Encoding.PEM))
        done = verify(tmp_path, int(office.clock.now().timestamp()))
        assert done.returncode == 0, done.stderr


def verify(folder: Path, moment: int) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            *(program("openssl"), "verify", "-x509_strict", "-purpose", "sslserver"),
            *("-no-CApath", "-no-CAstore", "-CAfile", "root.pem", "-attime", str(moment)),
            *("-untrusted", "chain.pem", "-verify_hostname", "mx.example", "chain.pem"),
        ],
        cwd=folder,
        env=environment("openssl"),
        capture_output=True,
        text=True,
        check=False,
    )


# What is refused


def weaker(office: Office) -> None:
    refused = RefusedKeys(compromised=frozenset({digest_spki(CERTIFICATE_KEY.public_key())}))
    office.rules = replace(office.rules, refused_keys=refused)


def without_wildcards(office: Office) -> None:
    office.rules = replace(
        office.rules, profiles={"default": Profile("default", may_have_wildcards=False)}
    )


def without_profile(office: Office) -> None:
    office.rules = replace(office.rules, profiles={"other": Profile("other")})


def with_few_names(office: Office) -> None:
    office.rules = replace(office.rules, profiles={"default": Profile("default", max_names=1)})


def with_rsa_alone(office: Office) -> None:
    profile = Profile("default", key_kinds=frozenset({"rsa-2048"}))
    office.rules = replace(office.rules, profiles={"default": profile})


def forbidding(office: Office) -> None:
    office.resolver.set("a.example", "CAA", FORBIDS)


NAMES = (OrderedName("a.example", OLD), OrderedName("*.b.example", OLD))


@pytest.mark.parametrize(
    ("prepare", "kind", "detail"),
    [
        (weaker, "badCSR", "known to be compromised"),
        (with_rsa_alone, "badCSR", "it may be rsa-2048"),
        (without_wildcards, "rejectedIdentifier", r"\*\.b\.example: no certificates for wildcards"),
        (without_profile, "invalidProfile", "no profile default any more"),
        (with_few_names, "malformed", "1 to 1 names"),
        (forbidding, "caa", "a.example: "),
    ],
)
async def test_what_is_wrong_with_an_order_is_its_problem(
    office: Office, prepare: Callable[[Office], None], kind: str, detail: str
) -> None:
    """RFC 8555 §6.7, §7.4"""
    claimed = await office.add_order(*NAMES)
    prepare(office)
    assert await office.issuing().do(claimed) is None
    order = await office.find_order(claimed)
    assert order.status is OrderStatus.INVALID
    assert order.error is not None
    assert order.error.type == kind
    assert re.search(detail, order.error.detail)
    assert office.signatures == []
    assert await office.kept.list_unused_serials(office.clock.now() + DAY, 10) == ()
    assert await office.kept.find_next_due(kept.WorkKind.ISSUANCE) is None
    ended = (await logged(office))[-1]
    assert isinstance(ended, OrderEndedLogged)
    assert ended.problem.type == kind


@pytest.mark.parametrize(
    ("csr", "detail"),
    [
        (b"", "cannot be read"),
        (b"\x30\x03\x02\x01\x01", "cannot be read"),
        (make_csr(["mx.example", "more.example"]), "names that the order has not: more.example"),
        (make_csr(["more.example"]), "names that the request has not: mx.example"),
        (make_csr(["mx.example"], ACCOUNT_KEY), "is an account's"),
        (make_csr(["mx.example"], ec.derive_private_key(5, ec.SECP521R1())), "secp521r1"),
    ],
)
async def test_a_request_is_judged_once_more(office: Office, csr: bytes, detail: str) -> None:
    """RFC 8555 §7.4, §11.1: what lies in the database is not trusted either."""
    claimed = await office.add_order("mx.example", csr=csr)
    await office.issuing().do(claimed)
    order = await office.find_order(claimed)
    assert order.error is not None
    assert order.error.type == "badCSR"
    assert detail in order.error.detail
    request, _ = await logged(office)
    assert isinstance(request, RequestLogged)
    assert request.faults
    assert office.signatures == []


async def test_a_key_that_was_blocked_meanwhile_is_not_certified(office: Office) -> None:
    """Baseline Requirements 6.1.1.3"""
    claimed = await office.add_order("mx.example")
    key = kept.BlockedKey(digest_spki(CERTIFICATE_KEY.public_key()), office.clock.now(), "found")
    await office.kept.commit([changes.BlockKey(key)])
    await office.issuing().do(claimed)
    order = await office.find_order(claimed)
    assert order.error is not None
    assert "known to be compromised" in order.error.detail


async def test_what_is_signed_when_its_key_is_blocked_is_thrown_away(office: Office) -> None:
    """Baseline Requirements 6.1.1.3, 4.9.1.1: or who revokes all of a key would miss it."""
    claimed = await office.add_order("mx.example")
    key = kept.BlockedKey(digest_spki(CERTIFICATE_KEY.public_key()), office.clock.now(), "found")

    async def before(steps: Sequence[changes.Change], _: object) -> None:
        if any(isinstance(each, changes.AddCertificate) for each in steps):
            office.store.before = do_nothing
            assert await office.kept.commit([changes.BlockKey(key)])

    office.store.before = before
    assert await office.issuing().do(claimed) is None
    order = await office.find_order(claimed)
    assert order.error is not None
    assert "known to be compromised" in order.error.detail
    assert len(office.signatures) == 1


async def test_the_dates_of_an_order_are_not_given(office: Office) -> None:
    """RFC 8555 §7.4: honoured or refused; newOrder refuses them before."""
    claimed = await office.add_order("mx.example", not_after=office.clock.now() + DAY)
    await office.issuing().do(claimed)
    order = await office.find_order(claimed)
    assert order.error is not None
    assert order.error.type == "malformed"


async def test_an_authorization_that_was_given_up_meanwhile_ends_its_order(office: Office) -> None:
    """RFC 8555 §7.5.2"""
    claimed = await office.add_order("mx.example", "b.example")
    found = await office.kept.load_order(claimed.work.subject)
    assert found is not None
    before = found.authorizations[1].authorization
    after = deactivate_authorization(before, office.clock.now())
    assert isinstance(after, type(before))
    await office.kept.commit([changes.ChangeAuthorization(before, after)])
    await office.issuing().do(claimed)
    order = await office.find_order(claimed)
    assert order.error is not None
    assert order.error.detail == "b.example: its authorization is deactivated"


@pytest.mark.parametrize("close", [deactivate_account, revoke_account])
async def test_an_account_that_was_closed_meanwhile_gets_no_certificate(
    office: Office, close: Callable[[Account], Account]
) -> None:
    """RFC 8555 §7.3.6: what its key had allowed ends, also what is processed."""
    claimed = await office.add_order("mx.example")
    account = await office.kept.load_account("account-one-abcdef")
    assert account is not None
    await office.kept.commit([changes.ChangeAccount(account, close(account))])
    await office.issuing().do(claimed)
    order = await office.find_order(claimed)
    assert order.error is not None
    assert (order.error.type, order.certificate_id) == ("unauthorized", None)
    assert office.signatures == []


@pytest.mark.parametrize(("back", "is_issued"), [(timedelta(hours=1), True), (DAY, False)])
async def test_a_proof_by_a_clock_that_was_ahead_proves_nothing(
    office: Office, back: timedelta, *, is_issued: bool
) -> None:
    """Baseline Requirements 4.2.1: it would count for as long as that clock was ahead."""
    claimed = await office.add_order("mx.example", "b.example")
    office.clock.set_wall(office.clock.now() - back)
    await office.issuing().do(claimed)
    order = await office.find_order(claimed)
    assert (order.status is OrderStatus.VALID) is is_issued
    if not is_issued:
        assert order.error is not None
        assert order.error.type == "unauthorized"
        assert len(order.error.subproblems) == 2


async def test_each_forbidden_name_is_told_once(office: Office) -> None:
    """RFC 8555 §6.7.1"""
    names = [f"n{number}.example" for number in range(20)]
    claimed = await office.add_order(*(OrderedName(each, None) for each in names))
    for each in names:
        office.resolver.set(each, "CAA", FORBIDS)
    await office.issuing().do(claimed)
    order = await office.find_order(claimed)
    assert order.error is not None
    told = [each.identifier.value for each in order.error.subproblems if each.identifier]
    assert told == names


# Halted


async def test_nothing_is_issued_while_it_is_halted_and_clients_are_told_why(
    office: Office,
) -> None:
    claimed = await office.add_order("mx.example")
    await halt(office)
    await office.issuing().do(claimed)
    order = await office.find_order(claimed)
    assert order.error is not None
    assert (order.error.type, order.error.status) == ("serverInternal", 503)
    assert order.error.detail == "issuance is halted: a key was lost"
    assert office.signatures == []


async def test_the_switch_is_looked_at_again_right_before_the_signature(office: Office) -> None:
    """The serial number is taken by then: it goes onto its CRL. Rule 246"""
    claimed = await office.add_order("mx.example")

    async def after(steps: Sequence[changes.Change], _: object) -> None:
        if any(isinstance(each, changes.AddSerial) for each in steps):
            await halt(office)

    office.store.after = after
    await office.issuing().do(claimed)
    order = await office.find_order(claimed)
    assert order.status is OrderStatus.INVALID
    assert office.signatures == []
    unused = await office.kept.list_unused_serials(office.clock.now() + DAY, 10)
    assert [each.order_id for each in unused] == [order.id]


async def test_what_is_signed_when_the_switch_is_thrown_is_thrown_away(office: Office) -> None:
    """From the commit of a halt on nobody gets a certificate. Rule 246"""
    claimed = await office.add_order("mx.example")

    async def before(steps: Sequence[changes.Change], _: object) -> None:
        if any(isinstance(each, changes.AddCertificate) for each in steps):
            office.store.before = do_nothing
            await halt(office)

    office.store.before = before
    assert await office.issuing().do(claimed) is None
    order = await office.find_order(claimed)
    assert order.error is not None
    assert order.error.detail == "issuance is halted: a key was lost"
    assert len(office.signatures) == 1
    unused = await office.kept.list_unused_serials(office.clock.now() + DAY, 10)
    assert [each.name.serial for each in unused] == [office.signatures[0].serial]


# What fails on our side


class Complaining(Linter):
    def lint(self, der: bytes, kind: CertificateKind) -> LintRecord:
        assert kind is CertificateKind.SERVER
        x509.load_der_x509_certificate(der)
        return LintRecord(("error a.secret at certificate",), (), "linter 1")


async def test_what_the_linter_objects_to_is_not_signed(office: Office) -> None:
    """Baseline Requirements 4.3.1.2. Rule 221"""
    office.linter = Complaining()
    claimed = await office.add_order("mx.example")
    assert await office.issuing().do(claimed) is None
    order = await office.find_order(claimed)
    assert order.error is not None
    assert order.error.type == "serverInternal"
    assert "secret" not in order.error.detail
    assert any("linter 1: error a.secret" in each for each in office.log.texts)
    lint, _ = await logged(office)
    assert lint.faults == ("error a.secret at certificate",)
    assert office.signatures == []
    assert await office.kept.list_unused_serials(office.clock.now() + DAY, 10) == ()


async def test_an_authority_that_ends_too_soon_issues_nothing(office: Office) -> None:
    office.clock.move(timedelta(days=5 * 365 - 30))
    claimed = await office.add_order("mx.example")
    await office.issuing().do(claimed)
    order = await office.find_order(claimed)
    assert order.error is not None
    assert order.error.type == "serverInternal"
    assert any("the issuer's certificate ends before" in each for each in office.log.texts)


def break_signature(signature: bytes) -> bytes:
    return signature[:-1] + bytes([signature[-1] ^ 1])


async def test_a_signature_that_does_not_verify_goes_nowhere(office: Office) -> None:
    """A fault while it was made may give the key away: it is not tried again."""
    claimed = await office.add_order("mx.example")
    office.signer.spoil = break_signature
    assert await office.issuing().do(claimed) is None
    order = await office.find_order(claimed)
    assert order.error is not None
    assert order.error.type == "serverInternal"
    assert len(office.signatures) == 1
    assert any("does not verify" in each for each in office.log.texts)
    unused = await office.kept.list_unused_serials(office.clock.now() + DAY, 10)
    assert [each.name.serial for each in unused] == [office.signatures[0].serial]


async def test_a_key_of_another_certificate_is_found_out(office: Office) -> None:
    """It verifies with its own key; the world has the certificate's."""
    office.signer._inner = KeySigner(ec.derive_private_key(13, ec.SECP256R1()))
    claimed = await office.add_order("mx.example")
    await office.issuing().do(claimed)
    assert (await office.find_order(claimed)).status is OrderStatus.INVALID
    assert await office.find_issued(claimed) is None


async def test_a_token_that_is_away_is_tried_again_and_then_found(office: Office) -> None:
    claimed = await office.add_order("mx.example")
    is_away = True

    def spoil(signature: bytes) -> bytes:
        if is_away:
            raise KeyUnavailable("token hsm: DeviceRemoved")
        return signature

    office.signer.spoil = spoil
    due = await office.issuing().do(claimed)
    assert due == office.clock.now() + WAITS[0]
    assert (await office.find_order(claimed)).status is OrderStatus.PROCESSING
    is_away = False
    again = await office.claim_again()
    assert again is not None
    assert again.lease.number == 2
    await office.issuing().do(again)
    assert (await office.find_order(claimed)).status is OrderStatus.VALID
    assert any("DeviceRemoved" in each for each in office.log.texts)


async def test_a_token_that_stays_away_ends_the_order_after_so_many_tries(office: Office) -> None:
    claimed: kept.Claimed | None = await office.add_order("mx.example")
    first = claimed
    assert first is not None

    def spoil(signature: bytes) -> bytes:
        raise KeyUnavailable(f"token hsm: DeviceRemoved, {len(signature)}")

    office.signer.spoil = spoil
    tries = 0
    while claimed is not None:
        await office.issuing().do(claimed)
        tries += 1
        claimed = await office.claim_again()
    order = await office.find_order(first)
    assert tries == MAX_TRIES
    assert order.error is not None
    assert order.error.type == "serverInternal"
    assert "hsm" not in order.error.detail


async def test_dns_that_fails_is_tried_again_and_is_never_permission(office: Office) -> None:
    """RFC 8659 §6.4"""
    first = await office.add_order(OrderedName("a.example", OLD))
    office.resolver.fail("a.example", "CAA")
    assert await office.issuing().do(first) is not None
    office.resolver.set("a.example", "CAA", ALLOWS)
    again = await office.claim_again()
    assert again is not None
    await office.issuing().do(again)
    assert (await office.find_order(first)).status is OrderStatus.VALID
    second = await office.add_order(OrderedName("b.example", OLD))
    office.resolver.fail("b.example", "CAA", Security.BOGUS)
    claimed: kept.Claimed | None = second
    while claimed is not None:
        await office.issuing().do(claimed)
        claimed = await office.claim_again()
    order = await office.find_order(second)
    assert order.error is not None
    assert order.error.type == "dns"
    looks = [each for each in await logged(office) if isinstance(each, CaaLogged)]
    assert len(looks) == 2 + MAX_TRIES


async def test_a_database_that_is_away_leaves_the_order_for_later(office: Office) -> None:
    claimed = await office.add_order("mx.example")

    def before(_: int, what: str) -> None:
        if what == "commit":
            raise StoreUnavailable("disk I/O error")

    office.steps.before = before
    with pytest.raises(StoreUnavailable):
        await office.issuing().do(claimed)
    assert office.signatures == []
    office.steps.before = lambda _number, _what: None
    again = await office.claim_again()
    assert again is not None
    await office.issuing().do(again)
    assert (await office.find_order(claimed)).status is OrderStatus.VALID


async def test_nothing_is_signed_that_the_audit_log_does_not_have(office: Office) -> None:
    """The commit that takes the serial number writes the records, or does not take it."""
    claimed = await office.add_order("mx.example")

    async def before(_: object, entries: Sequence[AuditEntry]) -> None:
        if entries:
            raise StoreUnavailable("the log cannot be written")

    office.store.before = before
    with pytest.raises(StoreUnavailable):
        await office.issuing().do(claimed)
    assert office.signatures == []


@pytest.mark.parametrize("is_done", [True, False])
async def test_what_is_signed_is_kept_though_nobody_knows_if_it_is(
    office: Office, *, is_done: bool
) -> None:
    """The database went away in the last commit: done or not, the same certificate is kept."""
    claimed = await office.add_order("mx.example")

    async def fail_once(_: object, __: object) -> None:
        if office.signatures:
            office.store.before = office.store.after = do_nothing
            raise StoreUnavailable("gone")

    if is_done:
        office.store.after = fail_once
    else:
        office.store.before = fail_once
    await office.issuing().do(claimed)
    issued = await office.find_issued(claimed)
    assert issued is not None
    assert len(office.signatures) == 1
    assert issued.certificate.name.serial == office.signatures[0].serial


async def test_an_order_that_others_ended_meanwhile_stays_as_they_left_it(office: Office) -> None:
    claimed = await office.add_order("mx.example")

    async def end(steps: Sequence[changes.Change], _: object) -> None:
        if any(isinstance(each, changes.AddCertificate) for each in steps):
            office.store.before = do_nothing
            order = await office.find_order(claimed)
            ended = fail_order(order, make_internal_problem())
            await office.kept.commit([changes.ChangeOrder(order, ended)])

    office.store.before = end
    assert await office.issuing().do(claimed) is None
    assert (await office.find_order(claimed)).status is OrderStatus.INVALID
    assert any("signed in vain" in each for each in office.log.texts)
    unused = await office.kept.list_unused_serials(office.clock.now() + DAY, 10)
    assert [each.name.serial for each in unused] == [office.signatures[0].serial]


async def test_work_that_another_claimed_is_not_gone_on_with(office: Office) -> None:
    """A process that was away for longer than its lease takes no serial number."""
    claimed = await office.add_order("mx.example")
    office.clock.move(LEASE)
    other = await office.claim_again()
    assert other is not None
    assert await office.issuing().do(claimed) is None
    assert office.signatures == []
    await office.issuing().do(other)
    assert (await office.find_order(claimed)).status is OrderStatus.VALID
    assert len(office.signatures) == 1


async def test_what_was_found_is_too_old_after_a_long_sleep(office: Office) -> None:
    """Baseline Requirements 3.2.2.8: the age counts at the signature. Rule 246"""
    claimed = await office.add_order(OrderedName("a.example", timedelta(hours=6, minutes=59)))
    office.resolver.set("a.example", "CAA", FORBIDS)

    def before(_: int, what: str) -> None:
        if what == "load_halt" and office.steps.all_of("AddSerial"):
            office.clock.move(timedelta(minutes=2))

    office.steps.before = before
    due = await office.issuing().do(claimed)
    assert due is not None
    assert office.signatures == []
    again = await office.claim_again()
    assert again is not None
    await office.issuing().do(again)
    order = await office.find_order(claimed)
    assert order.error is not None
    assert order.error.type == "caa"
    assert office.signatures == []


@pytest.mark.parametrize("step", [FINISH_WITHIN, -timedelta(seconds=1)])
async def test_a_serial_number_is_signed_within_its_time_or_never(
    office: Office, step: timedelta
) -> None:
    """Later it is on its way to a CRL; nor when the clock was set back, which hides how late."""
    claimed = await office.add_order("mx.example")

    def before(_: int, what: str) -> None:
        if what == "load_halt" and office.steps.all_of("AddSerial"):
            office.clock.move(step)

    office.steps.before = before
    assert await office.issuing().do(claimed) is not None
    assert office.signatures == []


async def test_an_order_that_was_stored_a_moment_ago_is_not_loaded(office: Office) -> None:
    claimed = await office.add_order("mx.example")
    known = await office.kept.load_order(claimed.work.subject)
    begun: list[str] = []
    office.steps.before = lambda _, what: begun.append(what)
    assert await office.issuing().do(replace(claimed, kept=known)) is None
    assert "load_order" not in begun
    assert await office.find_issued(claimed) is not None


async def test_work_whose_order_is_gone_is_ended(office: Office) -> None:
    claimed = await office.add_order("mx.example")
    await office.issuing().do(claimed)
    work = kept.Work(kept.WorkKind.ISSUANCE, claimed.work.subject, office.clock.now())
    lease = kept.Lease(work.kind, work.subject, "us", office.clock.now() + LEASE)
    await office.kept.commit([changes.AddWork(work, lease)])
    assert await office.issuing().do(kept.Claimed(work, lease)) is None
    assert await office.kept.find_next_due(kept.WorkKind.ISSUANCE) is None


# Killed


async def test_a_process_that_is_killed_anywhere_leaves_what_another_can_go_on_with(
    office: Office,
) -> None:
    """At each step: one certificate in the end, and no signature that is nowhere. Rule 245"""
    office.resolver.set("old.example", "CAA", ALLOWS)
    at = 0
    while True:
        claimed = await office.add_order("mx.example", OrderedName("old.example", OLD))
        signed = len(office.signatures)
        was_killed = await _do_and_kill(office, claimed, at)
        again = await office.claim_again()
        if again is not None:
            await office.issuing().do(again)
        issued = await office.find_issued(claimed)
        assert issued is not None, at
        serials = {each.serial for each in office.signatures[signed:]}
        unused = await office.kept.list_unused_serials(office.clock.now() + DAY, 100)
        known = {each.name.serial for each in unused} | {issued.certificate.name.serial}
        assert serials <= known
        assert len(serials) <= 2
        if not was_killed:
            break
        at += 1
    assert at >= 11, "it was to be killed before and behind each step"


async def _do_and_kill(office: Office, claimed: kept.Claimed, at: int) -> bool:
    first = office.steps.begun + 1

    def before(number: int, what: str) -> None:
        if number == first + at:
            raise KilledError(what)

    office.steps.before = before
    try:
        await office.issuing().do(claimed)
    except (KilledError, BaseExceptionGroup):
        return True
    finally:
        office.steps.before = lambda _number, _what: None
    return False


async def test_an_order_whose_process_dies_each_time_is_given_up(office: Office) -> None:
    claimed: kept.Claimed | None = await office.add_order("mx.example")
    first = claimed
    assert first is not None
    while claimed is not None:
        if claimed.lease.number <= MAX_TRIES:
            assert await _do_and_kill(office, claimed, 1)
        else:
            await office.issuing().do(claimed)
        claimed = await office.claim_again()
    order = await office.find_order(first)
    assert order.error is not None
    assert order.error.type == "serverInternal"
    assert any("tries that broke off" in each for each in office.log.texts)
