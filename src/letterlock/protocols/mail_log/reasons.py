"""From the words of a mail server's log to a cause: Postfix's, and ours where they differ.

The words are those of Postfix 2.11 to 3.12, of OpenSSL 1.0 to 3.5, and our own; nothing in them is
taken further than it goes: where a log cannot tell two causes apart, the one that is given says so.
"""

import re
from collections.abc import Iterable, Sequence

from letterlock.protocols.mail_log.causes import Cause
from letterlock.protocols.mail_log.patterns import Words

# What stands behind "certificate verification failed for PEER: ", and in our own reasons.
_CERTIFICATE = Words(
    (Cause.MTA_STS_FETCH_ERROR, (r"external policy failure \(sts-policy-fetch-error\)",)),
    (Cause.MTA_STS_POLICY_INVALID, (r"external policy failure \(sts-policy-invalid\)",)),
    (Cause.MTA_STS_WEBPKI_INVALID, (r"external policy failure \(sts-webpki-invalid\)",)),
    (Cause.CERTIFICATE_EXPIRED, (r"has expired", r"\bnum=10\b", r"\bexpired at \d{4}-")),
    (
        Cause.CERTIFICATE_NOT_YET_VALID,
        (r"not yet valid", r"\bnum=9\b", r"is not valid before \d{4}-"),
    ),
    (
        Cause.TLSA_MISMATCH,
        (r"num=65:", r"no matching DANE TLSA records", r"matches no TLSA record"),
    ),
    (Cause.NAME_MISMATCH, (r"num=62:", r"[Hh]ostname mismatch", r"; wanted: ")),
    (
        Cause.SELF_SIGNED,
        (r"self[- ]signed certificate\b(?! in certificate chain)", r"\bnum=18\b"),
    ),
    (
        Cause.WRONG_PURPOSE,
        (r"not designated for use as", r"may not be used for servers", r"\bnum=26\b"),
    ),
    (Cause.TRUST_ANCHOR_MISMATCH, (r"not trusted by local or TLSA policy",)),
    (
        Cause.WEAK_CERTIFICATE,
        (r"num=6[678]:", r"\bkey too (?:weak|small)\b", r"md too weak", r"is weak\b"),
    ),
    (
        Cause.UNTRUSTED_ISSUER,
        (
            r"untrusted issuer",
            r"unable to get (?:local )?issuer certificate",
            r"invalid CA certificate",
            r"self[- ]signed certificate in",
            r"chain longer than limit",
            r"\bnum=(?:2|19|2[0-5]|27|7[0-9])\b",
        ),
    ),
)

# OpenSSL's error queue, what the socket said, and alerts in our words.
_HANDSHAKE = Words(
    (Cause.SNI_REJECTED, (r"unrecognized[ _]name",)),
    (
        Cause.VERSION_TOO_LOW,
        (
            r"alert protocol[ _]version",
            r"unsupported protocol",
            r"no protocols available",
            r"version too low",
        ),
    ),
    (Cause.CLIENT_CERTIFICATE_WANTED, (r"certificate[ _]required",)),
    (
        Cause.TOO_OLD_CRYPTO,
        (
            r"legacy sigalg",
            r"too small",
            r"too weak",
            r"unsafe legacy renegotiation",
            r"insufficient[ _]security",
            r"no shared cipher",
            r"wrong signature type",
            r"bad ecpoint",
            r"unsupported algorithm",
        ),
    ),
    (
        Cause.NOT_TLS,
        (
            r"wrong version number",
            r"unknown protocol",
            r"http request",
            r"packet length too long",
            r"record layer failure",
            r"bad record type",
            r"answer is not TLS",
            r"plain text came between",
        ),
    ),
    (Cause.HANDSHAKE_FAILED, (r"handshake[ _]failure",)),
    (Cause.HANDSHAKE_TIMED_OUT, (r"timed out",)),
    (
        Cause.HANDSHAKE_CLOSED,
        (
            r"lost connection",
            r"reset by peer",
            r"(?:closed|reset) the connection",
            r"unexpected eof",
            r"Broken pipe",
            r"closed by peer",
        ),
    ),
)

# What stands in the parentheses behind `status=deferred`, or behind a queue id alone.
_OUTCOMES = Words(
    (
        Cause.REQUIRETLS_NO_TLS,
        (r"REQUIRETLS, but TLS service was not", r"REQUIRETLS, but host \S+ refused"),
    ),
    (Cause.REQUIRETLS_LEVEL_TOO_LOW, (r"REQUIRETLS, but my configured TLS",)),
    (Cause.REQUIRETLS_NOT_VERIFIED, (r"REQUIRETLS, but no (?:\S+ )?server certificate",)),
    (Cause.REQUIRETLS_NOT_OFFERED, (r"REQUIRETLS",)),
    (Cause.POLICY_TABLE_LOOKUP, (r"policy table lookup error",)),
    (
        Cause.POLICY_MAP_TEMPORARY,
        (r"TLS policy lookup error", r"TLS policy for this destination is unusable"),
    ),
    (
        Cause.TLSA_LOOKUP_FAILED,
        (r"TLSA lookup (?:error|failed)", r"TLSA records were not looked up"),
    ),
    (Cause.NO_TLSA, (r"no TLSA records",)),
    (Cause.TLSA_UNUSABLE, (r"TLSA records unusable",)),
    (Cause.INSECURE_MX, (r"non DNSSEC destination",)),
    (
        Cause.MTA_STS_MX_NOT_LISTED,
        (r"does not match STS MX pattern", r"does not list", r"is not listed in the"),
    ),
    (Cause.STARTTLS_REFUSED, (r"refused to start TLS",)),
    (Cause.STARTTLS_NOT_OFFERED, (r"was not offered",)),
    (Cause.OUR_TLS_BROKEN, (r"TLS engine is unavailable", r"required,? but unavailable")),
    (Cause.POLICY_TABLE_WRONG, (r"client TLS configuration problem",)),
    (
        Cause.LOST_AT_END_OF_DATA,
        (
            r"while sending (?:end of data|message body|the message)",
            r"-- message may be sent more than once",
        ),
    ),
    (Cause.TIMED_OUT, (r"timed out while", r"^451 4\.4\.2 timed out")),
    (
        Cause.LOST_AFTER_TLS,
        (r"lost connection", r"connection (?:closed|reset) by peer", r"^451 4\.4\.2 "),
    ),
    (
        Cause.NAME_SERVICE_FAILED,
        (r"Host not found, try again", r"unexpected name server reply", r"name server"),
    ),
    (
        Cause.NO_ROUTE,
        (
            r"Name service error",
            r"does not accept mail",
            r"nullMX",
            r"has (?:no|a) valid address",
            r"loops back",
            r"unable to look up",
        ),
    ),
    (Cause.NOT_SMTP, (r"not an SMTP reply", r"not SMTP", r"Protocol error")),
    (Cause.CONNECTION_FAILED, (r"connect to ",)),
    (Cause.REFUSED, (r"refused to talk to me: 5", r"\bsaid: 5\d\d", r"^5\d\d ")),
    (Cause.PUT_OFF, (r"refused to talk to me: 4", r"\bsaid: 4\d\d", r"^4\d\d ")),
    (Cause.HELD_BACK, (r"delivery temporarily suspended",)),
)

_OURS = re.compile(r"TLS handshake failed: (.*)|: not verified: (.*)")
_NO_SNI = re.compile(r"No SNI provided|invalid2\.invalid")
_OTHER_SNI = re.compile(r"SNI hostname: \S")


def find_certificate_cause(faults: Iterable[str], notes: Iterable[str] = ()) -> Cause | None:
    """Name what was wrong with a certificate: what was logged first counts, as in Postfix.

    `notes` are verbose lines of the same handshake, which may show the certificate that some hosts
    keep for clients without SNI. None: nothing was logged that is known.
    """
    for fault in faults:
        cause = _CERTIFICATE.find(fault)
        if cause is Cause.SELF_SIGNED:
            return _explain_self_signed(fault, notes)
        if cause is not None:
            return cause
    return None


def find_handshake_cause(errors: Sequence[str]) -> Cause:
    """Name why a handshake failed, from OpenSSL's words, alerts and what the socket said."""
    return _HANDSHAKE.find("\n".join(errors)) or Cause.HANDSHAKE_FAILED


def find_outcome_cause(text: str) -> Cause | None:
    """Name what the final words of a delivery say by themselves; None: they say too little."""
    ours = _OURS.search(text)
    if ours is None:
        return _OUTCOMES.find(text)
    fault = ours[1] or ours[2]
    return find_certificate_cause((fault,)) or find_handshake_cause((fault,))


def _explain_self_signed(fault: str, notes: Iterable[str]) -> Cause:
    shown = [fault, *notes]
    if not any(_NO_SNI.search(each) for each in shown):
        return Cause.SELF_SIGNED
    if any(_OTHER_SNI.search(each) for each in shown):
        return Cause.WRONG_SNI_SELF_SIGNED
    return Cause.NO_SNI_SELF_SIGNED
