"""`letterlock caa`: what a domain's CAA records let an authority do."""

import click

from letterlock.cli.lazy import LazyCommand, LazyGroup

COMMANDS = {
    "check": LazyCommand("caa_check:check", "Tell whether an authority may issue for names."),
}


@click.group(cls=LazyGroup, lazy=COMMANDS)
def caa() -> None:
    """Tell which certificates CAA records allow."""
