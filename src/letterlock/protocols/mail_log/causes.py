"""What can have become of a delivery, as a closed list, and what helps.

Names are stable: people script against them. The RFC 8460 §4.3 result is the one that a sender of
TLS reports would give. Causes that have nothing to do with TLS are few and coarse on purpose.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from letterlock.protocols.tlsrpt.result_types import ResultType


class Cause(StrEnum):
    """Why a delivery ended as it did."""

    OK = "ok"
    OK_VERIFIED = "ok-verified"
    OK_DANE = "ok-dane"
    OK_PLAINTEXT_BY_POLICY = "ok-plaintext-by-policy"
    OK_PLAINTEXT_FALLBACK = "ok-plaintext-fallback"

    NO_SNI_SELF_SIGNED = "no-sni-selfsigned"
    WRONG_SNI_SELF_SIGNED = "wrong-sni-selfsigned"
    SELF_SIGNED = "self-signed-certificate"
    UNTRUSTED_ISSUER = "untrusted-issuer"
    MISSING_INTERMEDIATE = "missing-intermediate"
    CERTIFICATE_EXPIRED = "certificate-expired"
    CERTIFICATE_NOT_YET_VALID = "certificate-not-yet-valid"
    NAME_MISMATCH = "certificate-name-mismatch"
    WRONG_PURPOSE = "wrong-certificate-purpose"
    WEAK_CERTIFICATE = "weak-certificate"
    FINGERPRINT_MISMATCH = "fingerprint-mismatch"
    TRUST_ANCHOR_MISMATCH = "trust-anchor-mismatch"
    NOT_VERIFIED = "certificate-not-verified"
    """The log does not say why."""

    TLSA_MISMATCH = "tlsa-mismatch"
    TLSA_UNUSABLE = "tlsa-unusable"
    NO_TLSA = "no-tlsa"
    INSECURE_MX = "insecure-mx"
    TLSA_LOOKUP_FAILED = "tlsa-lookup-failed-dnssec"
    DANE_TA_NAME_MISMATCH = "dane-ta-certificate-name-mismatch"

    STARTTLS_NOT_OFFERED = "starttls-not-offered"
    STARTTLS_REFUSED = "starttls-refused"
    NOT_TLS = "tls-handshake-not-tls"
    HANDSHAKE_CLOSED = "tls-handshake-connection-closed"
    HANDSHAKE_TIMED_OUT = "tls-handshake-timed-out"
    HANDSHAKE_FAILED = "tls-handshake-failed"
    VERSION_TOO_LOW = "protocol-version-too-low"
    TOO_OLD_CRYPTO = "server-too-old-crypto"
    NO_CERTIFICATE = "server-has-no-certificate"
    SNI_REJECTED = "server-rejects-sni"
    CLIENT_CERTIFICATE_WANTED = "server-wants-client-certificate"
    LOST_AFTER_TLS = "connection-lost-after-tls"
    LOST_AT_END_OF_DATA = "connection-lost-end-of-data"

    MTA_STS_MX_NOT_LISTED = "mta-sts-mx-not-listed"
    MTA_STS_FETCH_ERROR = "mta-sts-policy-fetch-error"
    MTA_STS_POLICY_INVALID = "mta-sts-policy-invalid"
    MTA_STS_WEBPKI_INVALID = "mta-sts-policy-host-webpki-invalid"

    REQUIRETLS_NOT_OFFERED = "requiretls-not-offered"
    REQUIRETLS_NO_TLS = "requiretls-no-tls"
    REQUIRETLS_NOT_VERIFIED = "requiretls-certificate-not-verified"
    REQUIRETLS_LEVEL_TOO_LOW = "requiretls-level-too-low"

    POLICY_TABLE_WRONG = "policy-table-wrong"
    POLICY_TABLE_LOOKUP = "policy-table-lookup-error"
    POLICY_MAP_TEMPORARY = "policy-map-temporary-error"
    OUR_TLS_BROKEN = "our-tls-not-available"

    NO_ROUTE = "host-not-found"
    NAME_SERVICE_FAILED = "name-service-failed"
    CONNECTION_FAILED = "connection-failed"
    LOST_WITHOUT_TLS = "connection-lost-without-tls"
    TIMED_OUT = "conversation-timed-out"
    NOT_SMTP = "peer-does-not-speak-smtp"
    PUT_OFF = "put-off-by-peer"
    """A reply of 4xx: greylisting, a full mailbox, too many connections."""
    REFUSED = "refused-by-peer"
    HELD_BACK = "not-tried"
    """The sender did not try, because earlier tries had failed; those say why."""
    UNKNOWN = "unknown"


SECOND_MX = "ok-second-mx-after-"
"""Before a cause: the first MX host failed with it, and a later one took the mail."""


@dataclass(frozen=True, slots=True)
class Remedy:
    """What a cause means, what helps, and the result that would be reported.

    `fix` has `{mx}` and `{domain}` to be filled in; it is empty where nothing need be done.
    """

    meaning: str
    fix: str = ""
    result_type: ResultType | None = None


_ASK = "run `letterlock check {domain}` for what the host shows now"
_THEIRS = f"it is the receiving side's to mend: {_ASK}"
_LINE = "`{domain} verify servername=hostname`"

REMEDIES: Mapping[Cause, Remedy] = {
    Cause.OK: Remedy("sent over TLS; the certificate was not asked for, or did not matter"),
    Cause.OK_VERIFIED: Remedy("sent over TLS to a host whose certificate was verified"),
    Cause.OK_DANE: Remedy("sent over TLS to a host whose certificate DANE verified"),
    Cause.OK_PLAINTEXT_BY_POLICY: Remedy(
        "sent in clear, as the policy for it allows",
        f"if it should be encrypted, see whether the host offers STARTTLS: {_ASK}",
        ResultType.STARTTLS_NOT_SUPPORTED,
    ),
    Cause.OK_PLAINTEXT_FALLBACK: Remedy(
        "sent in clear after TLS had failed",
        f"anybody on the way can cause this; `{{domain}} encrypt` forbids it. {_ASK}",
        ResultType.VALIDATION_FAILURE,
    ),
    Cause.NO_SNI_SELF_SIGNED: Remedy(
        "the host shows this self-signed certificate to clients that send no SNI",
        f"send the host's name: {_LINE} in the policy table (Postfix 3.4 and later)",
        ResultType.CERTIFICATE_NOT_TRUSTED,
    ),
    Cause.WRONG_SNI_SELF_SIGNED: Remedy(
        "the host shows this self-signed certificate to clients that send a name it does not know",
        f"send the MX host's own name: {_LINE} in the policy table",
        ResultType.CERTIFICATE_NOT_TRUSTED,
    ),
    Cause.SELF_SIGNED: Remedy(
        "the certificate is self-signed",
        "the host needs one of a public authority, or DANE; some hosts show a self-signed one only "
        f"to clients without SNI: `--probe` tells, and there {_LINE} helps",
        ResultType.CERTIFICATE_NOT_TRUSTED,
    ),
    Cause.UNTRUSTED_ISSUER: Remedy(
        "the certificate's issuer is none that this sender trusts",
        "either the host does not send its intermediate certificate, or its authority is not in "
        f"smtp_tls_CAfile here: `--probe` tells which. {_ASK}",
        ResultType.CERTIFICATE_NOT_TRUSTED,
    ),
    Cause.MISSING_INTERMEDIATE: Remedy(
        "the host does not send the certificate of the authority between it and the root",
        "{mx} has to serve its full chain (fullchain.pem, not cert.pem)",
        ResultType.CERTIFICATE_NOT_TRUSTED,
    ),
    Cause.CERTIFICATE_EXPIRED: Remedy(
        "a certificate of the chain has expired",
        "{mx} has to renew it, and to load it into every server behind that name",
        ResultType.CERTIFICATE_EXPIRED,
    ),
    Cause.CERTIFICATE_NOT_YET_VALID: Remedy(
        "a certificate of the chain is not valid yet",
        "compare the clock here with the certificate's dates; else {mx} was too early",
        ResultType.CERTIFICATE_NOT_TRUSTED,
    ),
    Cause.NAME_MISMATCH: Remedy(
        "the certificate is not for the name that the policy asks for",
        "the certificate needs the MX host's name, {mx}, among its DNS names (HELO name and mail "
        "domain do not count); or `match=` in the policy table names what it has",
        ResultType.CERTIFICATE_HOST_MISMATCH,
    ),
    Cause.WRONG_PURPOSE: Remedy(
        "the certificate is not meant for servers",
        "{mx} needs one with the extended key usage serverAuth",
        ResultType.CERTIFICATE_NOT_TRUSTED,
    ),
    Cause.WEAK_CERTIFICATE: Remedy(
        "a key or signature of the chain is too weak",
        "{mx} needs RSA of 2048 bits or an elliptic curve, signed with SHA-256 or better",
        ResultType.CERTIFICATE_NOT_TRUSTED,
    ),
    Cause.FINGERPRINT_MISMATCH: Remedy(
        "the certificate is none of those whose fingerprints the policy table names",
        "the host has a new certificate: check it on another way, then mend `match=`; the "
        "fingerprint of a public key outlives renewals",
        ResultType.CERTIFICATE_NOT_TRUSTED,
    ),
    Cause.TRUST_ANCHOR_MISMATCH: Remedy(
        "the chain leads to none of the trust anchors that the policy table names",
        "the host has another authority: check it on another way, then mend `tafile=`",
        ResultType.CERTIFICATE_NOT_TRUSTED,
    ),
    Cause.NOT_VERIFIED: Remedy(
        "the certificate was not verified, and the log does not say why",
        f"set smtp_tls_loglevel = 1; {_ASK}",
        ResultType.CERTIFICATE_NOT_TRUSTED,
    ),
    Cause.TLSA_MISMATCH: Remedy(
        "no TLSA record is for the certificate that the host shows (Postfix says the same of a "
        "fingerprint or trust anchor that does not match)",
        f"the host was renewed and its TLSA records were not: {_ASK}, which has the records",
        ResultType.VALIDATION_FAILURE,
    ),
    Cause.TLSA_UNUSABLE: Remedy(
        "the host has TLSA records, and none that can be used for SMTP",
        "usages 0 and 1 do not count for mail: publish `3 1 1` records for {mx}",
        ResultType.TLSA_INVALID,
    ),
    Cause.NO_TLSA: Remedy(
        "DANE is demanded, and the host has no TLSA records",
        "take `dane-only` away for {domain}, or ask them to publish TLSA records",
        ResultType.DANE_REQUIRED,
    ),
    Cause.INSECURE_MX: Remedy(
        "DANE is demanded, and the MX records of the domain are not signed",
        "take `dane-only` away for {domain}, or ask them to sign their zone",
        ResultType.DANE_REQUIRED,
    ),
    Cause.TLSA_LOOKUP_FAILED: Remedy(
        "the name servers of the host did not answer the question for TLSA records as they must",
        "their DNS fails or its DNSSEC is broken, and nothing may be sent until it answers: "
        "`letterlock policy explain {domain}` shows each lookup",
        ResultType.DNSSEC_INVALID,
    ),
    Cause.DANE_TA_NAME_MISMATCH: Remedy(
        "the authority in the TLSA record is right, and the certificate is for another name",
        "with usage 2 names count: {mx} needs its name in the certificate, or a `3 1 1` record",
        ResultType.CERTIFICATE_HOST_MISMATCH,
    ),
    Cause.STARTTLS_NOT_OFFERED: Remedy(
        "TLS is demanded, and the host did not offer STARTTLS",
        f"either it has none, or somebody on the way takes it out: {_ASK}",
        ResultType.STARTTLS_NOT_SUPPORTED,
    ),
    Cause.STARTTLS_REFUSED: Remedy(
        "the host offered STARTTLS, and refused it",
        f"its certificate or key may not load: {_THEIRS}",
        ResultType.STARTTLS_NOT_SUPPORTED,
    ),
    Cause.NOT_TLS: Remedy(
        "what the host sent in the handshake is not TLS",
        f"often a firewall that reads SMTP (ASA's `fixup`, `PIX`) or a broken server: {_THEIRS}",
        ResultType.VALIDATION_FAILURE,
    ),
    Cause.HANDSHAKE_CLOSED: Remedy(
        "the host closed the connection during the handshake",
        f"a firewall, or a server that found nothing in common and said nothing: {_THEIRS}",
        ResultType.VALIDATION_FAILURE,
    ),
    Cause.HANDSHAKE_TIMED_OUT: Remedy(
        "the host stopped answering during the handshake",
        "large packets may be lost on the way (MTU): try `ping -M do -s 1400 {mx}`",
        ResultType.VALIDATION_FAILURE,
    ),
    Cause.HANDSHAKE_FAILED: Remedy(
        "the TLS handshake failed; the evidence has OpenSSL's words, where the log has them",
        _THEIRS,
        ResultType.VALIDATION_FAILURE,
    ),
    Cause.VERSION_TOO_LOW: Remedy(
        "the host has only versions of TLS that this sender does not allow",
        "it needs TLS 1.2 or later; smtp_tls_protocols says what is allowed here",
        ResultType.VALIDATION_FAILURE,
    ),
    Cause.TOO_OLD_CRYPTO: Remedy(
        "the host has only ciphers, groups or signatures that are too old for this sender",
        f"{_THEIRS}; until then, smtp_tls_ciphers and OpenSSL's security level decide here",
        ResultType.VALIDATION_FAILURE,
    ),
    Cause.NO_CERTIFICATE: Remedy(
        "the host has TLS without a certificate",
        "{mx} needs a certificate; anonymous TLS can't be verified",
        ResultType.CERTIFICATE_NOT_TRUSTED,
    ),
    Cause.SNI_REJECTED: Remedy(
        "the host ends the handshake because it does not know the name that was sent (SNI)",
        "a mail server must go on with its default certificate (RFC 7672 §8.1): {mx} has to be "
        "configured so; until then take `servername=` away for {domain}",
        ResultType.VALIDATION_FAILURE,
    ),
    Cause.CLIENT_CERTIFICATE_WANTED: Remedy(
        "the host wants a certificate of the client",
        "a public MX host must not: {mx} has to be configured so, or smtp_tls_cert_file set here",
        ResultType.VALIDATION_FAILURE,
    ),
    Cause.LOST_AFTER_TLS: Remedy(
        "the connection was lost under TLS, before the message was sent",
        f"{_THEIRS}; where it is TLS 1.3, a client certificate may be what it wanted",
        ResultType.VALIDATION_FAILURE,
    ),
    Cause.LOST_AT_END_OF_DATA: Remedy(
        "the connection was lost while the message was sent, or before it was acknowledged",
        "the host may have the message all the same, and get it twice; look for a filter there "
        "that takes too long, or an MTU that is too large on the way",
    ),
    Cause.MTA_STS_MX_NOT_LISTED: Remedy(
        "the MX host is none that the domain's MTA-STS policy lists",
        "the policy of {domain} has to list {mx}: `letterlock dns check {domain}`",
        ResultType.VALIDATION_FAILURE,
    ),
    Cause.MTA_STS_FETCH_ERROR: Remedy(
        "the domain's MTA-STS policy could not be fetched",
        "https://mta-sts.{domain}/.well-known/mta-sts.txt must answer everybody with 200",
        ResultType.STS_POLICY_FETCH_ERROR,
    ),
    Cause.MTA_STS_POLICY_INVALID: Remedy(
        "the domain's MTA-STS policy is not valid",
        "the policy file of {domain} needs version, mode, mx and max_age",
        ResultType.STS_POLICY_INVALID,
    ),
    Cause.MTA_STS_WEBPKI_INVALID: Remedy(
        "the certificate of the MTA-STS policy host is not valid",
        "mta-sts.{domain} needs a certificate of a public authority for that name",
        ResultType.STS_WEBPKI_INVALID,
    ),
    Cause.REQUIRETLS_NOT_OFFERED: Remedy(
        "the sender demanded REQUIRETLS, and no host of the domain has it",
        "few have it: send without, or ask {domain} for it",
    ),
    Cause.REQUIRETLS_NO_TLS: Remedy(
        "the sender demanded REQUIRETLS, and the host has no TLS",
        _THEIRS,
        ResultType.STARTTLS_NOT_SUPPORTED,
    ),
    Cause.REQUIRETLS_NOT_VERIFIED: Remedy(
        "the sender demanded REQUIRETLS, and the host's certificate was not verified",
        _THEIRS,
        ResultType.CERTIFICATE_NOT_TRUSTED,
    ),
    Cause.REQUIRETLS_LEVEL_TOO_LOW: Remedy(
        "the sender demanded REQUIRETLS, and the level set here does not verify certificates",
        "use DANE or MTA-STS here (levels dane, secure) for {domain}",
    ),
    Cause.POLICY_TABLE_WRONG: Remedy(
        "the line of the TLS policy table for this destination is not valid",
        "mend the line that the evidence names: `postmap -q {domain} TABLE` shows it",
    ),
    Cause.POLICY_TABLE_LOOKUP: Remedy(
        "the TLS policy table could not be asked",
        "see whether the table's file or service is there: `postmap -q {domain} TABLE`",
    ),
    Cause.POLICY_MAP_TEMPORARY: Remedy(
        "the policy service said that it cannot answer now",
        "look at its own log; mail waits until it answers",
    ),
    Cause.OUR_TLS_BROKEN: Remedy(
        "TLS is demanded, and this sender's own TLS could not be started",
        "look for `TLS library problem` and `disabling TLS support` in this log: a key or "
        "certificate file here cannot be read",
    ),
    Cause.NO_ROUTE: Remedy(
        "the domain or its MX host does not exist, or accepts no mail",
        "see whether {domain} is spelled right; `letterlock policy explain {domain}`",
    ),
    Cause.NAME_SERVICE_FAILED: Remedy(
        "the name servers did not answer",
        "their DNS or the resolver here fails, or DNSSEC is broken there: "
        "`letterlock policy explain {domain}`",
    ),
    Cause.CONNECTION_FAILED: Remedy(
        "no connection to the host could be made",
        "the host is down, or a firewall (here too: outgoing port 25) is in the way",
    ),
    Cause.LOST_WITHOUT_TLS: Remedy(
        "the connection was lost, and there was no TLS at that time",
        "often a host that refuses this sender's address without a word",
    ),
    Cause.TIMED_OUT: Remedy(
        "the host stopped answering", "wait; where it lasts, look at the MTU and at {mx}"
    ),
    Cause.NOT_SMTP: Remedy(
        "what the host says is not SMTP",
        "see what listens there: `letterlock check {domain}`",
    ),
    Cause.PUT_OFF: Remedy(
        "the host put the mail off (4xx)", "its reply says why; the mail is tried again"
    ),
    Cause.REFUSED: Remedy("the host refused the mail (5xx)", "its reply says why"),
    Cause.HELD_BACK: Remedy(
        "it was not tried now, because tries before it had failed",
        "look at the last delivery to {domain} that was tried",
    ),
    Cause.UNKNOWN: Remedy(
        "the log does not say enough", "set smtp_tls_loglevel = 1 and look at the next try"
    ),
}


def is_ok(cause: str) -> bool:
    """Tell whether the mail was delivered."""
    return cause == Cause.OK or cause.startswith("ok-")
