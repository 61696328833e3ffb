"""`letterlock ca audit`: the log of all that our authority decided."""

import click

from letterlock.cli.lazy import LazyCommand, LazyGroup

COMMANDS = {
    "verify": LazyCommand("ca_audit_verify:verify", "Tell whether the log is as it was written."),
    "show": LazyCommand("ca_audit_show:show", "Show what was decided, and on which grounds."),
    "status": LazyCommand("ca_audit_verify:status", "Tell how far the authority's own audit is."),
}


@click.group("audit", cls=LazyGroup, lazy=COMMANDS)
def audit() -> None:
    """Read and verify the log of all that our authority decided."""
