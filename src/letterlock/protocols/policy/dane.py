"""TLSA records: which can be used, and whether a server's certificates match one.

RFC 6698 §2.1, §4.1; RFC 7671 §5.1, §5.2, §9; RFC 7672 §3.1, §3.2. Ours: no Python library has this
part of OpenSSL; paths are validated by OpenSSL all the same, in `protocols.pki.chain`. Usages 0 and
1 can't be used (RFC 7672 §3.1.3). Finding the records is in `services.discover`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from hashlib import sha256, sha512
from itertools import islice

from letterlock.protocols.dns.answers import TlsaRecord
from letterlock.protocols.pki.anchors import AnchorsError, TrustAnchors
from letterlock.protocols.pki.certificate import CertificateFacts, is_spki, read_spki
from letterlock.protocols.pki.chain import (
    MAX_CHAIN_CERTIFICATES,
    ChainJudgement,
    compare_names,
    judge_chain,
    rank_findings,
)
from letterlock.protocols.pki.key_anchor import make_key_anchor
from letterlock.protocols.pki.names import CertificateNames, Match
from letterlock.protocols.tlsrpt.findings import Finding, PolicyType
from letterlock.protocols.tlsrpt.result_types import ResultType

DANE_TA = 2
DANE_EE = 3
CERT = 0
SPKI = 1
FULL = 0
NO_MATCH = "dane-no-match"

MAX_ANCHORS = 2 * MAX_CHAIN_CERTIFICATES
"""Anchors that are tried for one chain: its own certificates, and as many from records."""

# By matching type (RFC 6698 §7.4), the stronger last.
_DIGESTS = {1: sha256, 2: sha512}
_DIGEST_OCTETS = {1: 32, 2: 64}
_MAX_RECORDS_SHOWN = 3

_Content = tuple[int, int, bytes]
"""Selector, matching type, association data."""


@dataclass(frozen=True, slots=True)
class TlsaMatch:
    """The record that was met, and by which certificate: 0 is the leaf.

    For a bare key that no certificate holds, `depth` is that of the certificate it signed.
    """

    record: TlsaRecord
    depth: int


@dataclass(frozen=True, slots=True)
class DaneJudgement:
    """What came of a chain. The server is authenticated exactly when there are no findings.

    `match` can be set beside findings: the anchor was there, and the path or the names are wrong.
    `name` is None with DANE-EE, which knows no names. `is_chain_trusted`: whatever the names are.
    """

    findings: tuple[Finding, ...]
    match: TlsaMatch | None = None
    name: Match | None = None
    is_chain_trusted: bool = False

    @property
    def is_authenticated(self) -> bool:
        return not self.findings


@dataclass(frozen=True, slots=True)
class _Candidate:
    """An anchor that a record points at; `depth` is its place in what was sent, None if unsent."""

    record: TlsaRecord
    anchors: TrustAnchors
    depth: int | None
    is_bare_key: bool = False


def explain_unusable(record: TlsaRecord) -> str | None:
    """Say why a record can't be used (RFC 6698 §4.1); None when it can."""
    if record.usage not in (DANE_TA, DANE_EE):
        known = {0: "PKIX-TA(0) is not used for SMTP", 1: "PKIX-EE(1) is not used for SMTP"}
        return known.get(record.usage, f"usage {record.usage} is unknown")
    if record.selector not in (CERT, SPKI):
        return f"selector {record.selector} is unknown"
    if record.matching_type == FULL:
        return _explain_wrong_content(record)
    octets = _DIGEST_OCTETS.get(record.matching_type)
    if octets is None:
        return f"matching type {record.matching_type} is unknown"
    if len(record.association) != octets:
        return f"a digest of this type has {octets} octets, not {len(record.association)}"
    return None


def find_usable(records: Sequence[TlsaRecord]) -> tuple[TlsaRecord, ...]:
    """Give the records that can be used, in their order, each once."""
    unique = dict.fromkeys(records)
    return tuple(record for record in unique if explain_unusable(record) is None)


def select_strongest(usable: Sequence[TlsaRecord]) -> tuple[TlsaRecord, ...]:
    """Leave out digests where a stronger one stands beside them: RFC 7671 §9.

    For each usage and selector by itself; records without a digest stay.
    """
    strongest: dict[tuple[int, int], int] = {}
    for record in usable:
        kind = (record.usage, record.selector)
        strongest[kind] = max(strongest.get(kind, FULL), record.matching_type)
    return tuple(
        record
        for record in usable
        if record.matching_type in (FULL, strongest[record.usage, record.selector])
    )


def judge_dane(
    chain_der: Sequence[bytes],
    records: Sequence[TlsaRecord],
    names: Sequence[str],
    now: datetime,
) -> DaneJudgement:
    """Judge a server's chain, as sent and leaf first, by the TLSA records of its host.

    `names` are the reference identifiers of RFC 7672 §3.2.2, for DANE-TA. Records that can't be
    used are left out; with none left nothing matches.
    """
    sent = tuple(chain_der[:MAX_CHAIN_CERTIFICATES])
    if not sent:
        return DaneJudgement((_finding("no-certificate", "the server sent no certificate"),))
    selected = select_strongest(find_usable(records))
    record = _find_record(_index(selected, DANE_EE), sent[0])
    if record is not None:
        # RFC 7672 §3.1.1, §3.2.1: no names, no dates, no issuers.
        return DaneJudgement((), TlsaMatch(record, 0), is_chain_trusted=True)
    return _judge_anchors(sent, selected, names, now) or _no_match(sent[0], selected)


def _judge_anchors(
    sent: tuple[bytes, ...],
    records: Sequence[TlsaRecord],
    names: Sequence[str],
    now: datetime,
) -> DaneJudgement | None:
    """Validate by DANE-TA; None when no anchor is found.

    Of several anchors without a good path, the faults of the path that reaches one are told.
    """
    failed: list[tuple[_Candidate, ChainJudgement]] = []
    for candidate in islice(_find_anchors(sent, records), MAX_ANCHORS):
        judgement = judge_chain(sent, candidate.anchors, now)
        if judgement.is_trusted:
            return _conclude(candidate, judgement, names)
        if judgement.is_anchored or candidate.depth is not None:
            failed.append((candidate, judgement))
    failed.sort(key=lambda pair: not pair[1].is_anchored)
    return _conclude(*failed[0], names) if failed else None


def _conclude(
    candidate: _Candidate, judgement: ChainJudgement, names: Sequence[str]
) -> DaneJudgement:
    depth = candidate.depth or 0
    if judgement.is_anchored:
        depth = len(judgement.path) - (2 if candidate.is_bare_key else 1)
    name, mismatch = _compare_names(judgement.leaf, names)
    findings = rank_findings((*judgement.findings, *mismatch))
    return DaneJudgement(
        tuple(replace(finding, policy_type=PolicyType.TLSA) for finding in findings),
        TlsaMatch(candidate.record, depth),
        name,
        judgement.is_trusted,
    )


def _compare_names(
    leaf: CertificateFacts | None, references: Sequence[str]
) -> tuple[Match | None, tuple[Finding, ...]]:
    """RFC 7672 §3.2.3: the common names only where there is no DNS-ID."""
    if leaf is None:
        return None, ()
    names = leaf.names if leaf.names.dns else CertificateNames(leaf.common_names)
    return compare_names(names, references)


def _find_anchors(sent: tuple[bytes, ...], records: Sequence[TlsaRecord]) -> Iterator[_Candidate]:
    """Give the anchors that DANE-TA records point at: those sent first, the nearest to the leaf.

    RFC 7671 §5.2.2, §5.2.3: a record may hold the anchor's certificate, or its key, itself. The
    leaf is no anchor, as in OpenSSL.
    """
    index = _index(records, DANE_TA)
    for depth, der in enumerate(sent):
        record = _find_record(index, der)
        if record is None or der in sent[:1]:
            continue
        anchors = _load_anchor(der)
        if anchors is not None:
            yield _Candidate(record, anchors, depth)
    held = {*sent, *map(read_spki, sent)}
    for record in index.values():
        if record.matching_type != FULL or record.association in held:
            continue
        if record.selector == CERT:
            # A record that can be used holds what OpenSSL can read.
            yield _Candidate(record, TrustAnchors.from_der(record.association), None)
        else:
            for der in reversed(sent):
                anchors = make_key_anchor(record.association, der)
                if anchors is not None:
                    yield _Candidate(record, anchors, None, is_bare_key=True)


def _index(records: Sequence[TlsaRecord], usage: int) -> dict[_Content, TlsaRecord]:
    """Put the records of a usage under what they match: there can be thousands."""
    return {
        (record.selector, record.matching_type, record.association): record
        for record in records
        if record.usage == usage
    }


def _find_record(index: dict[_Content, TlsaRecord], certificate: bytes) -> TlsaRecord | None:
    """Find a record that a certificate meets."""
    for selector, matching_type in dict.fromkeys(content[:2] for content in index):
        selected = certificate if selector == CERT else read_spki(certificate)
        if selected is None:
            continue
        digest = _DIGESTS.get(matching_type)
        association = selected if digest is None else digest(selected).digest()
        if record := index.get((selector, matching_type, association)):
            return record
    return None


def _load_anchor(der: bytes) -> TrustAnchors | None:
    try:
        return TrustAnchors.from_der(der)
    except AnchorsError:
        return None


def _explain_wrong_content(record: TlsaRecord) -> str | None:
    if record.selector == SPKI:
        return None if is_spki(record.association) else "it holds no public key"
    is_certificate = read_spki(record.association) is not None
    if record.usage == DANE_TA:
        is_certificate = is_certificate and _load_anchor(record.association) is not None
    return None if is_certificate else "it holds no certificate"


def _no_match(leaf: bytes, records: Sequence[TlsaRecord]) -> DaneJudgement:
    published = [f"{shown[:80]}" for shown in map(str, records[:_MAX_RECORDS_SHOWN])]
    more = len(records) - len(published)
    held = ", ".join(published) + (f" and {more} more" if more > 0 else "")
    spki = read_spki(leaf)
    own = f"; the certificate's is 3 1 1 {sha256(spki).hexdigest()}" if spki is not None else ""
    text = f"no TLSA record matches: published {held or 'none that can be used'}{own}"
    return DaneJudgement((_finding(NO_MATCH, text),))


def _finding(reason_code: str, text: str) -> Finding:
    # RFC 8460 §4.3.2.1: tlsa-invalid is for the records themselves.
    result_type = (
        ResultType.CERTIFICATE_NOT_TRUSTED
        if reason_code == "no-certificate"
        else ResultType.VALIDATION_FAILURE
    )
    return Finding(result_type, reason_code, text, policy_type=PolicyType.TLSA)
