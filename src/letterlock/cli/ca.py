"""`letterlock ca`: an authority of our own, which issues certificates by ACME."""

import click

from letterlock.cli.lazy import LazyCommand, LazyGroup

COMMANDS = {
    "init": LazyCommand("ca_init:init", "Make an authority: settings, a root, an issuing key."),
    "serve": LazyCommand("ca_serve:serve", "Run the authority."),
    "list": LazyCommand("ca_certificates:list_", "List the certificates that it issued."),
    "revoke": LazyCommand("ca_certificates:revoke", "Revoke a certificate."),
    "halt": LazyCommand("ca_halt:halt", "Stop issuing, on all machines at once."),
    "resume": LazyCommand("ca_halt:resume", "Issue again."),
    "incident": LazyCommand("ca_incident:incident", "Certificates that are to be revoked."),
    "audit": LazyCommand("ca_audit:audit", "The log of all that was decided."),
    "unpause": LazyCommand("ca_unpause:unpause", "Let an account order a paused name again."),
    "nonces": LazyCommand("ca_nonces:nonces", "Nonces, after a clock that was ahead."),
    "new-issuer": LazyCommand("ca_new_issuer:new_issuer", "Make a further issuing key."),
    "root-crl": LazyCommand("ca_root_crl:root_crl", "Have the root sign its CRL for a year."),
    "account": LazyCommand("ca_account:account", "Accounts, and closing one."),
    "account-key": LazyCommand("ca_account_key:account_key", "Keys for accounts (EAB)."),
}


@click.group(cls=LazyGroup, lazy=COMMANDS)
def ca() -> None:
    """Run an authority of our own, which issues certificates by ACME."""
