"""`letterlock tlsrpt`: reports on TLS (RFC 8460)."""

import click

from letterlock.cli.lazy import LazyCommand, LazyGroup

COMMANDS = {
    "collect": LazyCommand("tlsrpt_collect:collect", "Count what a Postfix tells of its sessions."),
    "fetch": LazyCommand("tlsrpt_fetch:fetch", "Give a day's counts, as tlsrpt-fetcher does."),
    "send": LazyCommand("tlsrpt_send:send", "Send the reports that are not sent yet."),
    "show": LazyCommand("tlsrpt_show:show", "Tell what reports say, and what is wrong with them."),
}


@click.group(cls=LazyGroup, lazy=COMMANDS)
def tlsrpt() -> None:
    """Read reports on TLS (RFC 8460), send our own, and count what a Postfix would report."""
