"""The audit log: signed heads, as somebody kept them, and documents of records."""

from letterlock.protocols.audit.heads import HeadError, format_head, parse_head, sign_head
from letterlock.protocols.audit.records import (
    START,
    AuditEntry,
    DocumentError,
    append,
    head_of,
    read_decision,
)
from letterlock.protocols.pki.issuance.signing import KeySigner
from tests.audit_entries import NOW, make_log
from tests.fuzz.target import Target
from tests.protocols.pki.issuance.authority import EC_KEY


def check_head(octets: bytes) -> None:
    """A head, or the one error; what was understood is written and read again."""
    try:
        signed = parse_head(octets)
    except HeadError as error:
        assert str(error)
        return
    assert parse_head(format_head(signed)) == signed


def check_document(octets: bytes) -> None:
    """A decision, or the one error; what was understood is chained as it is."""
    try:
        decision = read_decision(octets.decode("utf-8", "replace"))
    except DocumentError as error:
        assert len(str(error)) < 400
        return
    record = append(START, AuditEntry(NOW, decision))
    assert read_decision(record.document) == decision


_LOG = make_log()
_HEAD = format_head(sign_head(head_of(_LOG[-1]), NOW, KeySigner(EC_KEY)))
_WORDS = (b'"kind":', b"null", b"-1", b"1e99", b'"2026-03-01T12:00:00Z"', b"[", b"{", b"\\ud800")

TARGETS = (
    Target("audit-head", check_head, (_HEAD,), (*_WORDS, b"00" * 32, b'"number":'), 2000),
    Target(
        "audit-document",
        check_document,
        tuple(record.document.encode() for record in _LOG),
        _WORDS,
        3000,
    ),
)
