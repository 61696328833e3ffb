"""`letterlock log`: what mail servers wrote into their logs."""

import click

from letterlock.cli.lazy import LazyCommand, LazyGroup

COMMANDS = {
    "explain": LazyCommand("log_explain:explain", "Tell what became of mail, and what to mend."),
}


@click.group(cls=LazyGroup, lazy=COMMANDS)
def log() -> None:
    """Mail logs, of Postfix, of Exim and our own."""
