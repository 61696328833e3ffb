"""What the next certificate of a host does to its TLSA records: RFC 7671 §8, RFC 7672 §3.1."""

from collections.abc import Sequence
from datetime import UTC, datetime
from hashlib import sha256
from ipaddress import ip_address

import pytest

from letterlock.base.domains import Domain
from letterlock.protocols.check.facts import (
    AddressFacts,
    AskedSni,
    DomainFacts,
    HostFacts,
    Probe,
    State,
)
from letterlock.protocols.check.findings import Finding, Severity
from letterlock.protocols.check.signatures import Signature
from letterlock.protocols.check.terms import Terms
from letterlock.protocols.dns.answers import Security, TlsaRecord
from letterlock.protocols.pki.anchors import TrustAnchors
from letterlock.protocols.pki.certificate import read_spki
from letterlock.protocols.pki.throwaway_ca import ThrowawayCa
from letterlock.protocols.policy.facts import TlsaFacts, TlsaStatus
from letterlock.protocols.tls.client_hello import KeyType
from letterlock.protocols.tls.handshake import Handshake
from letterlock.services.check.renewal_document import describe_renewals
from letterlock.services.check.renewing import (
    HostRenewals,
    find_renewal_faults,
    list_host_renewals,
)

NOW = datetime(2026, 3, 1, tzinfo=UTC)
HOST, DOMAIN = Domain("mx.example.org"), Domain("example.org")
OWNER = "_25._tcp.mx.example.org"
ROOT = ThrowawayCa("Root", NOW)
MIDDLE = ROOT.intermediate("Middle", now=NOW)
CHAIN = (*MIDDLE.issue([HOST], now=NOW).chain_der, ROOT.der)
OTHER_CHAIN = (*MIDDLE.issue([HOST], now=NOW).chain_der, ROOT.der)
BELOW_ROOT = (*ROOT.issue([HOST], now=NOW).chain_der[:1], ROOT.der)
TERMS = Terms(TrustAnchors.from_pem(ROOT.pem), NOW)


def spki(der: bytes) -> bytes:
    return sha256(read_spki(der) or b"").digest()


KEY = TlsaRecord(3, 1, 1, spki(CHAIN[0]))
OTHER_KEY = TlsaRecord(3, 1, 1, spki(OTHER_CHAIN[0]))
WHOLE = TlsaRecord(3, 0, 1, sha256(CHAIN[0]).digest())
TA_MIDDLE = TlsaRecord(2, 1, 1, spki(CHAIN[1]))
TA_ROOT = TlsaRecord(2, 0, 1, sha256(ROOT.der).digest())
TA_ROOT_FULL = TlsaRecord(2, 0, 0, ROOT.der)
SPARE = TlsaRecord(3, 1, 1, bytes(32))
SPARE_WHOLE = TlsaRecord(3, 0, 1, bytes(32))


def show(*chains: tuple[bytes, ...]) -> tuple[AddressFacts, ...]:
    kinds = (None, KeyType.RSA, KeyType.ECDSA)
    probes = [
        Probe(AskedSni.OWN, State.OK, HOST, key=kind, handshake=_shake(chain))
        for chain, kind in zip(chains, kinds, strict=False)
    ]
    return (AddressFacts(ip_address("192.0.2.1"), Security.SECURE, State.OK, tuple(probes)),)


def _shake(chain: tuple[bytes, ...]) -> Handshake:
    return Handshake("TLSv1.3", "AES", 256, None, HOST, chain)


def run(
    tlsa: TlsaFacts | Sequence[TlsaRecord] | None,
    *chains: tuple[bytes, ...],
    port: int = 25,
    signatures: Sequence[Signature] = (),
    name: Domain | None = HOST,
) -> tuple[HostRenewals, ...]:
    if isinstance(tlsa, Sequence):
        tlsa = TlsaFacts(TlsaStatus.USABLE, HOST, tuple(tlsa))
    host = HostFacts(name, 10, show(*(chains or (CHAIN,))), tlsa)
    domain = DomainFacts(DOMAIN, (host,), Security.SECURE)
    return list_host_renewals(domain, port, signatures, TERMS)


def cases(*records: TlsaRecord, shown: Sequence[tuple[bytes, ...]] = (CHAIN,)) -> str:
    (host,) = run(records, *shown)
    return " ".join(f"{each.renewal}={each.outcome}" for each in host.cases)


def fault(*records: TlsaRecord, shown: Sequence[tuple[bytes, ...]] = (CHAIN,)) -> Finding | None:
    found = list(find_renewal_faults(run(records, *shown)))
    assert len(found) <= 1
    return found[0] if found else None


@pytest.mark.parametrize(
    ("records", "expected", "severity", "words"),
    [
        (
            (KEY,),
            "same-key=kept new-key=lost new-issuer=kept",
            Severity.NOTICE,
            "with a new key none",
        ),
        (
            (WHOLE,),
            "same-key=lost new-key=lost new-issuer=lost",
            Severity.WARNING,
            "also one with the same key",
        ),
        (
            (TA_MIDDLE,),
            "same-key=kept new-key=kept new-issuer=lost",
            Severity.NOTICE,
            "another intermediate",
        ),
        ((TA_ROOT,), "same-key=kept new-key=kept new-issuer=open", None, ""),
        ((KEY, TA_MIDDLE), "same-key=kept new-key=kept new-issuer=kept", None, ""),
        (
            (WHOLE, KEY),
            "same-key=kept new-key=lost new-issuer=kept",
            Severity.NOTICE,
            "with a new key none",
        ),
        (
            (WHOLE, TA_MIDDLE),
            "same-key=kept new-key=kept new-issuer=lost",
            Severity.NOTICE,
            "another intermediate",
        ),
        (
            (KEY, SPARE),
            "same-key=kept next-key=kept new-key=lost new-issuer=kept",
            None,
            "",
        ),
        # What stands for the next certificate may be of any kind.
        ((WHOLE, SPARE_WHOLE), "same-key=lost new-key=lost new-issuer=lost", None, ""),
    ],
)
def test_selector_and_usage_decide_what_a_renewal_keeps(
    records: tuple[TlsaRecord, ...], expected: str, severity: Severity | None, words: str
) -> None:
    """RFC 7671 §5.1, §8: only the key outlives a renewal, and what stands above it a new key."""
    assert cases(*records) == expected
    found = fault(*records)
    assert (found.severity if found else None) == severity
    assert found is None or (found.id, found.where) == ("tlsa-breaks-at-renewal", HOST)
    assert words in (found.evidence if found else "")


def test_a_root_that_signs_itself_may_stand_above_another_intermediate() -> None:
    """Nothing is told of private authorities without intermediates, sent or in the record."""
    for record in (TA_ROOT, TA_ROOT_FULL):
        assert cases(record, shown=[BELOW_ROOT]).endswith("new-issuer=open")
        assert fault(record, shown=[BELOW_ROOT]) is None
    assert cases(TA_ROOT_FULL, shown=[BELOW_ROOT[:1]]).endswith("new-issuer=open")


def test_the_worst_of_the_certificates_that_a_host_shows_decides() -> None:
    """RFC 7671 §8: an RSA and an ECDSA certificate are renewed each by itself."""
    both = [CHAIN, OTHER_CHAIN]
    assert cases(KEY, OTHER_KEY, shown=both).startswith("same-key=kept new-key=lost")
    assert cases(WHOLE, OTHER_KEY, shown=both).startswith("same-key=lost")
    found = fault(WHOLE, OTHER_KEY, shown=both)
    assert found is not None
    assert str(KEY) in found.fix
    assert str(OTHER_KEY) not in found.fix


def test_where_nothing_matches_now_that_is_told_and_no_more() -> None:
    assert fault(KEY, shown=[CHAIN, OTHER_CHAIN]) is None
    assert fault(OTHER_KEY) is None


def test_what_to_publish_before_is_said_as_a_line_and_with_the_time_to_wait() -> None:
    """RFC 7671 §8.1: two TTLs; RFC 4034 §3.1.4: a signature has the TTL that the zone has."""
    signature = Signature(OWNER, "TLSA", DOMAIN, NOW, NOW, 3600)
    unrelated = Signature(HOST, "A", DOMAIN, NOW, NOW, 5)
    tlsa = TlsaFacts(TlsaStatus.USABLE, HOST, (WHOLE,), ttl=17)
    hosts = run(tlsa, signatures=[unrelated, signature])
    (found,) = find_renewal_faults(hosts)
    assert found.fix.startswith(
        f"publish `{OWNER}. IN TLSA {KEY}` beside, wait 7200 seconds (twice the TTL); then take "
    )
    assert found.fix.endswith("and renew with the same key")
    (cached,) = run(tlsa, signatures=[unrelated])
    assert (cached.ttl, cached.wait) == (17, 34)
    (found,) = find_renewal_faults(run([KEY]))
    assert found.fix == (
        f"renew with the same key; before a new one: publish `{OWNER}. IN TLSA 3 1 1 "
        "SHA-256-OF-THE-NEXT-KEY` beside, wait twice the TTL of the records"
    )


def test_records_of_other_ports_and_behind_aliases_are_told_where_they_are() -> None:
    (imap,) = run([KEY], port=993)
    assert imap.owner == "_993._tcp.mx.example.org"
    alias = Domain("_dane.example.net")
    (aliased,) = run(TlsaFacts(TlsaStatus.USABLE, HOST, (KEY,), owner=alias))
    assert aliased.owner == alias
    (found,) = find_renewal_faults([aliased])
    assert found.where == alias


@pytest.mark.parametrize("status", [TlsaStatus.NONE, TlsaStatus.UNUSABLE])
def test_where_there_are_no_records_those_to_publish_are_given(status: TlsaStatus) -> None:
    (host,) = run(TlsaFacts(status))
    assert describe_renewals(HOST, [host]) == {
        "renewal": [],
        "tlsa_to_publish": [f"{OWNER}. IN TLSA {KEY}"],
        "tlsa_missing": [f"{OWNER}. IN TLSA {KEY}"],
        "tlsa_ttl": None,
        "tlsa_wait": None,
    }
    assert list(find_renewal_faults([host])) == []


def test_where_nothing_is_signed_or_known_nothing_is_said() -> None:
    """RFC 7672 §2.2.1: records in a zone that is not signed are nobody's."""
    for status in (TlsaStatus.INSECURE, TlsaStatus.FAILED):
        assert run(TlsaFacts(status)) == ()
    assert run(None) == ()
    assert run([KEY], name=None) == ()
    assert run([KEY], (b"no certificate",)) == ()
    assert run([KEY], ()) == ()
    assert describe_renewals(HOST, [])["renewal"] == []


def test_the_document_says_of_each_renewal_what_matches() -> None:
    described = describe_renewals(HOST, run([KEY, TA_ROOT]))
    assert described["renewal"] == [
        {"case": "same-key", "outcome": "kept", "matches": [str(KEY), str(TA_ROOT)], "open": []},
        {"case": "new-key", "outcome": "kept", "matches": [str(TA_ROOT)], "open": []},
        {"case": "new-issuer", "outcome": "kept", "matches": [str(KEY)], "open": [str(TA_ROOT)]},
    ]
    assert described["tlsa_missing"] == []
