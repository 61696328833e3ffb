"""`letterlock ca incident`: certificates of our own authority that are to be revoked."""

import click

from letterlock.cli.lazy import LazyCommand, LazyGroup

COMMANDS = {
    "create": LazyCommand("ca_incident_create:create", "Say what is affected, why, until when."),
    "enable": LazyCommand("ca_incident_change:enable", "Tell clients and people, and revoke."),
    "withdraw": LazyCommand("ca_incident_change:withdraw", "Take one back that is none."),
    "status": LazyCommand("ca_incident_status:status", "Tell how far incidents are."),
    "list": LazyCommand("ca_incident_status:list_", "List what an incident affects, as CSV."),
}


@click.group("incident", cls=LazyGroup, lazy=COMMANDS)
def incident() -> None:
    """Find, tell, replace and revoke certificates of ours that are wrong."""
