"""Every certificate that we ever got: one suite on both engines."""

from dataclasses import replace
from datetime import timedelta
from hashlib import sha256

from letterlock.protocols.tls.client_hello import KeyType
from letterlock.storage.certificates import CertificateId
from letterlock.storage.issued import KEPT_AFTER_END, IssuedCertificate
from tests.fakes import START
from tests.storage.node_stores import DAY, DIRECTORY, MINUTE, NAME, NodeStores

MICROSECOND = timedelta(microseconds=1)
RSA = CertificateId(NAME.name, KeyType.RSA)


def certificate(
    leaf: bytes, which: CertificateId = NAME, serial: str = "3af1", day: int = 0
) -> IssuedCertificate:
    issued = START + day * DAY
    return IssuedCertificate(serial, which, DIRECTORY, issued, issued + 90 * DAY, leaf)


async def test_what_was_issued_is_given_again(node: NodeStores) -> None:
    assert await node.issued.list_issued() == []
    one, two = certificate(b"one"), certificate(b"two", RSA, "5")
    await node.issued.add_issued(one)
    await node.issued.add_issued(two)
    await node.issued.add_issued(replace(one, issued=START + DAY))
    assert await node.issued.find_issued("3af1") == [one]
    assert await node.issued.find_issued("5") == [two]
    assert await node.issued.find_issued("3AF1") == []
    assert one.fingerprint == sha256(b"one").hexdigest()


async def test_two_authorities_may_use_one_serial_number(node: NodeStores) -> None:
    """RFC 5280 §4.1.2.2: it is unique for one issuer only."""
    both = [certificate(b"one"), replace(certificate(b"two"), directory="https://two.example")]
    for each in both:
        await node.issued.add_issued(each)
    found = await node.issued.find_issued("3af1")
    assert sorted(found, key=lambda each: each.leaf) == both


async def test_the_newest_of_a_name_comes_first(node: NodeStores) -> None:
    for number, day in enumerate([1, 3, 2]):
        await node.issued.add_issued(certificate(b"%d" % number, day=day))
    await node.issued.add_issued(certificate(b"other", RSA, day=4))
    found = await node.issued.list_issued_for(NAME)
    assert [each.leaf for each in found] == [b"1", b"2", b"0"]


async def test_all_are_listed_page_by_page(node: NodeStores) -> None:
    for number in range(10):
        await node.issued.add_issued(certificate(b"%d" % number))
    listed: list[IssuedCertificate] = []
    while page := await node.issued.list_issued(
        limit=4, after=listed[-1].fingerprint if listed else None
    ):
        listed += page
    assert [each.fingerprint for each in listed] == sorted(each.fingerprint for each in listed)
    assert {each.leaf for each in listed} == {b"%d" % number for number in range(10)}


async def test_a_revocation_is_noted_once(node: NodeStores) -> None:
    one = certificate(b"one")
    await node.issued.add_issued(one)
    assert await node.issued.note_revoked(one.fingerprint, START + MINUTE)
    assert await node.issued.note_revoked(one.fingerprint, START + DAY)
    assert not await node.issued.note_revoked("00", START)
    assert await node.issued.list_issued() == [replace(one, revoked=START + MINUTE)]


async def test_what_ended_long_ago_is_removed(node: NodeStores) -> None:
    one, two = certificate(b"one"), certificate(b"two", day=1)
    await node.issued.add_issued(one)
    await node.issued.add_issued(two)
    assert await node.issued.prune_issued(one.not_after) == 0
    assert await node.issued.prune_issued(one.not_after + MICROSECOND) == 1
    assert await node.issued.list_issued() == [two]
    assert timedelta(days=90) == KEPT_AFTER_END
