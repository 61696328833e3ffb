"""RFC 7671 §8, RFC 7672 §3.1: what published TLSA records allow to come into use."""

from datetime import timedelta
from hashlib import sha256

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from letterlock.protocols.dns.answers import TlsaRecord
from letterlock.protocols.pki.certificate import read_spki
from letterlock.protocols.pki.throwaway_ca import ThrowawayCa
from letterlock.services.certify.keys import digest_key
from letterlock.services.certify.rollover import PublishedTlsa
from letterlock.services.certify.tlsa_guard import could_match, find_mismatch
from letterlock.services.publish.records import make_tlsa
from tests.fakes import START

NAME = "mx1.example.org"
BASE = f"_25._tcp.{NAME}"
CA = ThrowawayCa("Root", START)
ISSUED = CA.issue((NAME,), now=START)
OURS = sha256(read_spki(ISSUED.der) or b"").digest()
OTHER = digest_key(ec.generate_private_key(ec.SECP256R1()))
UNUSABLE = TlsaRecord(1, 1, 1, OURS)


def published(*everywhere: TlsaRecord, somewhere: tuple[TlsaRecord, ...] = ()) -> PublishedTlsa:
    records = frozenset(everywhere)
    return PublishedTlsa(BASE, records, records | frozenset(somewhere), timedelta(hours=1))


@pytest.mark.parametrize(
    ("seen", "is_free"),
    [
        (published(), True),
        (published(make_tlsa(OURS)), True),
        (published(make_tlsa(OTHER), make_tlsa(OURS)), True),
        (published(make_tlsa(OTHER)), False),
        (published(make_tlsa(OURS), somewhere=(make_tlsa(OTHER),)), True),
        (published(somewhere=(make_tlsa(OURS),)), False),
        (published(make_tlsa(OTHER), somewhere=(make_tlsa(OURS),)), False),
        (published(UNUSABLE), True),
        (published(UNUSABLE, make_tlsa(OTHER)), False),
    ],
)
def test_a_chain_comes_into_use_only_where_each_server_has_a_record_for_it(
    seen: PublishedTlsa, is_free: bool
) -> None:
    assert (find_mismatch(seen, NAME, ISSUED.chain_der, START) is None) == is_free


def test_what_is_not_known_is_no_leave() -> None:
    unknown = PublishedTlsa(BASE, fault="ns1.example.org: timed out")
    fault = find_mismatch(unknown, NAME, ISSUED.chain_der, START)
    assert fault == "not known whether its TLSA records match: ns1.example.org: timed out"


def test_the_reason_shows_the_records_but_not_all_of_many() -> None:
    many = [make_tlsa(bytes([number]) * 32) for number in range(9)]
    fault = find_mismatch(published(*many), NAME, ISSUED.chain_der, START)
    assert fault is not None
    assert fault.startswith(f"no TLSA record at {BASE} matches it: there is 3 1 1 00000000")
    assert fault.endswith(" and 6 more")


@pytest.mark.parametrize(
    ("record", "is_open"),
    [
        (make_tlsa(OURS), True),
        (make_tlsa(OTHER), False),
        (TlsaRecord(3, 0, 1, bytes(32)), True),
        (TlsaRecord(3, 1, 2, bytes(64)), True),
        (TlsaRecord(2, 1, 1, OTHER), True),
        (UNUSABLE, True),
    ],
)
def test_an_order_is_spared_only_where_no_certificate_could_match(
    record: TlsaRecord, is_open: bool
) -> None:
    assert could_match(published(record), OURS) == is_open
