"""`letterlock check`: any domain as its senders see it."""

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from letterlock.cli.check_deep import DEEP_KEYS, DeepChoice, deep_options
from letterlock.cli.check_dnssec import dnssec_option
from letterlock.cli.check_keys import BESIDE_KEYS
from letterlock.cli.check_run import KeptRun, find_state_folder, run_options
from letterlock.cli.check_said import PROBE_KEYS
from letterlock.cli.check_watch import WatchChoice, refuse_mixed, watch_domains, watch_options
from letterlock.cli.failures import CommandFailed, ExitCode
from letterlock.cli.options import (
    config_option,
    find_config_or_defaults,
    json_option,
    resolver_option,
    take_resolver,
    use_resolver,
)
from letterlock.cli.progress import ProgressBar

if TYPE_CHECKING:
    from letterlock.base.clock import Clock
    from letterlock.cli.check_page import Page
    from letterlock.node.checking import Asked

CHECK_KEYS = {
    "domain": "the domain or HOST:PORT; with several, the answer is a list of such documents",
    "mx_status": "the DNSSEC state of its MX records: secure, insecure, bogus, failed; null: none",
    "no_route": "why there is nowhere to deliver to, or null",
    "hosts[].name": "an MX host; null: the domain's own address",
    "hosts[].preference": "of its MX record",
    "hosts[].error": "why it has no address, or null",
    "hosts[].tlsa": "its TLSA records, as in a zone file",
    "hosts[].tlsa_status": "usable, unusable, none, insecure or failed; null: not looked up",
    "hosts[].addresses[].ip": "an address of it",
    "hosts[].addresses[].state": "ok, finding, blocked (by it), unreachable or not tested",
    "hosts[].addresses[].detail": "what came of it, in one line",
    **PROBE_KEYS,
    "mta_sts": "the record and the policy, or null",
    "tlsrpt": "the record, where reports go, what is wrong with it; or null",
    "findings[].id": "what was found; the words stay",
    "findings[].severity": "critical, warning, notice or info",
    "findings[].where": "a host with its address, a host, or a name in DNS",
    "findings[].evidence": "what was seen",
    "findings[].rfc": "where it is said how it should be, or null",
    "findings[].fix": "what to do, or empty",
    "verdicts[].sender": "a kind of sender",
    "verdicts[].who": "who sends so",
    "verdicts[].relay": "the host that it rests on, or null",
    "verdicts[].outcome": "authenticated, encrypted, clear, defer, bounce or undecidable",
    "verdicts[].result_type": "what that sender would report (RFC 8460), or null",
    "verdicts[].reason_code": "the same, more exactly, or null",
    "verdicts[].reason": "why",
    "verdicts[].is_chain_trusted": "whether the certificates lead to an authority that is trusted",
    "verdicts[].matched_name": "the certificate's name that was wanted, or null",
    "verdicts[].tlsa": "the TLSA record that was met, or null",
    "undecided[]": "lookups that nobody answered",
    "diff": "only with --diff; null: there is no earlier run",
    "diff.since": "when the earlier run was",
    "diff.new[]": "findings that were not there, as above",
    "diff.gone[]": "findings that are there no longer, as above",
    "diff.changed[]": "findings of another severity, as above; `before` is the one they had",
    "diff.verdicts[].sender": "a kind of sender whose mail fares otherwise",
    "diff.verdicts[].before": "its outcome then, or null",
    "diff.verdicts[].now": "its outcome now",
    "asked_from_itself": "whether a host is this one: then it is not seen what others can reach",
    "resolver": "what was asked, and whether its word on DNSSEC counts",
    **BESIDE_KEYS,
    **DEEP_KEYS,
}
MAX_DOMAINS = 10_000
_BAD = frozenset({"critical", "warning"})


@click.command()
@click.argument("domains", nargs=-1, metavar="DOMAIN... | HOST:PORT...")
@click.option(
    "--starttls",
    type=click.Choice(["smtp", "imap", "pop3"]),
    help="What HOST:PORT speaks before TLS. Default: as is usual on that port.",
)
@click.option("--tls", "is_tls", is_flag=True, help="On HOST:PORT TLS comes first.")
@click.option(
    "--file",
    "list_path",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="FILE",
    help="Check the domains in this file, too: one a line.",
)
@click.option(
    "--days",
    type=click.IntRange(min=0, max=1000),
    default=21,
    metavar="N",
    help="Tell of certificates that end within N days. Default: 21.",
)
@click.option(
    "--connections",
    type=click.IntRange(min=1, max=12),
    default=3,
    metavar="N",
    help="Make at most N connections to one port of an address. Default: 3.",
)
@click.option(
    "--pace",
    type=click.FloatRange(min=0, max=60),
    default=1.0,
    metavar="SECONDS",
    help="Wait so long between two connections to one port of an address. Default: 1.",
)
@click.option(
    "--timeout",
    "seconds",
    type=click.FloatRange(min=0.1, max=300),
    default=20.0,
    metavar="SECONDS",
    help="How long a step of a connection may take. Default: 20.",
)
@click.option(
    "--html",
    "html_path",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write the answer to this file, too, as a page: without scripts, and for printing.",
)
@click.option(
    "--verbose",
    "is_verbose",
    is_flag=True,
    help="Show of each connection when it was, how long its steps took, and what was said.",
)
@click.option(
    "--diff",
    "is_diff",
    is_flag=True,
    help="Tell what is different from the last run with --diff.",
)
@run_options
@watch_options
@deep_options
@dnssec_option
@json_option(CHECK_KEYS)
@resolver_option
@config_option
def check(  # noqa: PLR0913 - each is an option
    domains: tuple[str, ...],
    *,
    starttls: str | None,
    is_tls: bool,
    list_path: Path | None,
    days: int,
    connections: int,
    pace: float,
    seconds: float,
    html_path: Path | None,
    is_verbose: bool,
    is_diff: bool,
    retries: int,
    retry_after: float,
    is_resumed: bool,
    watch: WatchChoice,
    deep: DeepChoice,
    is_dnssec: bool,
    resolver: str | None,
    config_path: Path | None,
    as_json: bool,
) -> int:
    """Check domains as their senders see them.

    Each MX host is asked on each of its addresses, as a correct sender asks, without SNI and with a
    name that it cannot know; what is published is looked up; and for each kind of sender it is said
    whether its mail would arrive, by the code that delivers. MAIL is never said, but for
    --i-own-this.

    HOST:PORT is one service, which need not be an MX host's: certificates and names alone.

    Exit code 1: something is wrong (critical or warning); 3: it could not be told; 0: nothing is.
    """
    from letterlock.base.clock import SystemClock  # noqa: PLC0415 - as above
    from letterlock.cli.check_page import Page  # noqa: PLC0415 - as above
    from letterlock.node.checking import CheckOptions, run  # noqa: PLC0415 - as above
    from letterlock.services.check.repeating import Patience  # noqa: PLC0415 - as above

    address = take_resolver(resolver)
    config, notes = find_config_or_defaults(config_path)
    if starttls and is_tls:
        raise click.UsageError("--starttls and --tls cannot both be")
    speech = "tls" if is_tls else starttls
    places = dict.fromkeys(domains, "")
    for text, place in _read_list(list_path):
        places.setdefault(text, place)
    asked = _take_all(places, config.deliver.port, speech)
    config = use_resolver(config, address)
    clock = SystemClock()
    refuse_mixed(
        watch,
        (
            ("--diff", is_diff),
            ("--html", html_path),
            ("--resume", is_resumed),
            ("--verbose", is_verbose),
            # A hundred connections each hour are not polite, nor is half a look a change.
            ("--deep", deep.is_deep),
            ("--i-own-this", deep.is_owner),
        ),
    )
    title = asked[0].name if len(asked) == 1 else f"{len(asked)} domains"
    page = Page(html_path, title, clock) if html_path is not None else None
    teller = _Teller(
        len(asked),
        ProgressBar(clock, "checking"),
        page,
        as_json=as_json,
        is_verbose=is_verbose,
    )
    kept = KeptRun(asked, (connections, days, is_diff, deep, is_dnssec), clock)
    patience = Patience(retries, retry_after)
    deeply = deep.begin(asked, pace)
    options = CheckOptions(
        connections, pace, seconds, days, patience, teller.note, deeply, is_dnssec
    )
    if watch.is_wanted:
        watch_domains(config, asked, options, watch, clock, as_json=as_json)
        return ExitCode.FINE

    def tell(document: dict[str, Any]) -> None:
        kept.keep(document)
        teller.tell(document)

    is_complete = False
    try:
        left = kept.begin(teller.tell, is_resumed=is_resumed)
        run(config, left, options, clock, _Differ(clock, tell).tell if is_diff else tell)
        is_complete = True
    finally:
        teller.end()
        kept.end(teller.done, is_complete=is_complete)
        if page is not None:
            page.finish() if is_complete else page.drop()
    for note in notes:
        click.echo(f"letterlock: note: {note}", err=True)
    return teller.code


def _take_all(places: Mapping[str, str], port: int, speech: str | None) -> "list[Asked]":
    """Take what is to be checked, each with the place in a file where it stands."""
    if not places:
        raise click.UsageError("give a domain, a HOST:PORT, or --file")
    if len(places) > MAX_DOMAINS:
        raise click.UsageError(f"more than {MAX_DOMAINS} in one run")
    return [_take(text, place, port, speech) for text, place in places.items()]


def _take(text: str, place: str, port: int, speech: str | None) -> "Asked":
    from letterlock.node.checking import Asked  # noqa: PLC0415 - lazy, for -h
    from letterlock.protocols.check.openings import PORTS, Speech  # noqa: PLC0415 - as above
    from letterlock.services.discover.next_hop import (  # noqa: PLC0415 - as above
        NextHopError,
        parse_next_hop,
    )

    try:
        next_hop = parse_next_hop(text.rpartition("@")[2], port)
        if next_hop.domain is not None and not next_hop.is_bracketed and not next_hop.is_port_given:
            return Asked(next_hop.key, next_hop)
        host = next_hop.domain or next_hop.address
        service = parse_next_hop(f"[{host}]:{next_hop.port}")
    except NextHopError as error:
        raise click.UsageError(f"{place}{text}: {error}") from None
    found = Speech(speech) if speech is not None else PORTS.get(service.port)
    if found is None:
        raise click.UsageError(f"{place}{text}: say what is spoken there: --starttls or --tls")
    return Asked(text, service, found)


def _read_list(path: Path | None) -> Iterator[tuple[str, str]]:
    if path is None:
        return
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    for number, line in enumerate(lines, 1):
        text = line.partition("#")[0].strip()
        if text:
            yield text, f"{path}:{number}: "


class _Differ:
    """Adds to each document what is different from the last one, and keeps it for the next."""

    def __init__(self, clock: "Clock", tell: Callable[[dict[str, Any]], None]) -> None:
        from letterlock.storage.check_runs import CheckRuns  # noqa: PLC0415 - lazy, for -h

        self._runs = CheckRuns(find_state_folder())
        self._clock = clock
        self._tell = tell

    def tell(self, document: dict[str, Any]) -> None:
        from letterlock.base.clock import format_time  # noqa: PLC0415 - lazy, for -h
        from letterlock.services.check.comparing import compare  # noqa: PLC0415 - as above

        before = self._runs.load(document["domain"])
        difference = None
        if before is not None:
            difference = {"since": before.get("checked")} | compare(before, document)
        # First: a change that was kept and not told would never be.
        self._tell(document | {"diff": difference})
        try:
            checked = format_time(self._clock.now())
            self._runs.save(document["domain"], document | {"checked": checked})
        except OSError as error:
            raise CommandFailed(f"the answer cannot be kept for --diff: {error}") from None


class _Teller:
    """Prints each document as it comes, and knows what they come to."""

    def __init__(
        self,
        total: int,
        bar: ProgressBar,
        page: "Page | None",
        *,
        as_json: bool,
        is_verbose: bool,
    ) -> None:
        self.done = 0
        self._page = page
        self._total = total
        self._bar = bar
        self._as_json = as_json
        self._is_verbose = is_verbose
        self._is_bad = False
        self._is_undecided = False

    @property
    def code(self) -> ExitCode:
        if self._is_bad:
            return ExitCode.BAD_NEWS
        return ExitCode.UNDECIDED if self._is_undecided else ExitCode.FINE

    def tell(self, document: dict[str, Any]) -> None:
        self.done += 1
        if self._page is not None:
            self._page.add(document)
        self._bar.end()
        self._is_bad |= any(each["severity"] in _BAD for each in document["findings"])
        outcomes = {each["outcome"] for each in document["verdicts"]}
        states = {address["state"] for host in document["hosts"] for address in host["addresses"]}
        is_unknown = bool(states) and states <= {"blocked", "not tested"}
        is_unknown |= any(each["id"] == "resolver-silent" for each in document["findings"])
        self._is_undecided |= outcomes == {"undecidable"} or is_unknown
        if self._as_json:
            self._tell_json(document)
        else:
            self._tell_story(document)
        self._bar.show(self.done, self._total)

    def note(self, text: str) -> None:
        """Say why it takes long."""
        self._bar.end()
        click.echo(f"letterlock: note: {text}", err=True)

    def end(self) -> None:
        self._bar.end()
        if self._as_json and self._total > 1:
            click.echo("\n]" if self.done else "[]")

    def _tell_json(self, document: dict[str, Any]) -> None:
        text = json.dumps(document, indent=2, ensure_ascii=True)
        if self._total == 1:
            click.echo(text)
        else:
            click.echo(("[\n" if self.done == 1 else ",\n") + text, nl=False)

    def _tell_story(self, document: dict[str, Any]) -> None:
        from letterlock.cli.check_text import format_check  # noqa: PLC0415 - lazy, for -h

        if self.done > 1:
            click.echo()
        for line, style in format_check(document, is_verbose=self._is_verbose):
            click.secho(line, **style)
