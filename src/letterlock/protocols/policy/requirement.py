"""What TLS one hop must have: the value that decides, and is shown with, every delivery.

Levels are those of Postfix's `smtp_tls_policy_maps`, so that a table of theirs means the same here.
"""

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How strict TLS is on a hop, weakest first."""

    NONE = "none"
    MAY = "may"
    ENCRYPT = "encrypt"
    FINGERPRINT = "fingerprint"
    DANE = "dane"
    DANE_ONLY = "dane-only"
    VERIFY = "verify"
    SECURE = "secure"

    @property
    def is_tls_required(self) -> bool:
        """Nothing may leave in clear."""
        return self not in (Level.NONE, Level.MAY)

    @property
    def is_authenticated(self) -> bool:
        """Nothing may leave to a peer that did not prove who it is."""
        return self.is_tls_required and self is not Level.ENCRYPT


class Source(StrEnum):
    """Where a requirement comes from."""

    TABLE = "table"
    DEFAULT = "default"
    OPPORTUNISTIC = "opportunistic"
    DANE = "dane"
    MTA_STS = "mta-sts"
    REQUIRETLS = "requiretls"


@dataclass(frozen=True, slots=True)
class Requirement:
    """What must hold on the connection to one MX host before any MAIL command.

    `names`: reference identifiers, any of which the certificate must hold; `.example.com` stands
    for every name below it. `fingerprints`: `sha256:` + lower-case hex without colons, of
    certificate or SPKI. `trust_files`: PEM files that replace the system's trust anchors.
    `sni` is None only when the host is an address (RFC 6066 §3).
    """

    level: Level
    source: Source
    reason: str
    sni: str | None
    names: tuple[str, ...] = ()
    fingerprints: tuple[str, ...] = ()
    trust_files: tuple[str, ...] = ()
    min_version: str = "TLSv1.2"
    max_version: str | None = None
    ciphers: str | None = None
    """An OpenSSL cipher list for TLS 1.2 and below; None: the recommended ones (RFC 9325 §4.2)."""


@dataclass(frozen=True, slots=True)
class RequirementInvalid:
    """The table's entry for this hop cannot be used: mail for it waits (4.7.5), nothing is lowered.

    `where` is file:line:key of the wrong entry; `reason` says what is wrong with it.
    """

    where: str
    reason: str
