"""`letterlock ca list` and `ca revoke`: the certificates that our authority issued."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from letterlock.cli.ca_store import with_store
from letterlock.cli.failures import CommandFailed, ExitCode
from letterlock.cli.options import config_option, json_option, print_json

if TYPE_CHECKING:
    from datetime import datetime

    from letterlock.base.clock import Clock
    from letterlock.base.config.sections import Config
    from letterlock.storage.ca.kept import Issued
    from letterlock.storage.ca.store import AuthorityStore

REASONS = (
    "unspecified",
    "key-compromise",
    "affiliation-changed",
    "superseded",
    "cessation-of-operation",
    "privilege-withdrawn",
)
"""RFC 5280 §5.3.1, as far as the Baseline Requirements let it be."""

_KEYS = {
    "serial": "lower-case hex",
    "names": "every name in it",
    "status": "valid, expired or revoked",
    "not_before": "from when it is valid",
    "not_after": "until when",
    "issued": "when it was signed",
    "revoked": "when it was revoked, or null",
    "profile": "the profile that was asked for",
    "account": "whose it is",
    "order": "which order it came of",
    "replaced_by": "the order that replaces it, or null",
    "key_sha256": "of its key (SubjectPublicKeyInfo)",
}
_MAX_SHOWN = 3


@click.command("list")
@config_option
@json_option({f"certificates[].{key}": text for key, text in _KEYS.items()})
@click.option("--name", metavar="NAME", help="Those that have this name: a domain, *.DOMAIN, IP.")
@click.option("--account", metavar="ID", help="Those of this account.")
@click.option("--all", "has_ended", is_flag=True, help="Those that ended or were revoked, too.")
def list_(
    config_path: Path | None,
    name: str | None,
    account: str | None,
    *,
    has_ended: bool,
    as_json: bool,
) -> int:
    """List the certificates that our authority issued, and that are good."""

    async def do(config: "Config", store: "AuthorityStore", clock: "Clock") -> list[dict[str, Any]]:
        from letterlock.node.ca import commands  # noqa: PLC0415 - not loaded for -h

        del config
        wanted = commands.Wanted(commands.identify(name) if name else None, account, has_ended)
        found = commands.list_certificates(store, wanted, clock)
        return [_describe(each, clock.now()) async for each in found]

    try:
        certificates = with_store(config_path, do)
    except ValueError as error:
        raise CommandFailed(f"--name {str(name)[:80]!r}: {error}", ExitCode.WRONG_USAGE) from None
    if as_json:
        print_json({"certificates": certificates})
        return ExitCode.FINE
    for each in certificates:
        names = ", ".join(each["names"][:_MAX_SHOWN])
        more = f" and {len(each['names']) - _MAX_SHOWN} more" if each["names"][_MAX_SHOWN:] else ""
        click.echo(f"{each['serial']}  {each['not_after']}  {each['status']:7}  {names}{more}")
    if not certificates:
        click.echo("no certificates", err=True)
    return ExitCode.FINE


@click.command()
@click.argument("certificate")
@config_option
@json_option(
    {
        **{f"certificate.{key}": text for key, text in _KEYS.items()},
        "others": "how many more were revoked, because they have the same key",
    }
)
@click.option(
    "--reason",
    type=click.Choice(REASONS),
    default="unspecified",
    show_default=True,
    help="What the CRL says.",
)
def revoke(certificate: str, config_path: Path | None, reason: str, *, as_json: bool) -> int:
    """Revoke CERTIFICATE: a serial number in hexadecimal, or a file with the certificate.

    It is in the CRL within half a minute, where `ca serve` runs. With key-compromise all
    certificates for that key are revoked, and nobody gets one for it any more.
    """

    async def do(
        config: "Config", store: "AuthorityStore", clock: "Clock"
    ) -> tuple[dict[str, Any], int] | None:
        from letterlock.node.ca import commands  # noqa: PLC0415 - not loaded for -h
        from letterlock.protocols.pki.issuance.revocation_lists import Reason  # noqa: PLC0415 - too

        issued = await commands.find_issued(config, store, certificate)
        if issued is None:
            return None
        why = Reason[reason.replace("-", "_").upper()]
        found = await commands.revoke(store, issued, why, clock)
        return _describe(found.issued, clock.now()), found.others

    found = with_store(config_path, do)
    if found is None:
        message = f"{certificate[:100]}: our authority issued no such certificate"
        raise CommandFailed(message, ExitCode.BAD_NEWS)
    described, others = found
    if as_json:
        print_json({"certificate": described, "others": others})
    else:
        more = f", and {others} more with its key" if others else ""
        click.echo(f"{described['serial']}: revoked at {described['revoked']}{more}")
    return ExitCode.FINE


def _describe(issued: "Issued", now: "datetime") -> dict[str, Any]:
    from letterlock.base.clock import format_time  # noqa: PLC0415 - not loaded for -h
    from letterlock.protocols.incidents.serials import format_serial  # noqa: PLC0415 - as above

    found = issued.certificate
    status = "revoked" if found.revoked else "expired" if found.not_after < now else "valid"
    return {
        "serial": format_serial(found.name.serial),
        "names": [each.value for each in found.identifiers],
        "status": status,
        "not_before": format_time(found.not_before),
        "not_after": format_time(found.not_after),
        "issued": format_time(issued.issued),
        "revoked": format_time(found.revoked) if found.revoked else None,
        "profile": issued.profile,
        "account": found.account_id,
        "order": found.order_id,
        "replaced_by": found.replaced_by,
        "key_sha256": issued.spki_sha256.hex(),
    }
