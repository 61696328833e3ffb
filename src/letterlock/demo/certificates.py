"""The demo's certificates: those of its authority, and one that signs itself, for DANE."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import PurePath

from letterlock.demo.setting import (
    AUTHORITY,
    LISTED_HOST,
    SENDER_HOST,
    SIGNED_HOST,
    Setting,
)
from letterlock.network.https import HOST_LABEL
from letterlock.protocols.pki.certificate import CertificateFacts, read_certificate
from letterlock.protocols.pki.throwaway_ca import Issued, ThrowawayCa, self_signed

AUTHORITY_FILE = "authority.pem"
RECEIVER_CERTIFICATES = ("first", "listed", "signed")
"""In the order in which the receiver has them: the first is for whoever asks for another name."""


@dataclass(frozen=True, slots=True)
class Certificates:
    """All there are. `files` are to be written, each by its path; `tlsa` is what is published."""

    authority: Issued
    files: Mapping[str, str]
    tlsa: str


def make_certificates(setting: Setting, now: datetime) -> Certificates:
    """Make the authority, all certificates and all keys."""
    authority = ThrowawayCa(AUTHORITY, now)
    trusted = authority if setting.is_authority_trusted else ThrowawayCa(AUTHORITY, now)
    policy_hosts = [f"{HOST_LABEL}.{domain}" for domain in setting.policies]
    signed = self_signed((SIGNED_HOST,), now=now)
    issued = {
        "sender/certificate": authority.issue((SENDER_HOST,), now=now),
        "receiver/first": authority.issue(setting.certificate_names, now=now),
        "receiver/listed": authority.issue((LISTED_HOST,), now=now),
        "receiver/signed": signed,
        "policy-host/certificate": authority.issue(policy_hosts, now=now),
    }
    files = {AUTHORITY_FILE: trusted.pem.decode()}
    for name, each in issued.items():
        certificate, key = name_files(name)
        files[str(certificate)] = each.chain_pem.decode()
        files[str(key)] = each.key_pem.decode()
    published = signed if setting.is_right_key_published else issued["receiver/first"]
    return Certificates(authority.issued, files, _make_tlsa(published))


def name_files(name: str) -> tuple[PurePath, PurePath]:
    """Name the files of a certificate: its chain, and its key."""
    return PurePath(f"{name}.pem"), PurePath(f"{name}.key")


def _make_tlsa(issued: Issued) -> str:
    """Write the record that names a certificate's key: DANE-EE, SPKI, SHA-256 (RFC 6698 §2.1)."""
    facts = read_certificate(issued.der)
    assert isinstance(facts, CertificateFacts), "it was made a moment ago"
    return f"3 1 1 {facts.spki_sha256}"
