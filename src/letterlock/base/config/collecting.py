"""The settings of TLS reports: what is counted, and where a Postfix tells of its sessions.

How sections are written says `sections`.
"""

from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Annotated

from letterlock.base.config.alerting import AlertsSection
from letterlock.base.config.posting import PostsSection
from letterlock.base.config.values import (
    InDataDir,
    Parsed,
    lasting,
    parse_account,
    parse_address,
    parse_file_mode,
)

MAX_ORGANIZATION_CHARACTERS = 200


def take_report_contact(text: str) -> str:
    """Take a mail address in ASCII: header fields of reports hold it as it is."""
    address = parse_address(text)
    if not address.isascii():
        raise ValueError('a mail address in ASCII such as "tls-reports@example.org"')
    return address


def take_organization(text: str) -> str:
    """Take a name of one line."""
    if not text.strip() or not text.isprintable() or len(text) > MAX_ORGANIZATION_CHARACTERS:
        raise ValueError(f"a name of one line, at most {MAX_ORGANIZATION_CHARACTERS} characters")
    return text


@dataclass(frozen=True, slots=True)
class TlsrptSection:
    """Reports on TLS: our own daily ones, and counting the sessions of a Postfix 3.10 or later."""

    reports: bool = True
    """Whether the node counts its TLS sessions, by day, and reports them to those who ask for it
    in DNS."""

    contact: Annotated[str, Parsed(take_report_contact, "mail address")] | None = None
    """The mail address that reports come from, and name as that of who sends them. Its domain's
    DKIM keys sign them. Unset: postmaster at the first of `domains`."""

    organization: Annotated[str, Parsed(take_organization, "name")] | None = None
    """The name that reports give of who sends them. Unset: the domain of `contact`."""

    send_within: Annotated[timedelta, lasting("0s", "12h")] = timedelta(hours=4)
    """Reports on a day leave at random moments within so long after its end, midnight in UTC."""

    mail_program: Path | None = None
    """A program that reports are handed to that go by mail, such as `/usr/sbin/sendmail`: where a
    Postfix is there and no node of ours. Unset: they go into the node's queue."""

    private_addresses: bool = False
    """Whether reports may go by HTTPS to loopback, private and other special addresses. For
    networks of their own."""

    receive: bool = True
    """Whether reports of others are taken out of mail for the addresses of
    `publishing.tls_reports` at `domains` (unset: postmaster), proved, and kept. The mail itself
    goes on to its mailbox."""

    keep_received: Annotated[timedelta, lasting("30d", "3650d")] = timedelta(days=400)
    """For how long reports of others are kept, from the day that they are about."""

    socket: Path = Path("/var/spool/postfix/run/tlsrpt/tlsrpt.sock")
    """Where Postfix sends what its sessions came to: `smtp_tlsrpt_socket_name =
    run/tlsrpt/tlsrpt.sock` there. A folder that is missing is made."""

    socket_mode: Annotated[str, Parsed(parse_file_mode, "mode")] = "0666"
    """The mode of `socket`: who may send, and so have sessions counted. 0660 where `socket_owner`
    is Postfix's."""

    socket_owner: Annotated[str, Parsed(parse_account, "user or user:group")] | None = None
    """Whom `socket` belongs to, such as `postfix`. Only root can give it away."""

    journal_dir: Annotated[Path, InDataDir()] = Path("tlsrpt")
    """The folder where counts are kept, by day. A relative path starts at `data_dir`."""

    keep: Annotated[timedelta, lasting("2d", "365d")] = timedelta(days=10)
    """For how long the counts of a day are kept that nobody has reported."""

    alerts: AlertsSection = field(default_factory=AlertsSection)
    """Who is told of what reports say is wrong."""

    posts: PostsSection = field(default_factory=PostsSection)
    """Reports of others that come by HTTPS."""
