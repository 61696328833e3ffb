"""The settings of the inbound test: hosts at which others' servers show how they send.

How sections are written says `sections`.
"""

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Annotated

from letterlock.base.config.collecting import take_report_contact
from letterlock.base.config.inbound import CertificateFiles
from letterlock.base.config.values import Count, ListenAddress, Parsed, lasting
from letterlock.base.domains import Domain


@dataclass(frozen=True, slots=True)
class InboundSection:
    """How other servers send: hosts with faults, each at an address that is not the node's own."""

    domain: Domain | None = None
    """The domain below which the hosts are, such as `senders.example.org`, in a signed zone. Unset:
    there is no test. `letterlock inbound records` gives the records."""

    certificates: tuple[CertificateFiles, ...] = ()
    """The certificate of the good hosts, by an authority that others trust, or several that share
    their names: those that `letterlock inbound records` tells, and no others below `domain`. The
    first is shown to clients that ask for no name (SNI): one with all names is best."""

    expired_certificate: Path | None = None
    """A certificate for the host `expired` whose time is over. Unset: one that signs itself."""

    expired_key: Path | None = None
    """Its private key."""

    listen: tuple[ListenAddress, ...] = ()
    """Where the hosts are that differ in names only: good, wrong-name, bad-tlsa and sts. Others
    connect to port 25 only; so `receive.listen` may not take port 25 of all addresses."""

    listen_expired: tuple[ListenAddress, ...] = ()
    """Where the host `expired` is. Unset: there is none."""

    listen_no_starttls: tuple[ListenAddress, ...] = ()
    """Where the host `no-starttls` is. Unset: there is none."""

    listen_https: tuple[ListenAddress, ...] = ()
    """Where the policy of `sts` and the page of each test are served. Others ask for the policy at
    port 443 only. Unset: neither is."""

    lifetime: Annotated[timedelta, lasting("1m", "30d")] = timedelta(days=7)
    """How long a test takes mail. What was seen is removed then."""

    max_tests: Count = 100
    """Tests at a time."""

    report_after: Annotated[timedelta, lasting("1s", "1d")] = timedelta(minutes=15)
    """The sender is written to when nothing more came for so long: once for each test."""

    report_from: Annotated[str, Parsed(take_report_contact, "mail address")] | None = None
    """The author of that mail; its domain's DKIM keys sign it. Unset: postmaster at the first of
    `domains`."""
