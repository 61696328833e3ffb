"""`letterlock user`: accounts that may submit mail."""

import click

from letterlock.cli.lazy import LazyCommand, LazyGroup

COMMANDS = {
    "add": LazyCommand("user_actions:add", "Add an account."),
    "list": LazyCommand("user_actions:list_users", "List the accounts."),
    "change": LazyCommand("user_actions:change", "Change an account: its password, say."),
    "delete": LazyCommand("user_actions:delete", "Delete an account."),
}


@click.group(cls=LazyGroup, lazy=COMMANDS)
def user() -> None:
    """Keep the accounts of those who submit mail through this node (ports 465 and 587)."""
