"""Which key a DS record names: RFC 4034 §5, RFC 4509 §3; beside dnspython."""

import dns.dnssec
import dns.name
import dns.rdata
import pytest
from dns.dnssectypes import DSDigest
from dns.rdtypes.ANY.DNSKEY import DNSKEY
from hypothesis import given
from hypothesis import strategies as st

from letterlock.network.zone_signing import make_key
from letterlock.protocols.dns.dnssec_records import (
    SHA_1,
    SHA_384,
    DsRecord,
    KeyRecord,
    choose_ds,
    find_keys,
    list_ds,
    make_ds,
)

ZONE_KEY, ENTRY_POINT, REVOKED = 256, 257, 257 | 0x80
KEY = KeyRecord(ENTRY_POINT, 3, 13, bytes(range(64)))
OTHER = KeyRecord(ZONE_KEY, 3, 13, bytes(64))


@pytest.mark.parametrize("digest_type", [DSDigest.SHA1, DSDigest.SHA256, DSDigest.SHA384])
@pytest.mark.parametrize("zone", [".", "example", "sub.example.org"])
def test_a_ds_record_is_made_as_others_make_it(zone: str, digest_type: DSDigest) -> None:
    """RFC 4034 §5.1.4, RFC 4509 §2.1, RFC 6605 §2"""
    theirs = make_key().dnskey
    ours = KeyRecord(int(theirs.flags), theirs.protocol, int(theirs.algorithm), theirs.key)
    assert ours.tag == dns.dnssec.key_id(theirs)
    expected = dns.dnssec.make_ds(
        dns.name.from_text(zone), theirs, digest_type, policy=dns.dnssec.allow_all_policy
    )
    assert str(make_ds(zone, ours, int(digest_type))).lower() == expected.to_text().lower()


@given(st.integers(0, 65535), st.binary(max_size=100))
def test_any_octets_have_the_tag_that_others_give_them(flags: int, key: bytes) -> None:
    record = KeyRecord(flags, 3, 13, key)
    rdata = record.rdata
    theirs = dns.rdata.from_wire("IN", "DNSKEY", rdata, 0, len(rdata), None)
    assert isinstance(theirs, DNSKEY)
    assert record.tag == dns.dnssec.key_id(theirs)


def test_only_a_key_that_a_ds_record_names_is_found() -> None:
    """RFC 4035 §5.2: tag, algorithm and digest, and none that is revoked or no zone's key"""
    ds = make_ds("example", KEY)
    assert find_keys("example", (ds,), (OTHER, KEY)) == (KEY,)
    assert find_keys("example.org", (ds,), (KEY,)) == ()
    wrong_tag = DsRecord(ds.tag ^ 1, ds.algorithm, ds.digest_type, ds.digest)
    wrong_algorithm = DsRecord(ds.tag, 8, ds.digest_type, ds.digest)
    assert find_keys("example", (wrong_tag, wrong_algorithm), (KEY,)) == ()
    for flags, protocol in ((REVOKED, 3), (1, 3), (ENTRY_POINT, 2)):
        bad = KeyRecord(flags, protocol, 13, KEY.key)
        assert find_keys("example", (make_ds("example", bad),), (bad,)) == ()


def test_sha_1_counts_only_where_there_is_nothing_better() -> None:
    """RFC 4509 §3; unknown ones count for nothing (RFC 4035 §5.2)"""
    weak, strong = make_ds("example", KEY, SHA_1), make_ds("example", KEY, SHA_384)
    unknown = (DsRecord(1, 200, 2, b""), DsRecord(1, 13, 99, b""))
    assert choose_ds((weak, *unknown)) == (weak,)
    assert choose_ds((weak, strong, *unknown)) == (strong,)
    assert choose_ds(unknown) == ()


def test_what_to_publish_is_of_the_entry_points() -> None:
    """RFC 4034 §2.1.1; of all where none says that it is one, and never of a revoked key"""
    revoked = KeyRecord(REVOKED, 3, 13, b"key")
    assert list_ds("example", (OTHER, KEY, revoked)) == (make_ds("example", KEY),)
    assert list_ds("example", (OTHER, revoked)) == (make_ds("example", OTHER),)
    assert list_ds("example", (revoked,)) == ()
