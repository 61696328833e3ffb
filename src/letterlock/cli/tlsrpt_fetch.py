"""`letterlock tlsrpt fetch`: a day's counts for a tlsrpt-reportd, in the words of its fetcher."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import click

from letterlock.cli.options import config_option, load_config_or_fail


@click.command()
@click.argument("day", metavar="DAY", type=click.DateTime(["%Y-%m-%d"]))
@click.argument("domain", required=False, metavar="[DOMAIN]")
@config_option
def fetch(day: datetime, domain: str | None, config_path: Path | None) -> int:
    """Give the counts of a day, as tlsrpt-fetcher does: the domains, or those of one DOMAIN.

    For the setting `fetchers` of tlsrpt-reporter's tlsrpt-reportd. It reads the journal of
    `letterlock tlsrpt collect`, which may run or not.
    """
    config = load_config_or_fail(config_path)
    from letterlock.base.clock import SystemClock  # noqa: PLC0415 - lazy, for -h
    from letterlock.cli.tlsrpt_collect import load_counts  # noqa: PLC0415 - as above
    from letterlock.protocols.tlsrpt.fetcher import (  # noqa: PLC0415 - as above
        DomainList,
        format_details,
        format_domain_list,
    )

    asked: date = day.date()
    counts = load_counts(config.tlsrpt, asked)
    if domain is not None:
        click.echo(format_details(domain, counts.list_results(domain)), nl=False)
        return 0
    now = SystemClock().now().astimezone(UTC)
    # It is not asked again about a day of which it was told: one that goes on is not yet there.
    yesterday = now.date() - timedelta(days=1)
    domains = tuple(counts.list_domains()) if asked <= yesterday else ()
    click.echo(format_domain_list(DomainList(now, yesterday, domains)), nl=False)
    return 0
