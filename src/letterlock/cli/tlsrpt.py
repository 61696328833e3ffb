"""`letterlock tlsrpt`: reports on TLS (RFC 8460)."""

import click

from letterlock.cli.lazy import LazyCommand, LazyGroup

COMMANDS = {
    "show": LazyCommand("tlsrpt_show:show", "Tell what reports say, and what is wrong with them."),
}


@click.group(cls=LazyGroup, lazy=COMMANDS)
def tlsrpt() -> None:
    """Read reports on TLS (RFC 8460)."""
