"""Where Postfix, 3.7 or 3.10, and we say different things of one server, and who is right.

The table is asserted whole, for each of them: a difference that is not in it fails, and so does one
that is gone.
"""

from collections.abc import Sequence
from dataclasses import dataclass

_TLS_1_3 = "TLSv1.3 TLS_AES_256_GCM_SHA384"
_NOT_VERIFIED = f"deferred, 4.7.5, Untrusted {_TLS_1_3}, certificate: "
_NO_HANDSHAKE = "deferred, 4.7.5, handshake failed"
_STARTTLS_REFUSED = "deferred, 4.7.4, STARTTLS refused"


@dataclass(frozen=True, slots=True)
class Difference:
    """What each says of these scenarios at these levels (words of `log_verdicts`), and why.

    `only`: the Postfix (its name in `tests.peers`) that says so; none: each does.
    """

    scenarios: str
    levels: str
    theirs: str
    ours: str
    why: str
    only: str = ""


_REFUSED_INSIDE = """\
Both defer for the same reason. We refuse the chain inside the handshake, so that the peer's log has
the alert; no connection was established then, and our log does not say so. Postfix completes the
handshake first, and leaves without a word."""

_CHAIN_AND_NAME = """\
Both defer for the same reason. "Trusted" is said of the chain, "Verified" of chain and name: so
TLS_README has it, and so do we. Postfix 3.7 has OpenSSL check the name along with the chain, and
says "Untrusted" of a good chain with another's name; 3.10 says "Trusted" of it, too."""

_OLD_VERSION = "We: TLS 1.0 and 1.1 must not be negotiated (RFC 8996 §4, §5)."

_OLD_CIPHER = """\
We: forward secrecy and AEAD only where TLS is required (RFC 9325 §4.2). At `may` both take it."""

_ANONYMOUS = """\
Either: without a certificate nothing can be said of the peer, and TLS 1.3 has no such suites; we
offer none (RFC 9325 §4.2). Postfix takes them where no proof is asked for (RFC 7435 §3)."""

_WEAK_KEY = (
    "We: RSA keys have at least 2048 bits (RFC 9325 §4.5); no security level of OpenSSL asked."
)

_TOLD_BY_ALERT = """\
We: both fail when the server hangs up after the handshake. We read its alert, and say that it wants
a client certificate; Postfix sees a connection that was lost."""

_INJECTED = """\
We: plain text behind the 220 was put there by somebody else (RFC 3207 §6). Postfix throws it
away and goes on; nothing of it is used by either."""

_STARTTLS_AT_MAY = """\
Either: Postfix goes on in clear on the same connection at once. With us the operator's rule for
clear text, set to `after` here, holds for every way in which TLS that was offered is not given."""

_STARTTLS_CODE = """\
Both defer. 4.7.4 (security features not supported) is said by Postfix where STARTTLS is missing,
and by us also where it is refused; Postfix passes the code of the host's reply on."""

_STARTTLS_BOUNCE = """\
We: mail that must go over TLS waits while there is none. A 502 in plain text, which anybody on the
way can write, would have Postfix return it at once."""

_LOST_AT_MAY = """\
Both defer. At `may`, TLS that breaks right behind the handshake is with us TLS that failed: mail
goes in clear when the operator's rule says so. Postfix meets the same end each time."""

_NOT_SMTP = """\
We: both defer. We say at once that this is not SMTP, where Postfix waits for a line that is."""

_ALL_FAULTS = """\
Both defer. We name all that is wrong with a certificate, Postfix what OpenSSL came upon last, 3.10
of the chain only; and we refuse the chain inside the handshake."""


def _certificates() -> list[Difference]:
    inside = {
        "expired": "expired expired-intermediate",
        "not yet valid": "not-yet-valid",
        "unknown issuer": "unknown-issuer missing-intermediate",
        "self-signed": "self-signed",
        "issuer is no authority": "issued-by-a-leaf",
        "wrong purpose": "wrong-purpose",
    }
    return [
        *(
            Difference(
                scenarios,
                "verify",
                f"{_NOT_VERIFIED}{fault}",
                f"deferred, 4.7.5, certificate: {fault}",
                _REFUSED_INSIDE,
            )
            for fault, scenarios in inside.items()
        ),
        Difference(
            "expired-and-wrong-name",
            "verify",
            f"{_NOT_VERIFIED}wrong name",
            "deferred, 4.7.5, certificate: expired and wrong name",
            _ALL_FAULTS,
            only="postfix",
        ),
        Difference(
            "expired-and-wrong-name",
            "verify",
            f"{_NOT_VERIFIED}expired",
            "deferred, 4.7.5, certificate: expired and wrong name",
            _ALL_FAULTS,
            only="postfix-3.10",
        ),
        Difference(
            "no-name-asked-for",
            "verify",
            f"{_NOT_VERIFIED}self-signed",
            "deferred, 4.7.5, certificate: wrong name and self-signed",
            _ALL_FAULTS,
        ),
        Difference(
            "wrong-name partial-wildcard",
            "verify",
            f"{_NOT_VERIFIED}wrong name",
            f"deferred, 4.7.5, Trusted {_TLS_1_3}, certificate: wrong name",
            _CHAIN_AND_NAME,
            only="postfix",
        ),
        Difference(
            "name-in-cn-only",
            "verify",
            f"sent, 2.0.0, Verified {_TLS_1_3}, sent",
            f"deferred, 4.7.5, Trusted {_TLS_1_3}, certificate: wrong name",
            "We: a common name is no name to match (RFC 9525 §2).",
        ),
        Difference(
            "weak-key",
            "may encrypt",
            f"sent, 2.0.0, Trusted {_TLS_1_3}, sent",
            f"sent, 2.0.0, Untrusted {_TLS_1_3}, sent",
            _WEAK_KEY,
        ),
        Difference(
            "weak-key",
            "verify",
            f"sent, 2.0.0, Verified {_TLS_1_3}, sent",
            f"{_NOT_VERIFIED}weak key",
            _WEAK_KEY,
        ),
    ]


def _handshakes() -> list[Difference]:
    taken_by_postfix = [
        ("tls-1.0-only", "may encrypt", "Trusted TLSv1 ECDHE-RSA-AES256-SHA", _OLD_VERSION),
        ("tls-1.1-only", "may encrypt", "Trusted TLSv1.1 ECDHE-RSA-AES256-SHA", _OLD_VERSION),
        ("cbc-only", "encrypt", "Trusted TLSv1.2 ECDHE-RSA-AES128-SHA", _OLD_CIPHER),
        ("cbc-only", "verify", "Verified TLSv1.2 ECDHE-RSA-AES128-SHA", _OLD_CIPHER),
        ("no-forward-secrecy", "encrypt", "Trusted TLSv1.2 AES128-SHA", _OLD_CIPHER),
        ("no-forward-secrecy", "verify", "Verified TLSv1.2 AES128-SHA", _OLD_CIPHER),
        ("anonymous-only", "may encrypt", "Anonymous TLSv1.2 AECDH-AES256-SHA", _ANONYMOUS),
        ("injected", "may encrypt", f"Trusted {_TLS_1_3}", _INJECTED),
        ("injected", "verify", f"Verified {_TLS_1_3}", _INJECTED),
    ]
    lost_by_postfix = [
        ("client-certificate-wanted", "may encrypt", "Trusted", _TOLD_BY_ALERT),
        ("client-certificate-wanted", "verify", "Verified", _TOLD_BY_ALERT),
    ]
    return [
        *(
            Difference(scenario, levels, f"sent, 2.0.0, {tls}, sent", _NO_HANDSHAKE, why)
            for scenario, levels, tls, why in taken_by_postfix
        ),
        *(
            Difference(
                scenarios,
                levels,
                f"deferred, 4.4.2, {word} {_TLS_1_3}, lost at EHLO",
                _NO_HANDSHAKE,
                why,
            )
            for scenarios, levels, word, why in lost_by_postfix
        ),
        Difference(
            "fin-at-ehlo-under-tls rst-at-ehlo-under-tls",
            "may",
            f"deferred, 4.4.2, Trusted {_TLS_1_3}, lost at EHLO",
            f"deferred, 4.7.5, Trusted {_TLS_1_3}, handshake failed",
            _LOST_AT_MAY,
        ),
    ]


def _replies() -> list[Difference]:
    return [
        Difference(
            "starttls-454 starttls-502",
            "may",
            "sent, 2.0.0, sent",
            _STARTTLS_REFUSED,
            _STARTTLS_AT_MAY,
        ),
        Difference(
            "starttls-421",
            "may",
            "deferred, 4.4.2, lost at MAIL",
            _STARTTLS_REFUSED,
            _STARTTLS_AT_MAY,
        ),
        Difference(
            "starttls-454",
            "encrypt verify",
            "deferred, 4.7.0, STARTTLS refused",
            _STARTTLS_REFUSED,
            _STARTTLS_CODE,
        ),
        Difference(
            "starttls-421",
            "encrypt verify",
            "deferred, 4.3.2, STARTTLS refused",
            _STARTTLS_REFUSED,
            _STARTTLS_CODE,
        ),
        Difference(
            "starttls-502",
            "encrypt verify",
            "bounced, 5.5.1, STARTTLS refused",
            _STARTTLS_REFUSED,
            _STARTTLS_BOUNCE,
        ),
        Difference(
            "banner-garbage",
            "may verify",
            "deferred, 4.4.2, time-out at greeting",
            "deferred, 4.4.2, not SMTP",
            _NOT_SMTP,
        ),
    ]


_ALL = (*_certificates(), *_handshakes(), *_replies())

_DANE = (
    Difference(
        "unnamed.secure.example",
        "dane",
        "deferred, Untrusted, no MAIL",
        "deferred, Trusted, no MAIL",
        _CHAIN_AND_NAME,
        only="postfix",
    ),
)
"""The scenarios are domains of `tests.published_domains`."""


def known_differences(peer: str) -> dict[tuple[str, str], tuple[str, str]]:
    """Give what this Postfix and we say, by scenario and level, where it is not the same."""
    return _of(_ALL, peer)


def known_dane_differences(peer: str) -> dict[tuple[str, str], tuple[str, str]]:
    """Give the same for mail to domains with TLSA records."""
    return _of(_DANE, peer)


def _of(all_known: Sequence[Difference], peer: str) -> dict[tuple[str, str], tuple[str, str]]:
    return {
        (name, level): (known.theirs, known.ours)
        for known in all_known
        if known.only in ("", peer)
        for name in known.scenarios.split()
        for level in known.levels.split()
    }
