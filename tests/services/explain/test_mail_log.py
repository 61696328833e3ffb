"""What a mail log says of one domain."""

from letterlock.base.domains import Domain
from letterlock.services.explain.mail_log import (
    MAX_STATUSES,
    LoggedAttempt,
    LogSummary,
    summarize_log,
)

NAME = Domain("example.org")
MX = "mx.example.org[192.0.2.1]:25"
POSTFIX = f"""\
Nov 22 02:39:05 mx1 postfix/smtp[123]: Verified TLS connection established to {MX}: TLSv1.3 with \
cipher TLS_AES_256_GCM_SHA384 (256/256 bits)
Nov 22 02:39:05 mx1 postfix/smtp[123]: 4bX: to=<bob@Example.ORG>, orig_to=<x@other.example>, \
relay={MX}, delay=1, delays=0/0/1/0, dsn=2.0.0, status=sent (250 2.0.0 Ok: queued as 1)
Nov 22 02:39:07 mx1 postfix/smtp[124]: Untrusted TLS connection reused to {MX}: TLSv1.3 with \
cipher TLS_AES_256_GCM_SHA384 (256/256 bits)
Nov 22 02:39:07 mx1 postfix/smtp[124]: 4bY: to=<bob@example.org>, relay={MX}, delay=1, \
dsn=4.7.5, status=deferred (Server certificate not verified (once) again)
Nov 22 02:39:08 mx1 postfix/smtp[124]: Trusted TLS connection established to o.example[1]:25: x
Nov 22 02:39:08 mx1 postfix/smtp[124]: 4bZ: to=<bob@sub.example.org>, relay=none, status=bounced (x)
Nov 22 02:39:09 mx1 postfix/smtp[124]: 4c0: to=<bob@other.example>, orig_to=<bob@example.org>, \
relay=none, status=bounced (no)
""".splitlines()


def test_deliveries_their_tls_and_their_causes_are_counted() -> None:
    summary = summarize_log(POSTFIX, NAME)
    reason = "Server certificate not verified (once) again"
    trouble = LoggedAttempt(
        "Nov 22 02:39:07",
        MX,
        "deferred",
        reason,
        "certificate-not-verified",
    )
    assert summary == LogSummary(
        {"sent": 1, "deferred": 1},
        {"Verified": 1, "Untrusted": 1},
        {"ok-verified": 1, "certificate-not-verified": 1},
        trouble,
        trouble,
    )


def test_the_last_attempt_and_the_last_trouble_are_told_apart() -> None:
    summary = summarize_log([*POSTFIX, POSTFIX[1]], NAME)
    assert summary.last is not None
    assert summary.last_trouble is not None
    assert (summary.last.status, summary.last_trouble.status) == ("sent", "deferred")


def test_a_log_without_the_domain_says_nothing() -> None:
    assert summarize_log(POSTFIX, Domain("example.net")) == LogSummary({}, {}, {})


def test_a_log_made_to_fill_the_memory_does_not() -> None:
    letters = "abcdefghijklmnopqrstuvwxyz"
    summary = summarize_log(
        (
            f"Nov 22 02:39:08 mx1 postfix/smtp[1]: 4c: to=<a@example.org>, relay=none, "
            f"status={letter} (x)"
            for letter in letters
        ),
        NAME,
    )
    assert len(summary.deliveries) == MAX_STATUSES
