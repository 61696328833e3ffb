"""`letterlock ca incident enable` and `withdraw`: it begins, and it is taken back."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from letterlock.cli.ca_incident_text import INCIDENT_KEYS, describe_standing, format_standing
from letterlock.cli.ca_store import with_store
from letterlock.cli.failures import CommandFailed, ExitCode
from letterlock.cli.options import config_option, json_option, print_json

if TYPE_CHECKING:
    from letterlock.base.clock import Clock
    from letterlock.base.config.sections import Config
    from letterlock.storage.ca.store import AuthorityStore


@click.command()
@click.argument("incident_id", metavar="ID")
@config_option
@json_option(INCIDENT_KEYS)
def enable(incident_id: str, config_path: Path | None, *, as_json: bool) -> int:
    """Enable an incident: from now on it is told, and what it affects is revoked.

    Clients that ask are told to renew at once (ARI), whatever the rate limits; contacts get a
    mail. What is replaced is revoked a while later, and at the deadline all that is left.
    """
    return _change(incident_id, config_path, "enable", as_json=as_json)


@click.command()
@click.argument("incident_id", metavar="ID")
@config_option
@json_option(INCIDENT_KEYS)
def withdraw(incident_id: str, config_path: Path | None, *, as_json: bool) -> int:
    """Take an incident back: nothing more is told or revoked. What was revoked stays so."""
    return _change(incident_id, config_path, "withdraw", as_json=as_json)


def _change(incident_id: str, config_path: Path | None, step: str, *, as_json: bool) -> int:
    async def do(config: "Config", store: "AuthorityStore", clock: "Clock") -> dict[str, Any]:
        from letterlock.node.ca import incident_commands as commands  # noqa: PLC0415 - not for -h
        from letterlock.services.ca.incidents.changing import IncidentError  # noqa: PLC0415 - too

        del config
        steps = {"enable": commands.enable_incident, "withdraw": commands.withdraw_incident}
        try:
            return describe_standing(await steps[step](store, clock, incident_id))
        except IncidentError as error:
            raise CommandFailed(str(error), ExitCode.BAD_NEWS) from None

    found = with_store(config_path, do)
    if as_json:
        print_json(found)
    else:
        for line in format_standing(found):
            click.echo(line)
    return ExitCode.FINE
