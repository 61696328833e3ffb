"""`letterlock cert`: the certificates that the node gets and renews by itself."""

import click

from letterlock.cli.lazy import LazyCommand, LazyGroup

COMMANDS = {
    "list": LazyCommand("cert_list:list_certificates", "List our certificates, and what is next."),
    "show": LazyCommand("cert_list:show", "Show one certificate, and those before it."),
    "order": LazyCommand("cert_actions:order", "Get certificates that are not there yet."),
    "renew": LazyCommand("cert_actions:renew", "Renew a certificate now."),
    "rollover": LazyCommand("cert_actions:rollover", "Change a key in step with TLSA records."),
    "revoke": LazyCommand("cert_actions:revoke", "Revoke a certificate; another replaces it."),
}


@click.group(cls=LazyGroup, lazy=COMMANDS)
def cert() -> None:
    """Look after the certificates that the node gets and renews by itself."""
