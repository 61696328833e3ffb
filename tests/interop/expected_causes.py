"""What `log explain` must make of the logs of `misconducts`: one cause for each server and level.

Postfix's words are those of 3.7; where 3.10 says another thing, it is named. A log that does not
show why (`starttls-454` at `may`: Postfix says nothing and goes on in clear) gives the cause that
can be known from it.
"""

from collections.abc import Mapping

from tests.interop.misconducts import Case

_Table = Mapping[str, tuple[tuple[str, str], ...]]
"""Causes, and levels with the servers that come to them there."""

_POSTFIX_3_7 = "postfix"
_BY_LATER_POSTFIX = {
    ("expired-and-wrong-name", "verify"): "certificate-expired",
    ("tls-1.0-only", "verify"): "protocol-version-too-low",
    ("tls-1.1-only", "verify"): "protocol-version-too-low",
}

_POSTFIX: _Table = {
    "certificate-expired": (("verify", "expired expired-intermediate"),),
    "certificate-name-mismatch": (
        ("verify", "partial-wildcard wrong-name expired-and-wrong-name"),
    ),
    "certificate-not-yet-valid": (("verify", "not-yet-valid"),),
    "connection-failed": (("may verify", "nobody-listens"),),
    "connection-lost-after-tls": (
        ("encrypt may verify", "rst-at-ehlo-under-tls fin-at-ehlo-under-tls"),
        ("may verify", "mail-fin data-fin"),
    ),
    "connection-lost-end-of-data": (
        ("may verify", "end-rst end-fin content-rst content-fin end-silence"),
    ),
    "connection-lost-without-tls": (
        ("encrypt may verify", "starttls-fin"),
        ("may", "starttls-421"),
        ("may verify", "banner-fin ehlo-fin"),
    ),
    "conversation-timed-out": (
        ("encrypt may verify", "starttls-silence"),
        ("may verify", "banner-silence banner-garbage rcpt-silence"),
    ),
    "ok": (
        ("encrypt may", "wildcard partial-wildcard name-of-another-case expired not-yet-valid"),
        ("encrypt may", "wrong-name name-in-cn-only unknown-issuer self-signed with-intermediate"),
        ("encrypt may", "missing-intermediate expired-intermediate issued-by-a-leaf wrong-purpose"),
        ("encrypt may", "expired-and-wrong-name weak-key tls-1.1-only tls-1.0-only tls-1.2-only"),
        ("encrypt may", "cbc-only no-forward-secrecy anonymous-only name-asked-for good-rsa"),
        ("encrypt may", "no-name-asked-for good injected"),
    ),
    "ok-plaintext-by-policy": (
        ("may", "no-starttls starttls-502 starttls-454 ehlo-502"),
        ("none", "good"),
    ),
    "ok-verified": (
        ("secure verify", "good"),
        ("verify", "wildcard name-of-another-case name-in-cn-only with-intermediate weak-key"),
        ("verify", "tls-1.2-only cbc-only no-forward-secrecy name-asked-for good-rsa injected"),
    ),
    "put-off-by-peer": (
        ("encrypt may verify", "421-at-ehlo-under-tls"),
        ("may verify", "banner-421 banner-450 mail-450 rcpt-450 data-451 end-451"),
    ),
    "refused-by-peer": (
        (
            "may verify",
            "banner-554 mail-550 rcpt-552 rcpt-550 data-554 rcpt-550-no-pipelining end-554",
        ),
        ("may verify", "no-extended-codes"),
    ),
    "self-signed-certificate": (("verify", "self-signed no-name-asked-for"),),
    "server-rejects-sni": (("encrypt may verify", "sni-refused"),),
    "server-too-old-crypto": (("verify", "tls-1.1-only tls-1.0-only"),),
    "server-wants-client-certificate": (("encrypt may verify", "client-certificate-wanted"),),
    "starttls-not-offered": (
        ("encrypt verify", "no-starttls"),
        ("verify", "ehlo-502"),
    ),
    "starttls-refused": (("encrypt verify", "starttls-454 starttls-502 starttls-421"),),
    "tls-handshake-connection-closed": (("encrypt may verify", "handshake-rst handshake-fin"),),
    "tls-handshake-failed": (
        ("encrypt may verify", "no-encryption client-certificate-wanted-1.2"),
        ("verify", "anonymous-only"),
    ),
    "tls-handshake-not-tls": (("encrypt may verify", "handshake-garbage"),),
    "tls-handshake-timed-out": (("encrypt may verify", "handshake-silence"),),
    "untrusted-issuer": (("verify", "unknown-issuer missing-intermediate issued-by-a-leaf"),),
    "wrong-certificate-purpose": (("verify", "wrong-purpose"),),
}

_OURS: _Table = {
    "certificate-expired": (("verify", "expired expired-intermediate expired-and-wrong-name"),),
    "certificate-name-mismatch": (
        ("verify", "partial-wildcard wrong-name name-in-cn-only no-name-asked-for"),
    ),
    "certificate-not-yet-valid": (("verify", "not-yet-valid"),),
    "connection-failed": (("may verify", "nobody-listens"),),
    "connection-lost-after-tls": (
        ("encrypt verify", "fin-at-ehlo-under-tls rst-at-ehlo-under-tls"),
        ("may verify", "mail-fin data-fin"),
    ),
    "connection-lost-end-of-data": (
        ("may verify", "end-fin end-rst content-fin content-rst end-silence"),
    ),
    "connection-lost-without-tls": (
        ("encrypt may verify", "starttls-fin"),
        ("may verify", "banner-fin ehlo-fin"),
    ),
    "conversation-timed-out": (
        ("encrypt may verify", "starttls-silence"),
        ("may verify", "banner-silence rcpt-silence"),
    ),
    "ok": (
        ("encrypt may", "wildcard partial-wildcard name-of-another-case expired not-yet-valid"),
        ("encrypt may", "wrong-name name-in-cn-only unknown-issuer self-signed with-intermediate"),
        ("encrypt may", "missing-intermediate expired-intermediate issued-by-a-leaf wrong-purpose"),
        (
            "encrypt may",
            "weak-key expired-and-wrong-name tls-1.2-only name-asked-for no-name-asked-for",
        ),
        ("encrypt may", "good good-rsa"),
        ("may", "cbc-only no-forward-secrecy"),
    ),
    "ok-plaintext-by-policy": (
        ("may", "no-starttls ehlo-502"),
        ("none", "good"),
    ),
    "ok-verified": (
        ("secure verify", "good"),
        ("verify", "wildcard name-of-another-case with-intermediate tls-1.2-only name-asked-for"),
        ("verify", "good-rsa"),
    ),
    "peer-does-not-speak-smtp": (("may verify", "banner-garbage"),),
    "protocol-version-too-low": (("encrypt may verify", "tls-1.0-only tls-1.1-only"),),
    "put-off-by-peer": (
        ("encrypt may verify", "421-at-ehlo-under-tls"),
        ("may verify", "banner-421 banner-450 mail-450 rcpt-450 data-451 end-451"),
    ),
    "refused-by-peer": (
        (
            "may verify",
            "banner-554 mail-550 rcpt-552 rcpt-550 data-554 end-554 rcpt-550-no-pipelining",
        ),
        ("may verify", "no-extended-codes"),
    ),
    "self-signed-certificate": (("verify", "self-signed"),),
    "server-rejects-sni": (("encrypt may verify", "sni-refused"),),
    "server-wants-client-certificate": (("encrypt may verify", "client-certificate-wanted"),),
    "starttls-not-offered": (
        ("encrypt verify", "no-starttls"),
        ("verify", "ehlo-502"),
    ),
    "starttls-refused": (("encrypt may verify", "starttls-454 starttls-502 starttls-421"),),
    "tls-handshake-connection-closed": (
        ("encrypt may verify", "handshake-fin handshake-rst"),
        ("may", "fin-at-ehlo-under-tls rst-at-ehlo-under-tls"),
    ),
    "tls-handshake-failed": (
        ("encrypt may verify", "anonymous-only no-encryption client-certificate-wanted-1.2"),
        ("encrypt verify", "cbc-only no-forward-secrecy"),
    ),
    "tls-handshake-not-tls": (("encrypt may verify", "handshake-garbage injected"),),
    "tls-handshake-timed-out": (("encrypt may verify", "handshake-silence"),),
    "untrusted-issuer": (("verify", "unknown-issuer missing-intermediate issued-by-a-leaf"),),
    "weak-certificate": (("verify", "weak-key"),),
    "wrong-certificate-purpose": (("verify", "wrong-purpose"),),
}


def expected_causes(case: Case, peer: str) -> tuple[str, str]:
    """Give the cause by a Postfix's log (its name in `tests.peers`), and by ours."""
    theirs = _find(_POSTFIX, case)
    if peer != _POSTFIX_3_7:
        theirs = _BY_LATER_POSTFIX.get(case.key, theirs)
    return theirs, _find(_OURS, case)


def _find(table: _Table, case: Case) -> str:
    (cause,) = (
        cause
        for cause, groups in table.items()
        for levels, names in groups
        if case.level in levels.split() and case.name in names.split()
    )
    return cause
