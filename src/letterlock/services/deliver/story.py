"""What `queue show` tells of an attempt: what was required, what TLS gave, what was said.

JSON-ready mappings in the shapes that several commands share (docs/reference/commands.md). No
message content is in them.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from msgspec import Struct

from letterlock.protocols.dns.answers import TlsaRecord
from letterlock.protocols.pki.certificate import (
    CertificateFacts,
    describe_certificate,
    read_certificate,
)
from letterlock.protocols.policy.dane import TlsaMatch
from letterlock.protocols.policy.requirement import Requirement
from letterlock.protocols.policy.verdict import Verdict
from letterlock.protocols.tls.handshake import Handshake, HandshakeFailed

MAX_CHAIN = 10
MAX_RECORDS = 20
MAX_RECORD_CHARACTERS = 150


class Story(Struct, frozen=True):
    """One attempt at one address."""

    requirement: Requirement | None = None
    handshake: Handshake | HandshakeFailed | None = None
    verdict: Verdict | None = None
    dialogue: tuple[str, ...] = ()
    outcome: str = ""
    is_reused: bool = False

    def describe(self) -> Mapping[str, Any]:
        """Give the story as JSON-ready values."""
        return {
            "requirement": describe_requirement(self.requirement),
            "handshake": describe_handshake(self.handshake, self.verdict),
            "verdict": describe_verdict(self.verdict),
            "dialogue": list(self.dialogue),
            "outcome": self.outcome,
            "is_reused": self.is_reused,
        }


def describe_handshake(
    handshake: Handshake | HandshakeFailed | None, verdict: Verdict | None
) -> dict[str, Any] | None:
    """Give a handshake in the shape of `handshake`; one that failed has nulls where it got not."""
    if handshake is None:
        return None
    whole = handshake if isinstance(handshake, Handshake) else None
    findings = verdict.findings if verdict is not None else ()
    return {
        "version": whole and whole.version,
        "cipher": whole and whole.cipher,
        "group": whole and whole.group,
        "sni": handshake.sni,
        "chain": [_describe_der(der) for der in handshake.chain[:MAX_CHAIN]],
        "errors": [
            {"code": item.reason_code, "depth": item.depth, "text": item.text} for item in findings
        ],
        "alert": handshake.alert if isinstance(handshake, HandshakeFailed) else None,
    }


def describe_chain(chain: tuple[bytes, ...]) -> list[str]:
    """Give a peer's chain in words, a line for each certificate, as the verbose log shows it."""
    lines = []
    for depth, der in enumerate(chain[:MAX_CHAIN]):
        facts = read_certificate(der)
        if isinstance(facts, CertificateFacts):
            names = ", ".join(facts.names.texts) or "none"
            lines.append(
                f"depth={depth} subject={facts.subject} issuer={facts.issuer} names={names} "
                f"not_before={facts.not_before:%Y-%m-%dT%H:%M:%SZ} "
                f"not_after={facts.not_after:%Y-%m-%dT%H:%M:%SZ} key={facts.key} "
                f"serial={facts.serial}"
            )
        else:
            lines.append(f"depth={depth} unreadable: {facts.reason}")
    return lines


def describe_verdict(verdict: Verdict | None) -> dict[str, Any] | None:
    """Give a verdict in the shape of `verdict`."""
    if verdict is None:
        return None
    match = verdict.tlsa_match
    return {
        "outcome": verdict.outcome,
        "result_type": verdict.result_type,
        "reason_code": verdict.reason_code,
        "reason": verdict.reason,
        "is_chain_trusted": verdict.is_chain_trusted,
        "matched_name": verdict.matched_name,
        "tlsa": None if match is None else _describe_match(match),
    }


def describe_requirement(requirement: Requirement | None) -> dict[str, Any] | None:
    """Give a requirement in the shape of `requirement`."""
    if requirement is None:
        return None
    return {
        "level": requirement.level,
        "source": requirement.source,
        "sources": list(requirement.sources),
        "reason": requirement.reason,
        "sni": requirement.sni,
        "names": list(requirement.names),
        "tlsa": [_shorten(record) for record in requirement.tlsa[:MAX_RECORDS]],
        "is_testing": requirement.is_testing,
        "min_version": requirement.min_version,
    }


def _describe_match(match: TlsaMatch) -> dict[str, Any]:
    return {"record": _shorten(match.record), "depth": match.depth}


def _shorten(record: TlsaRecord) -> str:
    """Give a record as text; of one that holds a whole certificate, the beginning."""
    text = str(record)
    return text if len(text) <= MAX_RECORD_CHARACTERS else f"{text[:MAX_RECORD_CHARACTERS]}..."


@lru_cache(maxsize=256)
def _describe_der(der: bytes) -> Mapping[str, object]:
    facts = read_certificate(der)
    if isinstance(facts, CertificateFacts):
        return describe_certificate(facts)
    return {"error": facts.reason}
