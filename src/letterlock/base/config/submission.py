"""The settings of message submission: mail from people and programs with an account.

How sections are written says `sections`.
"""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

from letterlock.base.config.values import Between, CountOrNone, ListenAddress, Network


class AccountSource(StrEnum):
    """Who has the passwords."""

    OWN = "own"
    DOVECOT = "dovecot"


@dataclass(frozen=True, slots=True)
class SubmissionSection:
    """Taking mail from people and programs that log in (ports 465 and 587)."""

    enabled: bool = False
    """Take mail from those who log in. It needs a certificate."""

    listen: tuple[ListenAddress, ...] = (ListenAddress("0.0.0.0", 465), ListenAddress("::", 465))  # noqa: S104 - for people, wherever they are
    """Addresses and ports with TLS from the first octet on, which RFC 8314 §3 prefers."""

    listen_starttls: tuple[ListenAddress, ...] = (
        ListenAddress("0.0.0.0", 587),  # noqa: S104 - as above
        ListenAddress("::", 587),
    )
    """Addresses and ports where clients ask for TLS (STARTTLS) before they log in."""

    proxy_from: tuple[Network, ...] = ()
    """As `proxy_from` of `[receive]`, for these ports."""

    xclient_from: tuple[Network, ...] = ()
    """Clients that may say with XCLIENT who is behind them, and with its LOGIN as which account he
    is logged in; TLS is not asked of them then, nor a password. Whoever is listed sends as any
    account: list only proxies of yours, reached over a network of yours."""

    accounts: AccountSource = AccountSource.OWN
    """Who has the passwords: `own`, the accounts of `letterlock user`; or `dovecot`, its login
    service, by PLAIN and LOGIN. What an account of Dovecot's may send as, and its limits, are those
    of the own account of that name, if there is one; else it sends as its name."""

    dovecot_socket: Path = Path("/run/dovecot/auth-client")
    """Dovecot's login service: in its settings, `service auth { unix_listener auth-client { ... }
    }`, readable for the node's user."""

    channel_binding: bool = True
    """Offer SCRAM-SHA-256-PLUS, which ties a login to its TLS connection (RFC 5802 §6), for own
    accounts. Off only where TLS ends at something in front of this node that passes it on anew."""

    show_client: bool = False
    """Show in Received which address the message came from: often that of somebody's home."""

    check_author: bool = True
    """Refuse a message whose From or Sender field has an address that its account does not own. Who
    passes other people's mail on (a list server, say) has an account for whole domains instead."""

    max_recipients: Annotated[int, Between(1, 100_000)] = 100
    """The most recipients of one message."""

    max_messages_per_account: CountOrNone = 500
    """The most messages of one account in an hour. 0: no limit."""

    max_recipients_per_account: CountOrNone = 2000
    """The most recipients of one account's messages in an hour. 0: no limit."""

    max_failures_per_client: CountOrNone = 20
    """After so many failed logins in ten minutes nobody logs in from that address (IPv6: one /64)
    until they are over. 0: no limit."""

    max_failures_per_account: CountOrNone = 100
    """After so many failed logins in ten minutes to one account it opens only from addresses where
    it was logged in to in the last day. 0: no limit."""
