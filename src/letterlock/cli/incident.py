"""`letterlock incident`: certificates that an authority must revoke, and whose they are."""

import click

from letterlock.cli.lazy import LazyCommand, LazyGroup

COMMANDS = {
    "check": LazyCommand("incident_check:check", "Tell whether certificates are on a list."),
}


@click.group(cls=LazyGroup, lazy=COMMANDS)
def incident() -> None:
    """Tell whether an incident affects certificates."""
