"""`letterlock tlsrpt`: reports on TLS (RFC 8460)."""

import click

from letterlock.cli.lazy import LazyCommand, LazyGroup

COMMANDS = {
    "address": LazyCommand("tlsrpt_address:address", "Give the addresses for reports by HTTPS."),
    "advise": LazyCommand("tlsrpt_advise:advise", "Tell if a policy can be enforced."),
    "alerts": LazyCommand("tlsrpt_alerts:alerts", "List what reports say is wrong now."),
    "collect": LazyCommand("tlsrpt_collect:collect", "Count what a Postfix tells of its sessions."),
    "fetch": LazyCommand("tlsrpt_fetch:fetch", "Give a day's counts, as tlsrpt-fetcher does."),
    "import": LazyCommand("tlsrpt_import:import_reports", "Keep the reports that others sent."),
    "list": LazyCommand("tlsrpt_list:list_reports", "List the reports that are kept."),
    "send": LazyCommand("tlsrpt_send:send", "Send the reports that are not sent yet."),
    "show": LazyCommand("tlsrpt_show:show", "Tell what reports say, and what is wrong with them."),
    "summary": LazyCommand("tlsrpt_summary:summary", "Add up what kept reports say of a domain."),
}


@click.group(cls=LazyGroup, lazy=COMMANDS)
def tlsrpt() -> None:
    """Read and keep reports on TLS (RFC 8460), send our own, count what a Postfix would report."""
