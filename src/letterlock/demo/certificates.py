"""Certificates that sign themselves: the sender's, and one of the receiver's, for DANE."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import PurePath

from letterlock.demo.setting import SENDER_HOST, SIGNED_HOST, Setting
from letterlock.protocols.pki.certificate import CertificateFacts, read_certificate
from letterlock.protocols.pki.throwaway_ca import Issued, self_signed

SENDER_PAIR = (PurePath("sender/certificate.pem"), PurePath("sender/certificate.key"))


@dataclass(frozen=True, slots=True)
class OwnCertificates:
    """`files` are to be written, each by its path; `tlsa` is what is published for SIGNED_HOST."""

    signed: Issued = field(repr=False)
    files: Mapping[str, str] = field(repr=False)
    tlsa: str


def make_certificates(setting: Setting, now: datetime) -> OwnCertificates:
    """Make them, with new keys."""
    sender, signed = (self_signed((host,), now=now) for host in (SENDER_HOST, SIGNED_HOST))
    texts = (sender.chain_pem.decode(), sender.key_pem.decode())
    files = {str(path): text for path, text in zip(SENDER_PAIR, texts, strict=True)}
    published = signed if setting.is_right_key_published else sender
    return OwnCertificates(signed, files, _make_tlsa(published))


def _make_tlsa(issued: Issued) -> str:
    """Write the record that names a certificate's key: DANE-EE, SPKI, SHA-256 (RFC 6698 §2.1)."""
    facts = read_certificate(issued.der)
    assert isinstance(facts, CertificateFacts), "it was made a moment ago"
    return f"3 1 1 {facts.spki_sha256}"
