"""`letterlock tlsrpt address`: where others may post reports on our domains."""

from pathlib import Path
from typing import TYPE_CHECKING

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
    from letterlock.base.domains import Domain

ADDRESS_KEYS = {
    "addresses[].domain": "one of `domains`",
    "addresses[].uri": "for `rua=` of its TLSRPT record",
}


@click.command()
@click.argument("domain", required=False)
@json_option(ADDRESS_KEYS)
@config_option
def address(*, domain: str | None, as_json: bool, config_path: Path | None) -> None:
    """Give the address for reports by HTTPS: of DOMAIN, or of each domain.

    It goes into the domain's TLSRPT record: `rua=mailto:...,https://...`. `dns records` has it
    there already. The secret in it is made now if no node has made it.
    """
    from letterlock.base.errors import LocalError  # noqa: PLC0415 - lazy, for -h
    from letterlock.node.posts import load_keys, make_address  # noqa: PLC0415 - as above

    config = load_config_or_fail(config_path)
    if not config.tlsrpt.posts.enabled:
        text = "reports are not taken by HTTPS: set `enabled = true` in [tlsrpt.posts]"
        raise CommandFailed(text)
    domains = config.domains if domain is None else (_take_domain(domain, config.domains),)
    act_as_owner(config.data_dir)
    try:
        key = load_keys(config)[0]
    except LocalError as error:
        raise CommandFailed(str(error)) from None
    found = {each: make_address(config, key, each) for each in domains}
    if as_json:
        addresses = [{"domain": each, "uri": uri} for each, uri in found.items()]
        print_json({"addresses": addresses})
        return
    for each, uri in found.items():
        click.echo(f"{each}  {uri}")


def _take_domain(text: str, domains: tuple["Domain", ...]) -> "Domain":
    from letterlock.base.domains import DomainError, parse_domain  # noqa: PLC0415 - lazy, for -h

    try:
        name = parse_domain(text)
    except DomainError as error:
        raise CommandFailed(f"DOMAIN {text!r}: {error}", ExitCode.WRONG_USAGE) from None
    if name not in domains:
        raise CommandFailed(f"{name} is not in `domains`", ExitCode.WRONG_USAGE)
    return name
