"""Serial numbers, certificates, revocations and CRLs of an authority, on both engines."""

from dataclasses import replace
from datetime import timedelta

import pytest

from letterlock.protocols.pki.issuance.revocation_lists import CrlPeriod, Reason, Revoked
from letterlock.storage.ca.changes import (
    AddAccount,
    AddCertificate,
    AddRevocation,
    AddSerial,
    BlockKey,
    Change,
    ChangeCertificate,
    ChangeRevocation,
    PutCrl,
)
from letterlock.storage.ca.kept import BlockedKey, Issued, KeptCrl, KeyUse, ShardState
from letterlock.storage.ca.scripts import certificates
from letterlock.storage.ca.store import AuthorityStore
from tests.fakes import START
from tests.storage.authorities import (
    CHAIN,
    DAY,
    ISSUER,
    KEYS,
    MINUTE,
    make_account,
    make_issued,
    make_name,
    name,
    reserve,
)

OTHER_CHAIN = CHAIN.replace(b"AAAA", b"BBBB")
PERIOD = CrlPeriod(100, START, START + 7 * DAY)


async def issue(authority: AuthorityStore, *all_issued: Issued) -> None:
    changes: list[Change] = []
    for each in all_issued:
        number = each.certificate.name.serial & 0xFFFF
        changes += [AddSerial(reserve(number)), AddCertificate(each)]
    assert await authority.commit(changes)


async def test_a_certificate_is_read_as_it_was_kept(authority: AuthorityStore) -> None:
    issued = make_issued(1, "*.a.example", "a.example")
    issued = replace(
        issued,
        certificate=replace(issued.certificate, chain_count=2),
        chains=(CHAIN, OTHER_CHAIN),
    )
    await issue(authority, issued)
    assert await authority.load_certificate("certificate-1") == issued
    assert await authority.find_certificate(make_name(1)) == issued
    assert await authority.load_certificate("certificate-2") is None
    assert await authority.find_certificate(make_name(2)) is None
    stranger = replace(make_name(1), key_identifier=b"other")
    assert await authority.find_certificate(stranger) is None


async def test_a_chain_begins_with_the_certificate(authority: AuthorityStore) -> None:
    """RFC 8555 §9.1, §7.4.2: in PEM with lines of 64, and one for each chain that there is."""
    issued = make_issued(1)
    certificate = replace(issued.certificate, chain_count=2)
    long = replace(issued, certificate=certificate, der=bytes(49), chains=(CHAIN, OTHER_CHAIN))
    await issue(authority, long)
    leaf = "-----BEGIN CERTIFICATE-----\n{}\nAA==\n-----END CERTIFICATE-----\n".format("A" * 64)
    kept = await authority.load_certificate("certificate-1")
    assert kept is not None
    assert kept.format_chain(0) == leaf.encode() + CHAIN
    assert kept.format_chain(1) == leaf.encode() + OTHER_CHAIN


@pytest.mark.parametrize("most", [1, 2, 64])
async def test_however_many_chains_are_remembered_each_has_its_own(
    authority: AuthorityStore, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(certificates, "MAX_REMEMBERED", most)
    monkeypatch.setattr(certificates, "_REMEMBERED", {})
    one = make_issued(1)
    both = replace(
        make_issued(2),
        certificate=replace(make_issued(2).certificate, chain_count=2),
        chains=(CHAIN, OTHER_CHAIN),
    )
    await issue(authority, one, both)
    for _ in range(2):
        assert await authority.load_certificate("certificate-1") == one
        assert await authority.load_certificate("certificate-2") == both


async def test_a_serial_number_is_taken_once(authority: AuthorityStore) -> None:
    """RFC 5280 §4.1.2.2: by whatever order and issuer."""
    taken = reserve(1)
    assert await authority.commit([AddSerial(taken)])
    other_issuer = replace(taken.name, key_identifier=b"other")
    for again in (
        taken,
        replace(taken, order_id="order-2"),
        replace(taken, name=other_issuer),
    ):
        assert not await authority.commit([AddSerial(again)])


async def test_no_certificate_is_kept_without_its_serial_number(authority: AuthorityStore) -> None:
    """It was taken before, for this order and issuer, and has no certificate yet."""
    issued = make_issued(1)
    assert not await authority.commit([AddCertificate(issued)])
    assert await authority.commit([AddSerial(replace(reserve(1), order_id="order-2"))])
    assert not await authority.commit([AddCertificate(issued)])
    await issue(authority, make_issued(2))
    twin = make_issued(2)
    assert not await authority.commit(
        [AddCertificate(replace(twin, certificate=replace(twin.certificate, id="another")))]
    )
    assert await authority.load_certificate("another") is None
    with pytest.raises(ValueError, match="as many chains"):
        await authority.commit([AddCertificate(replace(issued, chains=()))])


async def test_serial_numbers_without_a_certificate_are_listed(authority: AuthorityStore) -> None:
    """What a crash between the two leaves: until it is revoked, or the certificate comes."""
    late = replace(reserve(3), moment=START + MINUTE)
    first = replace(reserve(2), moment=START - MINUTE)
    assert await authority.commit([AddSerial(reserve(1)), AddSerial(first), AddSerial(late)])
    assert await authority.list_unused_serials(START + MINUTE, 5) == (first, reserve(1))
    assert await authority.list_unused_serials(START + MINUTE, 1) == (first,)
    assert await authority.commit([AddCertificate(make_issued(1))])
    revoked = Revoked(first.name.serial, START, first.not_after)
    assert await authority.commit([AddRevocation(ISSUER, revoked)])
    assert await authority.list_unused_serials(START + DAY, 5) == (late,)


async def test_a_serial_number_that_was_revoked_gets_no_certificate(
    authority: AuthorityStore,
) -> None:
    """Who was slow finds that somebody took the order for lost."""
    revoked = Revoked(make_name(1).serial, START, START + DAY)
    assert await authority.commit([AddSerial(reserve(1)), AddRevocation(ISSUER, revoked)])
    assert not await authority.commit([AddCertificate(make_issued(1))])


async def test_a_key_that_was_blocked_meanwhile_gets_no_certificate(
    authority: AuthorityStore,
) -> None:
    """Baseline Requirements 6.1.1.3: who revokes all certificates of a key has seen all then."""
    issued = make_issued(1)
    blocked = BlockedKey(issued.spki_sha256, START, "it was shown")
    assert await authority.commit([AddSerial(reserve(1)), BlockKey(blocked)])
    assert not await authority.commit([AddCertificate(issued)])
    assert await authority.list_of_key(issued.spki_sha256, 0, 9) == ()


async def test_certificates_are_listed_by_what_they_have_in_common(
    authority: AuthorityStore,
) -> None:
    one = make_issued(1, "a.example", "b.example")
    two = make_issued(2, "a.example", account_id="account-2")
    three = replace(make_issued(3, "*.a.example"), spki_sha256=one.spki_sha256)
    await issue(authority, one, two, three)
    everything = await authority.list_certificates(0, 9)
    assert [each.issued for each in everything] == [one, two, three]
    numbers = [each.number for each in everything]
    assert numbers == sorted(set(numbers))
    assert await authority.list_certificates(numbers[0], 1) == everything[1:2]
    assert await authority.list_of_name(name("a.example"), 0, 9) == everything[:2]
    assert await authority.list_of_name(name("a.example"), numbers[0], 9) == everything[1:2]
    assert await authority.list_of_name(name("*.a.example"), 0, 9) == everything[2:]
    assert await authority.list_of_account("account-2", 0, 9) == everything[1:2]
    assert await authority.list_of_key(one.spki_sha256, 0, 9) == (everything[0], everything[2])
    assert await authority.list_of_key(b"none", 0, 9) == ()


async def test_what_is_replaced_revoked_or_over_needs_no_more_care(
    authority: AuthorityStore,
) -> None:
    all_issued = [make_issued(number) for number in range(1, 5)]
    ended = all_issued[3].certificate
    all_issued[3] = replace(
        all_issued[3], certificate=replace(ended, not_after=START + DAY, key=KEYS[0])
    )
    await issue(authority, *all_issued)
    first, second, third, fourth = (each.certificate for each in all_issued)
    revoked = replace(second, revoked=START + MINUTE)
    replaced = replace(third, replaced_by="order-9")
    assert await authority.commit(
        [ChangeCertificate(second, revoked), ChangeCertificate(third, replaced)]
    )
    now = START + 2 * MINUTE
    left = [each.issued.certificate for each in await authority.list_unreplaced(now, 0, 9)]
    assert left == [first, fourth]
    left = [each.issued.certificate for each in await authority.list_unreplaced(START + DAY, 0, 9)]
    assert left == [first]
    found = await authority.find_certificate(make_name(2))
    assert found is not None
    assert found.certificate == revoked
    assert not await authority.commit([ChangeCertificate(second, replace(second, replaced_by="x"))])
    # An order that came to nothing replaces it no more.
    assert await authority.commit([ChangeCertificate(replaced, third)])
    left = [each.issued.certificate for each in await authority.list_unreplaced(now, 0, 9)]
    assert left == [first, third, fourth]


async def test_what_is_revoked_is_on_the_list_of_its_shard(authority: AuthorityStore) -> None:
    entry = Revoked(make_name(1).serial, START, START + DAY, Reason.SUPERSEDED)
    elsewhere = replace(entry, serial=3 << 128)
    assert (await authority.load_shard(ISSUER, 1)).entries == ()
    assert await authority.commit([AddRevocation(ISSUER, entry)])
    assert await authority.commit([AddRevocation(ISSUER, elsewhere)])
    assert await authority.commit([AddRevocation(b"other", replace(entry, serial=1 << 128))])
    assert not await authority.commit([AddRevocation(ISSUER, entry)])
    found = await authority.load_shard(ISSUER, 1)
    assert (found.revision, found.entries) == (1, (entry,))
    assert await authority.find_revocation(ISSUER, entry.serial) == entry
    assert await authority.find_revocation(ISSUER, entry.serial + 1) is None
    assert await authority.find_revocation(b"other", entry.serial) is None
    worse = replace(entry, reason=Reason.KEY_COMPROMISE, invalid_since=START - DAY)
    assert await authority.commit([ChangeRevocation(ISSUER, entry, worse)])
    assert not await authority.commit([ChangeRevocation(ISSUER, entry, worse)])
    found = await authority.load_shard(ISSUER, 1)
    assert (found.revision, found.entries) == (2, (worse,))
    assert (await authority.load_shard(ISSUER, 3)).entries == (elsewhere,)


async def test_a_serial_number_of_nobodys_shard_is_refused_aloud(
    authority: AuthorityStore,
) -> None:
    with pytest.raises(ValueError, match="of no shard"):
        await authority.commit([AddRevocation(ISSUER, Revoked(5, START, START))])
    before, after = Revoked(1 << 128, START, START), Revoked(2 << 128, START, START)
    with pytest.raises(ValueError, match="another serial"):
        await authority.commit([ChangeRevocation(ISSUER, before, after)])


async def test_the_numbers_of_crls_only_grow(authority: AuthorityStore) -> None:
    """RFC 5280 §5.2.3, and two processes do not publish the same one."""
    crl = KeptCrl(ISSUER, 1, PERIOD, 0, b"crl")
    assert await authority.load_crl(ISSUER, 1) is None
    assert not await authority.commit([PutCrl(crl, 99)])
    assert await authority.commit([PutCrl(crl, None)])
    assert not await authority.commit([PutCrl(replace(crl, der=b"other"), None)])
    assert await authority.load_crl(ISSUER, 1) == crl
    same = replace(crl, der=b"of the same number")
    assert not await authority.commit([PutCrl(same, 100)])
    huge = replace(crl, period=replace(PERIOD, number=2**150), der=b"next")
    assert await authority.commit([PutCrl(huge, 100)])
    assert not await authority.commit([PutCrl(huge, 100)])
    assert await authority.load_crl(ISSUER, 1) == huge
    assert await authority.load_crl(ISSUER, 2) is None


async def test_a_shard_tells_what_its_crl_lacks(authority: AuthorityStore) -> None:
    entry = Revoked(make_name(1).serial, START, START + DAY)
    assert await authority.load_shard_states(ISSUER) == ()
    assert await authority.commit([AddRevocation(ISSUER, entry)])
    assert await authority.load_shard_states(ISSUER) == (ShardState(1, 1),)
    assert await authority.commit([PutCrl(KeptCrl(ISSUER, 1, PERIOD, 1, b"crl"), None)])
    empty = KeptCrl(ISSUER, 2, PERIOD, 0, b"of none")
    assert await authority.commit([PutCrl(empty, None)])
    second = replace(entry, serial=entry.serial + 1)
    assert await authority.commit([AddRevocation(ISSUER, second)])
    assert await authority.load_shard_states(ISSUER) == (
        ShardState(1, 2, PERIOD, 1),
        ShardState(2, 0, PERIOD, 0),
    )


async def test_a_blocked_key_stays_blocked(authority: AuthorityStore) -> None:
    blocked = BlockedKey(bytes(32), START, "its holder showed it")
    assert await authority.find_blocked_key(bytes(32)) is None
    assert await authority.commit([BlockKey(blocked)])
    later = replace(blocked, moment=START + timedelta(hours=1), why="again")
    assert await authority.commit([BlockKey(later)])
    assert await authority.find_blocked_key(bytes(32)) == blocked


async def test_what_speaks_against_a_key_is_found_at_once(authority: AuthorityStore) -> None:
    account = make_account("holder")
    assert await authority.commit([AddAccount(account)])
    print_ = account.key.thumbprint
    assert await authority.find_key_use(bytes(32), "") == KeyUse(is_blocked=False, holder_id=None)
    assert await authority.find_key_use(bytes(32), print_) == KeyUse(
        is_blocked=False, holder_id="holder"
    )
    assert await authority.commit([BlockKey(BlockedKey(bytes(32), START, "its holder showed it"))])
    assert await authority.find_key_use(bytes(32), print_) == KeyUse(
        is_blocked=True, holder_id="holder"
    )
    assert await authority.find_key_use(b"\1" * 32, "another's") == KeyUse(
        is_blocked=False, holder_id=None
    )
