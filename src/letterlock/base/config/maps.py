"""The settings of tables about addresses: aliases, ways, relaying.

How sections are written says `sections`.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from letterlock.base.config.values import Parsed


def parse_delimiter(text: str) -> str:
    """Parse the characters that may begin an extension. Raises ValueError."""
    if len(text) > 4 or not all(sign in "+-=_.#!$%&*/?^~|" for sign in text):
        raise ValueError('one or a few signs such as "+" or "+-"')
    return text


@dataclass(frozen=True, slots=True)
class MapsSection:
    """Tables about addresses: text files as Postfix has them, read again when they change.

    While a file cannot be read, mail that it may be about is put off (451) or waits.
    """

    aliases: Path | None = None
    """Names at our `domains` and the addresses that get their mail: aliases(5), such as
    `/etc/aliases`. `:include:` works; `|command` and `/file` do not, and mail for them waits."""

    virtual: Path | None = None
    """Addresses and what they are rewritten to: virtual(5), Postfix's `virtual_alias_maps`."""

    transport: Path | None = None
    """Which way mail for an address or domain takes: transport(5). There are `smtp`, `relay`,
    `lmtp`, `local`, `virtual`, `discard`, `error` and `retry`."""

    relay_domains: Path | None = None
    """Domains that we take mail for and pass on, one a line; their subdomains are among them."""

    relay_recipients: Path | None = None
    """The addresses that `relay_domains` have, or `@domain` for any. Unset: all are taken, and what
    the next host refuses comes back as a bounce."""

    sender_relay: Path | None = None
    """The next hop for mail of a sender, or of `@domain`: Postfix's
    `sender_dependent_relayhost_maps`."""

    recipient_delimiter: Annotated[str, Parsed(parse_delimiter, "delimiter")] = "+"
    """What parts a user from an extension: mail for `user+tag` goes to `user` where nothing else
    is said. Empty: nothing does."""
