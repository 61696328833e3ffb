"""What a mail log in Postfix's shape tells of a domain: how deliveries ended, and with what TLS.

Counted, and no more: the lines are Postfix's `status=` and `TLS connection established`, which our
own log has too.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from letterlock.base.domains import Domain

MAX_LINE_CHARACTERS = 8192
MAX_RELAYS = 10_000
"""Hosts whose connections are counted; those of a domain are known when all lines are read."""
MAX_STATUSES = 20

_STAMP = re.compile(r"[A-Z][a-z]{2} [ 0-9][0-9] [0-9:]{8}|[0-9]{4}-[0-9]{2}-[0-9]{2}T\S{1,30}")
_RECIPIENT = re.compile(r"\bto=<[^>]{0,300}@([^>@]{1,300})>")
_RELAY = re.compile(r" relay=([^, ]{1,400}),")
_STATUS = re.compile(r" status=([a-z]{1,20}) \((.*)\)")
_TLS = re.compile(
    r"\b(Verified|Trusted|Untrusted|Anonymous) TLS connection (?:established|reused) to "
    r"([^ ]{1,400}): "
)


@dataclass(frozen=True, slots=True)
class LoggedDelivery:
    """The end of one attempt, as the log has it."""

    time: str
    relay: str
    status: str
    reason: str


@dataclass(frozen=True, slots=True)
class LogSummary:
    """What was found. `tls` counts connections to the hosts that the domain's mail went to.

    Its words are Postfix's: Verified, Trusted, Untrusted, Anonymous. `last` is the last attempt,
    `last_trouble` the last one that did not end with `sent`.
    """

    deliveries: Mapping[str, int]
    tls: Mapping[str, int]
    last: LoggedDelivery | None = None
    last_trouble: LoggedDelivery | None = None


def summarize_log(lines: Iterable[str], domain: Domain) -> LogSummary:
    """Count what a log says of mail to a domain."""
    statuses: Counter[str] = Counter()
    by_relay: dict[str, Counter[str]] = {}
    relays: set[str] = set()
    last = last_trouble = None
    for whole in lines:
        line = whole[:MAX_LINE_CHARACTERS]
        if (found := _TLS.search(line)) is not None:
            word, relay = found.groups()
            if relay in by_relay or len(by_relay) < MAX_RELAYS:
                by_relay.setdefault(relay, Counter())[word] += 1
        elif (delivery := _read_delivery(line, domain)) is not None:
            last = delivery
            last_trouble = delivery if delivery.status != "sent" else last_trouble
            if len(relays) < MAX_RELAYS:
                relays.add(delivery.relay)
            if delivery.status in statuses or len(statuses) < MAX_STATUSES:
                statuses[delivery.status] += 1
    words: Counter[str] = Counter()
    for relay in relays & by_relay.keys():
        words += by_relay[relay]
    return LogSummary(dict(statuses), dict(words), last, last_trouble)


def _read_delivery(line: str, domain: Domain) -> LoggedDelivery | None:
    recipient = _RECIPIENT.search(line)
    if recipient is None or recipient[1].lower().rstrip(".") != domain:
        return None
    status = _STATUS.search(line)
    if status is None:
        return None
    relay, stamp = _RELAY.search(line), _STAMP.match(line)
    return LoggedDelivery(
        stamp[0] if stamp else "", relay[1] if relay else "none", status[1], status[2]
    )
