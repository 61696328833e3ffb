"""`letterlock policy`: what TLS mail to a domain must have, explained, and served to Postfix."""

import click

from letterlock.cli.lazy import LazyCommand, LazyGroup

COMMANDS: dict[str, LazyCommand] = {}


@click.group(cls=LazyGroup, lazy=COMMANDS)
def policy() -> None:
    """Explain which TLS mail to a domain must have, and tell it to Postfix."""
