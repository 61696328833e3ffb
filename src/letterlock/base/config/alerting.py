"""The settings of alerts on what reports on TLS say: who is told, how often, and of what.

How sections are written says `sections`.
"""

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Annotated

from letterlock.base.config.values import Between, Count, Parsed, lasting, parse_address
from letterlock.base.domains import Domain


@dataclass(frozen=True, slots=True)
class AlertsSection:
    """Telling the postmaster when reports on TLS say that something is wrong, and when it is over.

    `letterlock tlsrpt alerts` lists what is open.
    """

    enabled: bool = True
    """Whether anybody is told."""

    mail: tuple[Annotated[str, Parsed(parse_address, "mail address")], ...] = ()
    """Who is told by mail. Unset: the node's `contact`, or nobody where there is a `command`."""

    command: Path | None = None
    """A program that is run for each mail's worth of alerts: the subject is its argument, and
    LETTERLOCK_ALERTS in its environment has all of it as JSON. No shell is in between."""

    domains: tuple[Domain, ...] = ()
    """The policy domains that matter, with all below them. Unset: `domains`, `hostname`, and those
    of `publishing.mta_sts`: anybody may send reports on others."""

    every: Annotated[timedelta, lasting("1s", "1d")] = timedelta(minutes=10)
    """How often it is looked whether something is wrong."""

    silence: Annotated[timedelta, lasting("1h", "90d")] = timedelta(days=7)
    """An alert is told once. If it goes on, or comes again, it is told again after so long."""

    min_sessions: Count = 100
    """A1: days with fewer sessions under a type of policy are not judged by their share."""

    failure_percent: Annotated[int, Between(1, 100)] = 1
    """A1: a day on which more than this share of sessions failed is told."""

    sigma: Annotated[int, Between(0, 100)] = 5
    """A1: so is one whose share is so many standard deviations above the median of 28 days. 0: no
    day is told for that."""

    silent_days: Annotated[int, Between(3, 30)] = 3
    """A6: who reported each day is told of when nothing comes for more than so many days, beside
    those that its reports usually take: two, or more where they came later."""

    unsigned_reports: Annotated[int, Between(0, 10_000)] = 100
    """A9: so many reports without a good signature in a day are told. 0: no number is."""

    undelivered_reports: Count = 1
    """A10: so many reports of ours that were not taken within a day, in three days, are told."""
