"""`letterlock policy`: what TLS mail to a domain must have, explained, and served to Postfix."""

import click

from letterlock.cli.lazy import LazyCommand, LazyGroup

COMMANDS = {
    "explain": LazyCommand("policy_explain:explain", "Tell what TLS mail must have, and why."),
    "test": LazyCommand("policy_explain:test", "The same, with a handshake with each host."),
    "serve": LazyCommand("policy_serve:serve", "Tell a Postfix which TLS its mail needs."),
}


@click.group(cls=LazyGroup, lazy=COMMANDS)
def policy() -> None:
    """Explain which TLS mail to a domain must have, and tell it to Postfix."""
