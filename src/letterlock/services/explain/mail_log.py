"""What a mail log says of one domain: how deliveries ended, why, and with what TLS.

Whose log it is, which lines belong together and what they mean is `protocols.mail_log`'s; here it
is counted for `policy explain`.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from letterlock.base.domains import Domain
from letterlock.protocols.mail_log.deliveries import LoggedDelivery
from letterlock.protocols.mail_log.reading import LogReader

MAX_STATUSES = 20
SENT = "sent"


@dataclass(frozen=True, slots=True)
class LoggedAttempt:
    """The end of one attempt, as the log has it; `cause` is of `protocols.mail_log.causes`."""

    time: str
    relay: str
    status: str
    reason: str
    cause: str


@dataclass(frozen=True, slots=True)
class LogSummary:
    """What was found. `tls` counts the deliveries that had TLS by the log's word for it.

    Its words are Postfix's: Verified, Trusted, Untrusted, Anonymous. `last` is the last attempt,
    `last_trouble` the last one that did not end with `sent`.
    """

    deliveries: Mapping[str, int]
    tls: Mapping[str, int]
    causes: Mapping[str, int]
    last: LoggedAttempt | None = None
    last_trouble: LoggedAttempt | None = None


def summarize_log(lines: Iterable[str], domain: Domain) -> LogSummary:
    """Count what a log says of mail to a domain."""
    statuses: Counter[str] = Counter()
    words: Counter[str] = Counter()
    causes: Counter[str] = Counter()
    last = last_trouble = None
    for delivery in LogReader().read(lines):
        if delivery.domain != domain:
            continue
        last = delivery
        causes[delivery.cause] += 1
        if delivery.status != SENT:
            last_trouble = delivery
        if delivery.tls is not None:
            words[delivery.tls.trust] += 1
        if delivery.status in statuses or len(statuses) < MAX_STATUSES:
            statuses[delivery.status] += 1
    return LogSummary(
        dict(statuses), dict(words), dict(causes), _describe(last), _describe(last_trouble)
    )


def _describe(delivery: LoggedDelivery | None) -> LoggedAttempt | None:
    if delivery is None:
        return None
    return LoggedAttempt(
        delivery.stamp, delivery.relay, delivery.status, delivery.reason, str(delivery.cause)
    )
