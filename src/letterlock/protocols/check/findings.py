"""What is wrong with a domain, as its senders see it: each finding has an id that does not change.

What DNS and MTA-STS say by themselves is found by `services.publish`, whose codes are ids here too;
these are the ids of what only a connection shows.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """How bad it is, worst first."""

    CRITICAL = "critical"
    """Mail of some senders is deferred, returned or refused, or a protection that is announced
    does not work."""
    WARNING = "warning"
    """Senders that verify without being told to would not deliver, or something soon goes wrong."""
    NOTICE = "notice"
    """A protection is missing, or something is untidy."""
    INFO = "info"


class FindingId(StrEnum):
    """What a connection shows, alone or beside what is published."""

    NO_ROUTE = "no-route"
    RESOLVER_SILENT = "resolver-silent"
    UNREACHABLE = "host-unreachable"
    BLOCKED = "host-blocked-us"
    NOT_ASKED = "host-not-asked"
    NO_STARTTLS = "starttls-not-offered"
    STARTTLS_REFUSED = "starttls-refused"
    STARTTLS_HIDDEN = "starttls-taken-unoffered"
    STARTTLS_TWICE = "starttls-offered-under-tls"
    EHLO_MASKED = "ehlo-changed-on-the-way"
    EXTENSIONS_LOST = "extensions-lost-under-tls"
    PASSWORDS_IN_CLEAR = "passwords-in-clear-offered"
    BANNER_SLOW = "banner-slow"
    ANSWERS_SLOW = "answers-slow"
    HANDSHAKE_FAILED = "handshake-failed"
    NO_SNI_REFUSED = "handshake-fails-without-sni"
    WRONG_SNI_REFUSED = "handshake-fails-for-unknown-sni"
    OLD_TLS = "old-tls-only"
    WEAK_CIPHERS = "weak-ciphers-only"
    NO_POST_QUANTUM = "no-post-quantum-group"

    NO_CERTIFICATE = "no-certificate"
    UNREADABLE = "certificate-unreadable"
    SELF_SIGNED = "certificate-self-signed"
    UNTRUSTED = "certificate-untrusted"
    MISSING_INTERMEDIATE = "intermediate-not-sent"
    EXPIRED = "certificate-expired"
    EXPIRES_SOON = "certificate-expires-soon"
    NOT_YET_VALID = "certificate-not-yet-valid"
    NAME_MISMATCH = "certificate-name-mismatch"
    WILDCARD_TOO_HIGH = "wildcard-covers-one-label"
    WRONG_PURPOSE = "certificate-not-for-servers"
    WEAK = "certificate-weak"
    CHAIN_ORDER = "chain-out-of-order"
    ROOT_SENT = "root-sent"
    NO_SNI_CERTIFICATE = "other-certificate-without-sni"
    WRONG_SNI_CERTIFICATE = "other-certificate-for-unknown-sni"
    ADDRESSES_DIFFER = "addresses-differ"

    # What only `--deep` sees.
    SSL_3_OFFERED = "ssl-3-offered"
    OLD_TLS_OFFERED = "old-tls-offered"
    NO_TLS_1_3 = "tls-1-3-not-offered"
    NULL_SUITES = "null-suites"
    EXPORT_SUITES = "export-suites"
    ANONYMOUS_SUITES = "anonymous-suites"
    RC4_SUITES = "rc4-suites"
    SMALL_BLOCK_SUITES = "small-block-suites"
    NO_FORWARD_SECRECY = "no-forward-secrecy"
    WEAK_DH = "weak-diffie-hellman"
    POST_QUANTUM_OFFERED = "post-quantum-offered"
    CLIENT_ORDER = "order-of-the-client"
    COMPRESSION = "tls-compression"
    INSECURE_RENEGOTIATION = "insecure-renegotiation"
    STARTTLS_INJECTION = "starttls-injection"
    SMUGGLING = "smtp-smuggling"
    NO_REQUIRETLS = "requiretls-not-offered"
    NOT_ALL_ASKED = "deep-look-ended-early"

    TLSA_NO_MATCH = "tlsa-no-match-served"
    TLSA_LOOKUP_FAILED = "tlsa-lookup-failed"
    TLSA_RENEWAL_BREAKS = "tlsa-breaks-at-renewal"
    TLSA_DUPLICATE = "tlsa-duplicate"
    TLSA_UNRELATED = "tlsa-unrelated"
    MTA_STS_FAILS = "mta-sts-host-fails"
    DANE_STS_CONFLICT = "dane-and-mta-sts-disagree"

    CAA_FORBIDS = "caa-forbids-renewal"
    CAA_LIMITED = "caa-limits-renewal"
    CAA_UNREADABLE = "caa-unreadable"
    CAA_BOGUS = "caa-bogus"
    CAA_MISSING = "caa-missing"
    REVOKED = "certificate-revoked"
    RRSIG_ENDED = "rrsig-ended"
    RRSIG_ENDS_SOON = "rrsig-ends-soon"
    RRSIG_NOT_YET = "rrsig-not-yet-valid"


RFCS = {
    FindingId.NO_ROUTE: "RFC 5321 §5.1",
    FindingId.RESOLVER_SILENT: "",
    FindingId.UNREACHABLE: "RFC 5321 §5.1",
    FindingId.BLOCKED: "RFC 5321 §4.2.5",
    FindingId.NOT_ASKED: "",
    FindingId.NO_STARTTLS: "RFC 3207 §4",
    FindingId.STARTTLS_REFUSED: "RFC 3207 §4",
    FindingId.STARTTLS_HIDDEN: "RFC 3207 §4",
    FindingId.STARTTLS_TWICE: "RFC 3207 §4.2",
    FindingId.EHLO_MASKED: "RFC 5321 §4.1.1.1",
    FindingId.EXTENSIONS_LOST: "RFC 3207 §4.2",
    FindingId.PASSWORDS_IN_CLEAR: "RFC 4954 §4",
    FindingId.BANNER_SLOW: "RFC 5321 §4.5.3.2.1",
    FindingId.ANSWERS_SLOW: "RFC 5321 §4.5.3.2",
    FindingId.HANDSHAKE_FAILED: "RFC 3207 §4.1",
    FindingId.NO_SNI_REFUSED: "RFC 7672 §8.1",
    FindingId.WRONG_SNI_REFUSED: "RFC 7672 §8.1",
    FindingId.OLD_TLS: "RFC 8996 §4",
    FindingId.WEAK_CIPHERS: "RFC 9325 §4.2",
    FindingId.NO_POST_QUANTUM: "RFC 8446 §4.2.7",
    FindingId.NO_CERTIFICATE: "RFC 7435 §3",
    FindingId.UNREADABLE: "RFC 5280 §4.1",
    FindingId.SELF_SIGNED: "RFC 5280 §6",
    FindingId.UNTRUSTED: "RFC 5280 §6",
    FindingId.MISSING_INTERMEDIATE: "RFC 8446 §4.4.2",
    FindingId.EXPIRED: "RFC 5280 §4.1.2.5",
    FindingId.EXPIRES_SOON: "RFC 5280 §4.1.2.5",
    FindingId.NOT_YET_VALID: "RFC 5280 §4.1.2.5",
    FindingId.NAME_MISMATCH: "RFC 9525 §6.3",
    FindingId.WILDCARD_TOO_HIGH: "RFC 9525 §6.3",
    FindingId.WRONG_PURPOSE: "RFC 5280 §4.2.1.12",
    FindingId.WEAK: "RFC 9325 §4.5",
    FindingId.CHAIN_ORDER: "RFC 8446 §4.4.2",
    FindingId.ROOT_SENT: "RFC 8446 §4.4.2",
    FindingId.NO_SNI_CERTIFICATE: "RFC 6066 §3",
    FindingId.WRONG_SNI_CERTIFICATE: "RFC 6066 §3",
    FindingId.ADDRESSES_DIFFER: "RFC 5321 §5.1",
    FindingId.SSL_3_OFFERED: "RFC 7568 §3",
    FindingId.OLD_TLS_OFFERED: "RFC 8996 §4",
    FindingId.NO_TLS_1_3: "RFC 9325 §3.1.1",
    FindingId.NULL_SUITES: "RFC 9325 §4.1",
    FindingId.EXPORT_SUITES: "RFC 9325 §4.1",
    FindingId.ANONYMOUS_SUITES: "RFC 9325 §4.1",
    FindingId.RC4_SUITES: "RFC 7465 §2",
    FindingId.SMALL_BLOCK_SUITES: "RFC 9325 §4.1",
    FindingId.NO_FORWARD_SECRECY: "RFC 9325 §4.1",
    FindingId.WEAK_DH: "RFC 9325 §4.5",
    FindingId.POST_QUANTUM_OFFERED: "RFC 8446 §4.2.7",
    FindingId.CLIENT_ORDER: "RFC 9325 §4.2.1",
    FindingId.COMPRESSION: "RFC 9325 §3.3",
    FindingId.INSECURE_RENEGOTIATION: "RFC 5746 §4.3",
    FindingId.STARTTLS_INJECTION: "RFC 3207 §4.2",
    FindingId.SMUGGLING: "RFC 5321 §4.1.1.4",
    FindingId.NO_REQUIRETLS: "RFC 8689 §2",
    FindingId.NOT_ALL_ASKED: "RFC 5321 §4.2.5",
    FindingId.TLSA_NO_MATCH: "RFC 7672 §3.2",
    FindingId.TLSA_LOOKUP_FAILED: "RFC 7672 §2.1.2",
    FindingId.TLSA_RENEWAL_BREAKS: "RFC 7671 §8",
    FindingId.TLSA_DUPLICATE: "RFC 6698 §2.1",
    FindingId.TLSA_UNRELATED: "RFC 7671 §8",
    FindingId.MTA_STS_FAILS: "RFC 8461 §4.1",
    FindingId.DANE_STS_CONFLICT: "RFC 8461 §2",
    FindingId.CAA_FORBIDS: "RFC 8659 §3",
    FindingId.CAA_LIMITED: "RFC 8657 §3",
    FindingId.CAA_UNREADABLE: "RFC 8659 §4.1",
    FindingId.CAA_BOGUS: "RFC 8659 §5.1",
    FindingId.CAA_MISSING: "RFC 8659 §3",
    FindingId.REVOKED: "RFC 5280 §6.3",
    FindingId.RRSIG_ENDED: "RFC 4035 §5.3.1",
    FindingId.RRSIG_ENDS_SOON: "RFC 4035 §5.3.1",
    FindingId.RRSIG_NOT_YET: "RFC 4035 §5.3.1",
}
"""Where it is said how it should be."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was found. `evidence` and `fix` are one line each; `fix` may be empty.

    `where` is a host with its address, a host, or a name in DNS. `id` is of `FindingId`, or a code
    of `services.publish.findings`.
    """

    id: str
    severity: Severity
    where: str
    evidence: str
    rfc: str
    fix: str = ""


def make_finding(
    found: FindingId, severity: Severity, where: str, evidence: str, fix: str = ""
) -> Finding:
    """Make a finding of ours; where it is said how it should be is known by its id."""
    return Finding(found, severity, where, evidence, RFCS[found], fix)


def rank(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Put the worst first, each once."""
    order = list(Severity)
    return tuple(sorted(dict.fromkeys(findings), key=lambda each: order.index(each.severity)))
