"""`letterlock ca incident create`: which certificates are affected, why, and until when."""

import re
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from letterlock.base.counts import format_count
from letterlock.cli.ca_certificates import REASONS
from letterlock.cli.ca_incident_text import INCIDENT_KEYS, describe_standing, format_standing
from letterlock.cli.ca_store import with_store
from letterlock.cli.failures import CommandFailed, ExitCode
from letterlock.cli.options import config_option, json_option, print_json
from letterlock.cli.progress import PROGRESS_SECONDS, SELDOM_SECONDS

if TYPE_CHECKING:
    from letterlock.base.clock import Clock
    from letterlock.base.config.sections import Config
    from letterlock.node.ca.incident_commands import Asked
    from letterlock.services.ca.incidents.changing import Collected
    from letterlock.services.ca.incidents.choosing import Choice
    from letterlock.storage.ca.store import AuthorityStore

GROUNDS = ("signing", "order", "request", "serial", "lint", "validation", "caa")
METHODS = ("http-01", "dns-01", "tls-alpn-01")
MAX_SERIALS = 10_000
# RFC 3986 §2 (characters), and short enough for a line of a mail (RFC 5322 §2.1.1).
_URL = re.compile(r"https?://[^\x00-\x20\"<>\\^`{|}\x7f-\U0010ffff]{1,900}\Z")
TIME_HELP = "A time in UTC, as 2026-03-06T12:00, or so long from now, as 5d."


@click.command()
@click.argument("serials", nargs=-1, metavar="[SERIAL]...")
@config_option
@json_option(INCIDENT_KEYS)
@click.option("--why", required=True, metavar="TEXT", help="Why, for everybody to read.")
@click.option("--url", metavar="URL", help="Where more stands. Default: a part of our status page.")
@click.option("--renew-by", required=True, metavar="TIME", help=TIME_HELP)
@click.option(
    "--reason",
    type=click.Choice(REASONS),
    default="superseded",
    show_default=True,
    help="What the CRL will say.",
)
@click.option(
    "--list",
    "lists",
    type=click.Path(path_type=Path),
    multiple=True,
    metavar="FILE",
    help="Serial numbers: one a line, CSV, a CRL. May be repeated.",
)
@click.option(
    "--missing",
    type=click.Choice(GROUNDS),
    multiple=True,
    help="Those for which the audit log lacks this. May be repeated: any of them.",
)
@click.option("--from", "issued_from", metavar="TIME", help="Those issued then or later.")
@click.option("--until", "issued_until", metavar="TIME", help="Those issued before then.")
@click.option("--account", metavar="ID", help="Those of this account.")
@click.option("--profile", metavar="NAME", help="Those of this profile.")
@click.option("--under", metavar="DOMAIN", help="Those with a name that is this or below it.")
@click.option("--method", type=click.Choice(METHODS), help="Those with a name validated by it.")
@click.option("--perspective", metavar="NAME", help="Those with a name validated from there.")
@click.option("--all", "is_all", is_flag=True, help="All certificates.")
@click.option("--enable", "is_enabled", is_flag=True, help="Enable it at once.")
def create(*, as_json: bool, config_path: Path | None, is_enabled: bool, **options: Any) -> int:
    """Make an incident of certificates that are to be revoked.

    They are those with a SERIAL, those on a list, or those for which all of the options hold.
    Nothing happens to them before `ca incident enable`. Exit code 1: none is affected.
    """
    _require_choice(options)
    progress = _Progress()

    async def do(config: "Config", store: "AuthorityStore", clock: "Clock") -> dict[str, Any]:
        from letterlock.node.ca import incident_commands as commands  # noqa: PLC0415 - not for -h
        from letterlock.services.ca.incidents.changing import IncidentError  # noqa: PLC0415 - too

        asked = _take(options, clock.now())
        try:
            standing = await commands.create_incident(config, store, clock, asked, progress.show)
            if is_enabled and standing.counts.affected:
                standing = await commands.enable_incident(store, clock, standing.incident.id)
        except IncidentError as error:
            raise CommandFailed(str(error), ExitCode.WRONG_USAGE) from None
        return describe_standing(standing)

    try:
        found = with_store(config_path, do)
    finally:
        progress.end()
    if (options["serials"] or options["lists"]) and progress.passed_over:
        count = format_count(
            progress.passed_over,
            "serial number is not ours, or has ended or is",
            "serial numbers are not ours, or have ended or are",
        )
        text = f"{count} revoked"
        click.echo(f"letterlock: note: {text}", err=True)
    if as_json:
        print_json(found)
    else:
        for line in format_standing(found):
            click.echo(line)
        if found["state"] == "ready" and found["affected"]:
            click.echo(f"next: letterlock ca incident enable {found['id']}")
    return ExitCode.FINE if found["affected"] else ExitCode.BAD_NEWS


def find_time(text: str, now: datetime) -> datetime:
    """Parse a moment in UTC, or a duration from now. Raises ValueError."""
    from letterlock.base.config.values import parse_duration  # noqa: PLC0415 - not loaded for -h

    try:
        return now + parse_duration(text)
    except ValueError:
        pass
    except OverflowError:
        raise ValueError("so far away is no time") from None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError('not a time, such as "2026-03-06T12:00" (UTC) or "5d"') from None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _require_choice(options: dict[str, Any]) -> None:
    """End the command where nothing was chosen, or in two ways."""
    named = options["serials"] or options["lists"]
    queried = [
        key
        for key in ("missing", "issued_from", "issued_until", "account", "profile", "under")
        if options[key]
    ] + [key for key in ("method", "perspective") if options[key]]
    if sum(map(bool, (named, queried, options["is_all"]))) != 1:
        raise click.UsageError(
            "say which: serial numbers and lists, or what they are like (--missing caa, "
            "--from TIME, ...), or --all"
        )
    if len(options["serials"]) > MAX_SERIALS:
        raise click.UsageError(f"more than {MAX_SERIALS} serial numbers: give them as --list FILE")


def _take(options: dict[str, Any], now: datetime) -> "Asked":
    from letterlock.node.ca.incident_commands import Asked  # noqa: PLC0415 - not loaded for -h
    from letterlock.protocols.incidents.serials import parse_serial  # noqa: PLC0415 - as above
    from letterlock.protocols.pki.issuance.revocation_lists import Reason  # noqa: PLC0415 - too

    url = options["url"]
    if url is not None and not _URL.match(url):
        raise CommandFailed(f"--url {url[:80]!r}: not an http URL", ExitCode.WRONG_USAGE)
    serials = [
        _parse("SERIAL", text, lambda each: parse_serial(each.encode()))
        for text in options["serials"]
    ]
    return Asked(
        why=options["why"],
        renew_by=_parse("--renew-by", options["renew_by"], lambda text: find_time(text, now)),
        reason=Reason[options["reason"].replace("-", "_").upper()],
        choice=_take_choice(options, now),
        page=url,
        serials=tuple(serials),
        lists=options["lists"],
    )


def _take_choice(options: dict[str, Any], now: datetime) -> "Choice":
    from letterlock.base.domains import parse_domain  # noqa: PLC0415 - not loaded for -h
    from letterlock.protocols.audit.evidence import Ground  # noqa: PLC0415 - as above
    from letterlock.services.ca.incidents.choosing import Choice  # noqa: PLC0415 - as above

    def take_time(option: str, key: str) -> datetime | None:
        text = options[key]
        return None if text is None else _parse(option, text, lambda each: find_time(each, now))

    under = options["under"]
    return Choice(
        lacks=tuple(Ground(each) for each in options["missing"]),
        issued_from=take_time("--from", "issued_from"),
        issued_until=take_time("--until", "issued_until"),
        account_id=options["account"],
        profile=options["profile"],
        under=_parse("--under", under, parse_domain) if under is not None else None,
        method=options["method"],
        perspective=options["perspective"],
    )


def _parse(what: str, text: str, parse: Any) -> Any:
    try:
        return parse(text)
    except ValueError as error:
        raise CommandFailed(f"{what} {text[:80]!r}: {error}", ExitCode.WRONG_USAGE) from None


class _Progress:
    """A line on standard error: how many certificates were looked at."""

    def __init__(self) -> None:
        self._is_live = sys.stderr.isatty()
        self._last = time.monotonic()
        self._is_shown = False
        self.passed_over = 0

    def show(self, found: "Collected") -> None:
        """Show it, if it is time to."""
        self.passed_over = found.looked_at - found.affected
        now = time.monotonic()
        if now - self._last < (PROGRESS_SECONDS if self._is_live else SELDOM_SECONDS):
            return
        self._last, self._is_shown = now, True
        text = f"{found.looked_at} looked at, {found.affected} affected"
        click.echo(f"\r\x1b[K{text}" if self._is_live else text, err=True, nl=not self._is_live)

    def end(self) -> None:
        """Clear the line, if there is one."""
        if self._is_live and self._is_shown:
            click.echo("\r\x1b[K", err=True, nl=False)
