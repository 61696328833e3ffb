"""`letterlock ca root-crl`: the root's list of revoked authorities, signed for another year."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from letterlock.cli.ca_store import with_store
from letterlock.cli.failures import ExitCode
from letterlock.cli.options import config_option, json_option, print_json

if TYPE_CHECKING:
    from letterlock.base.clock import Clock
    from letterlock.base.config.sections import Config
    from letterlock.storage.ca.kept import KeptCrl
    from letterlock.storage.ca.store import AuthorityStore


@click.command("root-crl")
@config_option
@json_option({"number": "the CRL's number", "next_update": "until when it counts"})
@click.option(
    "--key",
    required=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The root's key, out of its safe.",
)
@click.option(
    "--passphrase-file",
    required=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The file with its passphrase.",
)
def root_crl(config_path: Path | None, key: Path, passphrase_file: Path, *, as_json: bool) -> int:
    """Have the root sign its CRL for another year.

    Programs that verify strictly do not believe an authority whose root's CRL has ended; `ca serve`
    says so 60 days before. Take the key away again afterwards.
    """

    async def do(config: "Config", store: "AuthorityStore", clock: "Clock") -> "KeptCrl":
        from letterlock.node.ca.making import renew_root_crl  # noqa: PLC0415 - not loaded for -h
        from letterlock.services.ca.keys.opening import KeyFile  # noqa: PLC0415 - as above

        return await renew_root_crl(config, store, KeyFile(key, passphrase_file), clock)

    crl = with_store(config_path, do)
    from letterlock.base.clock import format_time  # noqa: PLC0415 - not loaded for -h

    ends = format_time(crl.period.next_update)
    if as_json:
        print_json({"number": crl.period.number, "next_update": ends})
    else:
        click.echo(f"CRL {crl.period.number} of the root counts until {ends}")
    return ExitCode.FINE
