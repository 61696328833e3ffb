"""`letterlock table`: what tables about addresses say."""

import click

from letterlock.cli.lazy import LazyCommand, LazyGroup

COMMANDS = {
    "query": LazyCommand("table_query:query", "Look a key up, and tell what it comes to."),
}


@click.group(cls=LazyGroup, lazy=COMMANDS)
def table() -> None:
    """Look into aliases, virtual, transport and relay tables, which are text files as Postfix's."""
