"""`letterlock ca root-crl`: the root's list of revoked authorities, signed for another year."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from letterlock.cli.ca_root import make_place, root_options
from letterlock.cli.ca_store import with_store
from letterlock.cli.failures import ExitCode
from letterlock.cli.options import config_option, json_option, print_json

if TYPE_CHECKING:
    from letterlock.base.clock import Clock
    from letterlock.base.config.sections import Config
    from letterlock.node.ca.root_work import RevokedFile
    from letterlock.storage.ca.kept import KeptCrl
    from letterlock.storage.ca.store import AuthorityStore

REASONS = ("key-compromise", "superseded", "cessation-of-operation")


@click.command("root-crl")
@config_option
@json_option({"number": "the CRL's number", "next_update": "until when it counts"})
@root_options
@click.option(
    "--revoke",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The certificate of an authority below the root that is not to be believed any more.",
)
@click.option(
    "--reason",
    type=click.Choice(REASONS),
    default="key-compromise",
    show_default=True,
    help="Why it is revoked.",
)
def root_crl(  # noqa: PLR0913 - each is an option
    config_path: Path | None,
    key: Path,
    passphrase_file: Path,
    root: Path | None,
    revoke: Path | None,
    reason: str,
    *,
    as_json: bool,
) -> int:
    """Have the root sign its CRL for another year.

    Programs that verify strictly do not believe an authority whose root's CRL has ended; `ca serve`
    says so 60 days before. With --revoke an authority below it is put on it, for good. Take the key
    away again afterwards.
    """

    async def do(config: "Config", store: "AuthorityStore", clock: "Clock") -> "KeptCrl":
        from letterlock.node.ca.root_work import renew_root_crl  # noqa: PLC0415 - not loaded for -h

        place = make_place(key, passphrase_file, root)
        return await renew_root_crl(config, store, place, clock, _find_revoked(revoke, reason))

    crl = with_store(config_path, do)
    from letterlock.base.clock import format_time  # noqa: PLC0415 - not loaded for -h

    ends = format_time(crl.period.next_update)
    if as_json:
        print_json({"number": crl.period.number, "next_update": ends})
    else:
        click.echo(f"CRL {crl.period.number} of the root counts until {ends}")
    return ExitCode.FINE


def _find_revoked(path: Path | None, reason: str) -> "RevokedFile | None":
    if path is None:
        return None
    from letterlock.node.ca.commands import find_operator  # noqa: PLC0415 - not loaded for -h
    from letterlock.node.ca.root_work import RevokedFile  # noqa: PLC0415 - as above
    from letterlock.protocols.pki.issuance.revocation_lists import Reason  # noqa: PLC0415 - lazy, for -h

    why = Reason[reason.upper().replace("-", "_")]
    return RevokedFile(path, why, find_operator())
