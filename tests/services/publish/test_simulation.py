"""What a renewal would do to the TLSA records that are published, before it is done."""

from hashlib import sha256

import pytest

from letterlock.protocols.dns.answers import TlsaRecord
from letterlock.protocols.pki.certificate import read_spki
from letterlock.protocols.pki.throwaway_ca import ThrowawayCa
from letterlock.protocols.policy.dane import judge_dane
from letterlock.services.publish.records import make_tlsa
from letterlock.services.publish.simulation import (
    Fate,
    Renewal,
    find_unmatched_kinds,
    simulate,
)
from tests.network.certificates import NOW
from tests.services.publish.own import HOST

ROOT = ThrowawayCa("Root", NOW)
MIDDLE = ROOT.intermediate("Middle", now=NOW)
LEAF = MIDDLE.issue([HOST], now=NOW)
CHAIN = (*LEAF.chain_der, ROOT.der)
SAME_KEY = (MIDDLE.issue([HOST], now=NOW, key=LEAF.key).chain_der[0], *CHAIN[1:])
NEW_KEY = (MIDDLE.issue([HOST], now=NOW).chain_der[0], *CHAIN[1:])
OTHER_MIDDLE = ROOT.intermediate("Other", now=NOW)
NEW_ISSUER = (*OTHER_MIDDLE.issue([HOST], now=NOW, key=LEAF.key).chain_der, ROOT.der)

KEPT, OPEN, LOST = Fate.KEPT, Fate.OPEN, Fate.LOST


def spki(der: bytes) -> bytes:
    return sha256(read_spki(der) or b"").digest()


def digest(der: bytes) -> bytes:
    return sha256(der).digest()


EE_KEY = TlsaRecord(3, 1, 1, spki(CHAIN[0]))
EE_CERTIFICATE = TlsaRecord(3, 0, 1, digest(CHAIN[0]))
TA_MIDDLE = TlsaRecord(2, 1, 1, spki(CHAIN[1]))
TA_ROOT = TlsaRecord(2, 0, 1, digest(CHAIN[2]))
ELSE = TlsaRecord(3, 1, 1, b"\x09" * 32)
"""Each matches one certificate, or none."""


@pytest.mark.parametrize(
    ("record", "depth", "same_key", "new_key", "new_issuer"),
    [
        (EE_KEY, 0, KEPT, LOST, KEPT),
        (EE_CERTIFICATE, 0, LOST, LOST, LOST),
        (TA_MIDDLE, 1, KEPT, KEPT, LOST),
        (TA_ROOT, 2, KEPT, KEPT, OPEN),
        (ELSE, None, LOST, LOST, LOST),
    ],
    ids=str,
)
def test_each_record_outlives_what_it_can(
    record: TlsaRecord, depth: int | None, same_key: Fate, new_key: Fate, new_issuer: Fate
) -> None:
    """RFC 7671 §5.1, §5.2; rule 140"""
    simulation = simulate(HOST, (record,), CHAIN, (), NOW)
    (fate,) = simulation.records
    assert (fate.match.depth if fate.match else None) == depth
    expected = {
        Renewal.SAME_KEY: same_key,
        Renewal.NEW_KEY: new_key,
        Renewal.NEW_ISSUER: new_issuer,
    }
    assert dict(fate.fates) == dict(simulation.outcomes) == expected


@pytest.mark.parametrize(
    ("renewal", "chain"),
    [
        (Renewal.SAME_KEY, SAME_KEY),
        (Renewal.NEW_KEY, NEW_KEY),
        (Renewal.NEW_ISSUER, NEW_ISSUER),
    ],
)
@pytest.mark.parametrize("record", [EE_KEY, EE_CERTIFICATE, TA_MIDDLE, TA_ROOT, ELSE], ids=str)
def test_what_is_foretold_comes_true(
    record: TlsaRecord, renewal: Renewal, chain: tuple[bytes, ...]
) -> None:
    """The chain that a renewal gives matches the record exactly when the simulation said so."""
    fate = simulate(HOST, (record,), CHAIN, (), NOW).outcomes[renewal]
    judgement = judge_dane(chain, (record,), (HOST,), NOW)
    # This one leads to the same root: what was open turns out well.
    assert judgement.is_authenticated == (fate is not LOST)


def test_next_key_is_foretold_when_it_is_announced() -> None:
    """RFC 7671 §8.1; rule 141"""
    key = spki(NEW_KEY[0])
    simulation = simulate(HOST, (EE_KEY, make_tlsa(key)), CHAIN, (key,), NOW)
    assert simulation.outcomes == {
        Renewal.SAME_KEY: KEPT,
        Renewal.NEXT_KEY: KEPT,
        Renewal.NEW_KEY: LOST,
        Renewal.NEW_ISSUER: KEPT,
    }
    unannounced = simulate(HOST, (EE_KEY,), CHAIN, (key,), NOW)
    assert unannounced.outcomes[Renewal.NEXT_KEY] is LOST


def test_one_record_that_stays_is_enough() -> None:
    simulation = simulate(HOST, (EE_KEY, TA_ROOT), CHAIN, (), NOW)
    assert set(simulation.outcomes.values()) == {KEPT}


def test_records_that_do_not_count_save_nothing() -> None:
    """RFC 7671 §9: beside SHA-512, SHA-256 is not looked at; RFC 7672 §3.1.3"""
    unusable = TlsaRecord(1, 1, 1, EE_KEY.association)
    assert simulate(HOST, (unusable,), CHAIN, (), NOW).records == ()
    stronger = TlsaRecord(3, 1, 2, b"\x09" * 64)
    outcomes = simulate(HOST, (EE_KEY, stronger), CHAIN, (), NOW).outcomes
    assert set(outcomes.values()) == {LOST}


@pytest.mark.parametrize(
    ("records", "kinds"),
    [
        ((EE_KEY,), ()),
        ((EE_KEY, ELSE), ()),
        ((EE_KEY, TA_MIDDLE, TA_ROOT), ()),
        ((EE_KEY, TlsaRecord(2, 1, 1, b"\x09" * 32)), ("2 1 1",)),
        ((EE_KEY, TlsaRecord(3, 1, 2, b"\x09" * 64)), ("3 1 2",)),
        ((ELSE, EE_CERTIFICATE), ("3 1 1",)),
        ((TlsaRecord(0, 1, 1, b"\x09" * 32), EE_KEY), ()),
    ],
)
def test_each_kind_of_record_has_to_match(
    records: tuple[TlsaRecord, ...], kinds: tuple[str, ...]
) -> None:
    """RFC 7671 §8; rule 140"""
    assert find_unmatched_kinds(HOST, records, CHAIN, NOW) == kinds
