"""What becomes of published TLSA records when a certificate is renewed, tried before it is done.

RFC 7671 §8 (each kind of record matches the chain in use), §9 (which digests count), RFC 7672
§3.1, §3.1.2. Matching is `protocols.policy.dane`'s, as in deliveries. That nothing comes into use
that no record matches is `services.certify`'s to see to.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from letterlock.base.domains import Domain
from letterlock.protocols.dns.answers import TlsaRecord
from letterlock.protocols.pki.certificate import CertificateFacts, read_certificate
from letterlock.protocols.policy.dane import (
    DANE_EE,
    SPKI,
    TlsaMatch,
    find_usable,
    judge_dane,
    select_strongest,
)
from letterlock.services.publish.records import make_tlsa

Chain = tuple[bytes, ...]
"""DER, leaf first."""


class Renewal(StrEnum):
    """What a certificate may be replaced by."""

    SAME_KEY = "same-key"
    """One for the same key, from the same issuer."""
    NEXT_KEY = "next-key"
    """One for the next key of a roll-over."""
    NEW_KEY = "new-key"
    """One for a key that nobody has announced."""
    NEW_ISSUER = "new-issuer"
    """One for the same key, from another intermediate authority."""


class Fate(StrEnum):
    """Whether something still matches."""

    KEPT = "kept"
    OPEN = "open"
    """It does if the new chain leads to the same anchor; nobody knows that before."""
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class RecordFate:
    """One record, and what becomes of it. `match` None: it does not match the chain in use."""

    record: TlsaRecord
    match: TlsaMatch | None
    fates: Mapping[Renewal, Fate]


@dataclass(frozen=True, slots=True)
class Simulation:
    """What becomes of the records of a host, for one of the chains that it shows.

    `outcomes`: whether senders that hold to DANE still deliver. NEXT_KEY is there only when a next
    key is known.
    """

    host: Domain
    records: tuple[RecordFate, ...]
    outcomes: Mapping[Renewal, Fate]


def simulate(
    host: Domain,
    records: Sequence[TlsaRecord],
    chain: Chain,
    next_keys: Sequence[bytes],
    now: datetime,
    others: Sequence[str] = (),
) -> Simulation:
    """Try each renewal. `next_keys` are SHA-256 of SubjectPublicKeyInfos, as in `OwnHost`.

    `others` are names that serve as well as the host's, with DANE-TA (RFC 7672 §3.2.2).
    """
    usable = find_usable(records)
    announced = {make_tlsa(key) for key in next_keys}
    renewals = [each for each in Renewal if next_keys or each is not Renewal.NEXT_KEY]
    fates = []
    for record in usable:
        match = find_match(record, host, chain, now, others)
        is_root = match is not None and _is_root(match, chain)
        decided = {
            each: _decide(record, match, each, is_announced=record in announced, is_root=is_root)
            for each in renewals
        }
        fates.append(RecordFate(record, match, decided))
    counting = set(select_strongest(usable))
    outcomes = {
        each: _best(fate.fates[each] for fate in fates if fate.record in counting)
        for each in renewals
    }
    return Simulation(host, tuple(fates), outcomes)


def find_match(
    record: TlsaRecord, host: Domain, chain: Chain, now: datetime, others: Sequence[str] = ()
) -> TlsaMatch | None:
    """Find what of a chain a record by itself authenticates; None: nothing."""
    judgement = judge_dane(chain, (record,), (host, *others), now)
    return judgement.match if judgement.is_authenticated else None


def find_unmatched_kinds(
    host: Domain, records: Sequence[TlsaRecord], chain: Chain, now: datetime
) -> tuple[str, ...]:
    """List the kinds of records (`3 1 1`) none of which matches a chain: RFC 7671 §8.

    Records that can't be used don't count.
    """
    matched: dict[str, bool] = {}
    for record in find_usable(records):
        kind = f"{record.usage} {record.selector} {record.matching_type}"
        found = matched.get(kind, False) or find_match(record, host, chain, now) is not None
        matched[kind] = found
    return tuple(kind for kind, has_match in matched.items() if not has_match)


def _is_root(match: TlsaMatch, chain: Chain) -> bool:
    """Say if what matches is a root, sent or in the record itself: another could be below it."""
    der = chain[match.depth] if match.depth < len(chain) else match.record.association
    anchor = read_certificate(der)
    return isinstance(anchor, CertificateFacts) and anchor.is_self_issued


def _decide(
    record: TlsaRecord,
    match: TlsaMatch | None,
    renewal: Renewal,
    *,
    is_announced: bool,
    is_root: bool,
) -> Fate:
    if renewal is Renewal.NEXT_KEY and is_announced:
        return Fate.KEPT
    if match is None:
        return Fate.LOST
    if record.usage == DANE_EE:
        has_same_key = renewal in (Renewal.SAME_KEY, Renewal.NEW_ISSUER)
        return Fate.KEPT if record.selector == SPKI and has_same_key else Fate.LOST
    if renewal is not Renewal.NEW_ISSUER:
        return Fate.KEPT
    # The certificate above the leaf is the intermediate that changes, if there is one.
    return Fate.OPEN if match.depth > 1 or is_root else Fate.LOST


def _best(fates: Iterable[Fate]) -> Fate:
    order = list(Fate)
    return min(fates, key=order.index, default=Fate.LOST)
