"""`letterlock policy`: what TLS mail to a domain must have, explained, and served to Postfix."""

import click

from letterlock.cli.lazy import LazyCommand, LazyGroup

COMMANDS = {
    "serve": LazyCommand("policy_serve:serve", "Tell a Postfix which TLS its mail needs."),
}


@click.group(cls=LazyGroup, lazy=COMMANDS)
def policy() -> None:
    """Explain which TLS mail to a domain must have, and tell it to Postfix."""
