"""`letterlock ca`: an authority of our own, which issues certificates by ACME."""

import click

from letterlock.cli.lazy import LazyCommand, LazyGroup

COMMANDS = {
    "init": LazyCommand("ca_init:init", "Make an authority: settings, a root, an issuing key."),
    "serve": LazyCommand("ca_serve:serve", "Run the authority."),
}


@click.group(cls=LazyGroup, lazy=COMMANDS)
def ca() -> None:
    """Run an authority of our own, which issues certificates by ACME."""
