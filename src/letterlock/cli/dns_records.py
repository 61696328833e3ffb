"""`letterlock dns records`: what to publish, exactly as it is pasted into a zone."""

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
    from letterlock.base.config.sections import Config
    from letterlock.base.domains import Domain

MAX_NAMES = 3

RECORD_KEYS = {
    "records[].kind": "what it is for: mx, address, ptr, spf, dkim, dmarc, mta-sts, policy-host, "
    "tlsrpt, tlsa or caa",
    "records[].name": "where it stands",
    "records[].type": "its type: MX, A, AAAA, PTR, TXT, CNAME, TLSA or CAA",
    "records[].ttl": "seconds",
    "records[].value": "the rest, as in a zone file",
    "records[].line": "the whole line of a zone file",
    "records[].reason": "what it is good for",
    "records[].complete": "false: the value says in words what only you know, or it is not to be "
    "published yet: see the reason",
}


@click.command()
@config_option
@json_option(
    {
        "domain": "what was asked about",
        **RECORD_KEYS,
        "notes": "what is not among the records, and why",
    }
)
@click.argument("domain", required=False)
def records(domain: str | None, config_path: Path | None, *, as_json: bool) -> None:
    """Give the DNS records to publish for DOMAIN and for this host, as lines of a zone file.

    DOMAIN is one of `domains` in the configuration, and need not be named where there is one only.
    What is published is not looked at: that is `dns check`. A line that begins with `;` is a
    comment, or is not to be published as it is: the line above says why.
    """
    from letterlock.base.clock import SystemClock  # noqa: PLC0415 - not loaded for -h
    from letterlock.node.dns_checking import run_plan  # noqa: PLC0415 - as above
    from letterlock.node.publishing import find_chains  # noqa: PLC0415 - as above
    from letterlock.services.publish.document import describe_record  # noqa: PLC0415 - as above
    from letterlock.services.publish.records import format_zone  # noqa: PLC0415 - as above

    named = take_domain(domain)
    config = load_config_or_fail(config_path)
    name = named or choose_domain(config)
    if name not in config.domains:
        raise CommandFailed(
            f"{name} is not in `domains`, so that its hosts and keys are not known here; "
            f"`letterlock dns check {name}` tells what can be told without",
            ExitCode.WRONG_USAGE,
        )
    chains = find_chains(config)
    act_as_owner(config.data_dir)
    plan = run_plan(config, name, chains, SystemClock())
    if as_json:
        described = [describe_record(record) for record in plan.records]
        print_json({"domain": name, "records": described, "notes": list(plan.notes)})
    else:
        click.echo(format_zone(plan.records, plan.notes), nl=False)


def take_domain(text: str | None) -> "Domain | None":
    """Take DOMAIN, None where it was not named; ends the command when it is none."""
    from letterlock.base.domains import DomainError, parse_domain  # noqa: PLC0415 - as above

    try:
        return None if text is None else parse_domain(text)
    except DomainError as error:
        raise CommandFailed(f"DOMAIN {text!r}: {error}", ExitCode.WRONG_USAGE) from None


def choose_domain(config: "Config") -> "Domain":
    """Give the domain of a node that has one; ends the command where it has to be named."""
    if len(config.domains) == 1:
        return config.domains[0]
    ours = ", ".join(config.domains[:MAX_NAMES])
    more = ", and others" if len(config.domains) > MAX_NAMES else ""
    reason = f"this node has {ours}{more}" if ours else "there is no configuration that has one"
    raise CommandFailed(f"name a DOMAIN: {reason}", ExitCode.WRONG_USAGE)
