"""Links of chains of trust, made by hand."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from letterlock.protocols.check.name_status import DnssecStatus
from letterlock.protocols.check.trust_chain import ZoneState
from letterlock.protocols.dns.chain_links import Denial, Link, Outcome, Proof, SignatureSeen
from letterlock.protocols.dns.denial import Nsec, TypeBitmap, make_labels
from letterlock.protocols.dns.dnssec_records import KeyRecord, make_ds

NOW = datetime(2026, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)
ZONE = "example.org"
KEY = KeyRecord(257, 3, 13, b"a key of example.org")
OTHER = KeyRecord(256, 3, 13, b"another one")
SIGNATURE = SignatureSeen(ZONE, KEY.tag, 13, 2, NOW - DAY, NOW + DAY, Proof.GOOD)
EXPIRED = replace(SIGNATURE, ends=NOW - DAY / 2)
EARLY = replace(SIGNATURE, begins=NOW + DAY / 2)
WRONG = replace(SIGNATURE, proof=Proof.WRONG)
KEYLESS = replace(SIGNATURE, proof=Proof.NO_KEY, tag=7)
UNKNOWN = replace(SIGNATURE, proof=Proof.UNSUPPORTED, algorithm=200)
PARENT = ZoneState("org", DnssecStatus.SECURE, ".", keys=(OTHER,))
TRUSTED = ZoneState(ZONE, DnssecStatus.SECURE, "org", keys=(KEY,))


def link(
    rdtype: str,
    *signatures: SignatureSeen,
    outcome: Outcome = Outcome.RECORDS,
    name: str = ZONE,
    denials: tuple[Denial, ...] = (),
) -> Link:
    return Link(name, rdtype, outcome, signatures, denials=denials)


def keys_link(*signatures: SignatureSeen, keys: tuple[KeyRecord, ...] = (KEY,)) -> Link:
    return replace(link("DNSKEY", *signatures), keys=keys)


def ds_link(*keys: KeyRecord) -> Link:
    found = link("DS", replace(SIGNATURE, zone="org"))
    return replace(found, ds=tuple(make_ds(ZONE, each) for each in keys))


def failed(rdtype: str, reason: str = "SERVFAIL") -> Link:
    return Link(ZONE, rdtype, Outcome.FAILED, reason=reason)


def denies(
    owner: str, after: str, *types: int, signature: SignatureSeen = SIGNATURE
) -> tuple[Denial, ...]:
    """Give an NSEC record with a signature; `types` are below 64."""
    bits = sum(1 << (63 - rdtype) for rdtype in types).to_bytes(8)
    record = Nsec(make_labels(owner), make_labels(after), TypeBitmap(((0, bits),)))
    return (Denial(record, (signature,)),)
