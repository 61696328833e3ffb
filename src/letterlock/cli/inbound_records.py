"""`letterlock inbound records`: what to publish for an inbound test, wrong records included."""

from pathlib import Path

import click

from letterlock.cli.dns_records import RECORD_KEYS
from letterlock.cli.inbound_tests import load_testing_config
from letterlock.cli.options import config_option, json_option, print_json


@click.command()
@config_option
@json_option(
    {
        "domain": "the domain of the test",
        **RECORD_KEYS,
        "certificate_names[]": "the names that the certificates must have",
        "other_names[]": "the names that they must not have",
        "notes": "what is not among the records, and why",
    }
)
def records(config_path: Path | None, *, as_json: bool) -> None:
    """Give the DNS records to publish for the inbound test, as lines of a zone file.

    Some of them are wrong on purpose. The zone has to be signed (DNSSEC), or no sender looks at the
    TLSA record.
    """
    from ipaddress import ip_address  # noqa: PLC0415 - not loaded for -h

    from letterlock.node.inbound import find_offered  # noqa: PLC0415 - not loaded for -h
    from letterlock.protocols.inbound.cases import HostNames, Place  # noqa: PLC0415 - as above
    from letterlock.services.observe.records import plan_records  # noqa: PLC0415 - as above
    from letterlock.services.publish.document import describe_record  # noqa: PLC0415 - as above
    from letterlock.services.publish.records import format_zone  # noqa: PLC0415 - as above

    config, domain = load_testing_config(config_path)
    names, offered = HostNames(domain), find_offered(config.inbound)
    web = list(dict.fromkeys(each.host for each in config.inbound.listen_https))
    notes = [
        f"{place.value}: none, since it has no address" for place in Place if place not in offered
    ]
    if not web:
        notes.append("sts and the page: none, since inbound.listen_https is not set")
    notes.append("the zone must be signed (DNSSEC), or no sender looks at the TLSA record")
    notes.append(f"inbound.certificates must have the names {', '.join(names.certified)}")
    notes.append(f"they must not have the names {', '.join(names.uncertified)}")
    planned = plan_records(names, offered, [ip_address(each) for each in web])
    if as_json:
        print_json(
            {
                "domain": domain,
                "records": [describe_record(each) for each in planned],
                "certificate_names": list(names.certified),
                "other_names": list(names.uncertified),
                "notes": notes,
            }
        )
    else:
        click.echo(format_zone(planned, notes), nl=False)
