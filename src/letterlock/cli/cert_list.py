"""`letterlock cert list` and `cert show`: our certificates, and what is next for each."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from letterlock.cli.failures import CommandFailed, ExitCode
from letterlock.cli.options import (
    act_as_owner,
    config_option,
    json_option,
    load_config_or_fail,
    print_json,
)

if TYPE_CHECKING:
    from letterlock.base.config.sections import Config
    from letterlock.node.certificate_desk import Desk
    from letterlock.node.web_listeners import WebListeners

T = TypeVar("T")

CERTIFICATE_KEYS = {
    "name": "a domain, a wildcard or an IP address",
    "key_type": "ecdsa or rsa",
    "wanted": "false: the settings do not name it any more, and it is not renewed",
    "certificate": "null: there is none yet",
    "certificate.serial": "lower-case hex",
    "certificate.names": "every name in it",
    "certificate.issuer": "who signed it",
    "certificate.not_before": "from when it is valid",
    "certificate.not_after": "until when",
    "certificate.days_left": "whole days",
    "certificate.spki_sha256": "of its key: what `3 1 1` TLSA records have",
    "certificate.authority": "the directory it came from",
    "certificate.issued": "when it came",
    "renewal.due": "whether it is to be renewed now",
    "renewal.at": "when it is, or was, to be renewed",
    "renewal.why": "what that follows from",
    "renewal.window": "start and end that the authority suggests, or null",
    "renewal.explanation": "the authority's page on why, or null",
    "renewal.next_try": "when an authority may be asked, after failures; null without one",
    "renewal.authority": "the one that is asked next, or null",
    "troubles[]": "failures in a row: authority, count, last, not_before, reason",
    "rollover": "null: the key is not being changed",
    "rollover.stage": "key-made, published, seen, issued or switched",
    "rollover.since": "when that stage began",
    "rollover.ready": "when the next one may begin, or null",
    "rollover.spki_sha256": "of the next key; at switched, of the key before",
    "rollover.note": "what is waited for, in words",
    "revoked": "when we learned that it is revoked, or null",
    "tlsa.state": "matches, mismatch, none, unknown or not-asked",
    "tlsa.base": "where its TLSA records are, or null",
    "tlsa.records": "those that are published, as in a zone file",
    "tlsa.reason": "the same in words, or null",
    "watched[]": "what nodes saw that is not as it should be: node, look, since, looked, reason",
    "problem": "the first of the problems, or null",
    "problems": "what somebody has to look at, a line each",
}


def _of_each(keys: dict[str, str]) -> dict[str, str]:
    return {f"certificates[].{key}": text for key, text in keys.items()}


no_dns_option = click.option(
    "--no-dns", is_flag=True, help="Do not look at TLSA records: nobody is asked anything."
)


@click.command("list")
@config_option
@json_option(_of_each(CERTIFICATE_KEYS))
@no_dns_option
def list_certificates(config_path: Path | None, *, no_dns: bool, as_json: bool) -> int:
    """List our certificates: issuer, end, when each is renewed and why, and its TLSA records.

    Exits with 1 when one of them has a problem.
    """
    from letterlock.cli.cert_text import format_list  # noqa: PLC0415 - not loaded for -h
    from letterlock.services.certify.overview import describe_overview  # noqa: PLC0415 - as above

    config = load_managing_config(config_path)

    async def look(desk: "Desk") -> list[dict[str, Any]]:
        overviews = await desk.list_overviews(has_dns=not no_dns)
        return [describe_overview(each, desk.now()) for each in overviews]

    described = run_at_desk(config, look)
    if as_json:
        print_json({"certificates": described})
    else:
        click.echo("\n".join(format_list(described)))
    has_problem = any(each["problem"] for each in described)
    return ExitCode.BAD_NEWS if has_problem else ExitCode.FINE


@click.command()
@config_option
@json_option(
    {
        **_of_each(CERTIFICATE_KEYS),
        "certificates[].chain": "PEM, the leaf first; null: there is none yet",
        "certificates[].history[]": "those of before: serial, issued, not_after, revoked, "
        "authority, fingerprint (SHA-256)",
    }
)
@no_dns_option
@click.argument("name")
def show(name: str, config_path: Path | None, *, no_dns: bool, as_json: bool) -> int:
    """Show the certificate of NAME, one for each type of key, and all that came before it."""
    from letterlock.base.clock import format_time  # noqa: PLC0415 - not loaded for -h
    from letterlock.cli.cert_text import format_certificate  # noqa: PLC0415 - as above
    from letterlock.services.certify.overview import describe_overview  # noqa: PLC0415 - as above

    config = load_managing_config(config_path)

    async def look(desk: "Desk") -> list[dict[str, Any]]:
        described = []
        for state in await desk.find(name):
            document = describe_overview(await desk.look(state, has_dns=not no_dns), desk.now())
            chain = await desk.load_chain(state.id)
            document["chain"] = chain.decode("ascii") if chain is not None else None
            document["history"] = [
                {
                    "serial": each.serial,
                    "issued": format_time(each.issued),
                    "not_after": format_time(each.not_after),
                    "revoked": format_time(each.revoked) if each.revoked is not None else None,
                    "authority": each.directory,
                    "fingerprint": each.fingerprint,
                }
                for each in await desk.list_issued(state.id)
            ]
            described.append(document)
        return described

    described = run_at_desk(config, look)
    if not described:
        raise CommandFailed(
            f"{name}: no certificate of ours; `letterlock cert list` has them", ExitCode.BAD_NEWS
        )
    if as_json:
        print_json({"certificates": described})
    else:
        click.echo("\n\n".join("\n".join(format_certificate(each)) for each in described))
    has_problem = any(each["problem"] for each in described)
    return ExitCode.BAD_NEWS if has_problem else ExitCode.FINE


def load_managing_config(path: Path | None) -> "Config":
    """Read the configuration; ends the command when the node gets no certificates by it."""
    from letterlock.base.config.faults import SettingFaults  # noqa: PLC0415 - not loaded for -h
    from letterlock.base.config.load import find_config  # noqa: PLC0415 - as above
    from letterlock.node.certificate_faults import find_certificate_faults  # noqa: PLC0415 - as above

    config = load_config_or_fail(path)
    if faults := find_certificate_faults(config):
        placed = find_config(path).place(SettingFaults(faults))
        raise CommandFailed(str(placed), ExitCode.WRONG_USAGE)
    if not config.certificates.authorities:
        raise CommandFailed(
            "certificates.authorities is not set, so the node gets no certificates by itself; "
            "docs/guide/certificates.md says how, and `letterlock status` how those of "
            "tls.certificates stand",
            ExitCode.WRONG_USAGE,
        )
    return config


def run_at_desk(
    config: "Config",
    work: "Callable[[Desk], Awaitable[T]]",
    tell: Callable[[str], None] = lambda _: None,
    listeners: "WebListeners | None" = None,
) -> T:
    """Do a command's work with the store; what keeps it from that ends the command."""
    from letterlock.base.clock import SystemClock  # noqa: PLC0415 - not loaded for -h
    from letterlock.node.certificate_desk import opened_desk  # noqa: PLC0415 - as above
    from letterlock.storage.queue import StoreUnavailable  # noqa: PLC0415 - as above

    async def run() -> T:
        async with opened_desk(config, SystemClock(), tell, listeners) as desk:
            return await work(desk)

    act_as_owner(config.data_dir)
    try:
        return asyncio.run(run())
    except StoreUnavailable as error:
        who = "; run this as the node's user or as root" if "ermission" in str(error) else ""
        raise CommandFailed(f"certificates: {error}{who}", ExitCode.UNDECIDED) from None
