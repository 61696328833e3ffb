"""`letterlock dns`: the DNS records that our mail needs, and what is wrong with those published."""

import click

from letterlock.cli.lazy import LazyCommand, LazyGroup

COMMANDS = {
    "records": LazyCommand("dns_records:records", "Give the records to publish for a domain."),
    "check": LazyCommand("dns_check:check", "Tell what is wrong with those that are published."),
}


@click.group(cls=LazyGroup, lazy=COMMANDS)
def dns() -> None:
    """Give the DNS records that mail needs, and check those that are there."""
