"""`letterlock dns check`: what is wrong with the DNS records that mail to a domain needs."""

from pathlib import Path

import click

from letterlock.cli.dns_records import RECORD_KEYS, choose_domain, take_domain
from letterlock.cli.failures import ExitCode
from letterlock.cli.options import (
    act_as_owner,
    config_option,
    find_config_or_defaults,
    json_option,
    print_json,
    resolver_option,
    take_resolver,
    use_resolver,
)

CHECK_KEYS = {
    "domain": "what was asked about",
    "configured": "whether it is one of `domains` here, so that its hosts and keys are known",
    "verdict": "fine, faults (an error or warning), or undecidable: lookups nobody answered",
    "resolver.address": "who is asked DNS",
    "resolver.trusted": "whether its DNSSEC result is believed",
    "resolver.self_test": "passed, failed, untrusted, or undecided",
    "resolver.reason": "whether it can be told what is signed, and what to change when it can't",
    "findings[].code": "what was found: a word that does not change, in the guide on DNS records",
    "findings[].severity": "error, warning or note",
    "findings[].name": "where in DNS",
    "findings[].text": "what is wrong, in words",
    "findings[].fix": "what to do; empty where there is nothing",
    **RECORD_KEYS,
    "records[].state": "right, missing, differs or unknown",
    "records[].found": "what stands there, as in a zone file",
    "renewals[].host": "one for each certificate of a host that has TLSA records",
    "renewals[].outcomes": "whether mail with DANE still comes (kept, open, lost) after renewing "
    "with the same-key, the next-key, a new-key, or by a new-issuer",
    "renewals[].records[].record": "a TLSA record",
    "renewals[].records[].matches": "which certificate of the chain it matches now: 0 is the leaf; "
    "null: none",
    "renewals[].records[].fates": "the same of this record",
    "undecided": "lookups that nobody answered",
    "notes": "what else is to be known, in words",
}
_EXIT_CODES = {
    "fine": ExitCode.FINE,
    "faults": ExitCode.BAD_NEWS,
    "undecidable": ExitCode.UNDECIDED,
}


@click.command()
@config_option
@resolver_option
@json_option(CHECK_KEYS)
@click.argument("domain", required=False)
def check(
    domain: str | None, config_path: Path | None, resolver: str | None, *, as_json: bool
) -> int:
    """Tell what is wrong with the DNS records for mail to DOMAIN, and what to publish instead.

    It asks DNS, and fetches the MTA-STS policy; no mail server is spoken to. DOMAIN need not be
    ours: then the records are looked at by themselves. It need not be named where the configuration
    has one only. Exit code 0: fine; 1: an error or a warning was found; 3: nothing was, but some
    lookups were not answered.
    """
    from letterlock.base.clock import SystemClock  # noqa: PLC0415 - lazy, for -h
    from letterlock.cli.dns_text import format_report  # noqa: PLC0415 - as above
    from letterlock.node.dns_checking import run_check  # noqa: PLC0415 - as above
    from letterlock.node.publishing import find_chains  # noqa: PLC0415 - as above

    named = take_domain(domain)
    address = take_resolver(resolver)
    config, notes = find_config_or_defaults(config_path, is_owner_later=True)
    name = named or choose_domain(config)
    chains = find_chains(config) if name in config.domains else ()
    act_as_owner(config.data_dir)
    config = use_resolver(config, address)
    document = run_check(config, name, chains, SystemClock())
    document["notes"] = [*notes, *document["notes"]]
    if as_json:
        print_json(document)
    else:
        click.echo("\n".join(format_report(document)))
    return _EXIT_CODES[document["verdict"]]
