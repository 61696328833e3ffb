"""`letterlock inbound`: how other servers send, seen at hosts that have faults."""

import click

from letterlock.cli.lazy import LazyCommand, LazyGroup

COMMANDS = {
    "records": LazyCommand("inbound_records:records", "Give the records to publish for it."),
    "new": LazyCommand("inbound_tests:new", "Make addresses for a test."),
    "list": LazyCommand("inbound_tests:list_tests", "List the tests."),
    "show": LazyCommand("inbound_tests:show", "Show how the sender of a test sends."),
}


@click.group(cls=LazyGroup, lazy=COMMANDS)
def inbound() -> None:
    """See how other servers send: addresses at hosts that have a fault each."""
