"""What a delivery came to, for each recipient, before the queue decides what follows.

A value for each: delivered, failed for good, or to be tried again. RFC 3463 gives the status codes.
"""

from collections.abc import Iterable
from enum import StrEnum

from msgspec import Struct

from letterlock.protocols.tlsrpt.result_types import ResultType
from letterlock.protocols.tlsrpt.sessions import Session
from letterlock.storage.queue import AttemptRecord

LOCAL = "local"
"""The relay of what went into a mailbox of ours."""


class Result(StrEnum):
    """How it stands with one recipient after a claim was worked on."""

    DELIVERED = "sent"
    FAILED = "bounced"
    DEFERRED = "deferred"


class Outcome(Struct, frozen=True):
    """One recipient's result. `number` is the queue's; `relay` is `host[ip]:port` or `none`.

    `reply` is the peer's reply or our own words, on one line, as the log shows it. `remote` names
    the host that spoke, `host[ip]`, and `diagnostic` is its reply alone (for the DSN's Remote-MTA
    and Diagnostic-Code, RFC 3464 §2.3.5, §2.3.6); None when the words are ours.
    `is_dsn_passed_on`: the next hop took over the duty to report success (RFC 3461 §5.2.2).
    `is_final`: what took it keeps it, as LMTP servers do; it goes to no other host from there.
    `tls_result`: not None when it was TLS that kept us from sending. `tls_level` is as the log has
    it (`protocols.policy.told_level`); empty: it was held to none. The seconds are those of the
    connection that decided.
    """

    number: int
    result: Result
    status: str
    reply: str
    relay: str = "none"
    remote: str | None = None
    diagnostic: str | None = None
    is_dsn_passed_on: bool = False
    tls_result: ResultType | None = None
    connect_seconds: float = 0.0
    send_seconds: float = 0.0
    is_final: bool = False
    tls_level: str = ""


class Delivery(Struct, frozen=True):
    """What all that was tried for a claim came to: one outcome for each of its recipients.

    `sessions` are what its connections count as in TLS reports.
    """

    outcomes: tuple[Outcome, ...]
    attempts: tuple[AttemptRecord, ...] = ()
    sessions: tuple[Session, ...] = ()


def same_for_all(
    numbers: Iterable[int], result: Result, status: str, reply: str, *, relay: str = "none"
) -> tuple[Outcome, ...]:
    """Give every recipient the same outcome, in our own words."""
    return tuple(Outcome(number, result, status, reply, relay) for number in numbers)


def is_out_of_reach(outcome: Outcome) -> bool:
    """Tell whether nobody could be spoken to: RFC 3463 §3.5, network and routing."""
    return outcome.result is Result.DEFERRED and outcome.status.startswith("4.4.")
