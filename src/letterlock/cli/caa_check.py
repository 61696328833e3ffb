"""`letterlock caa check`: whether an authority may issue for names, and by which record."""

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import click

from letterlock.cli.failures import CommandFailed, ExitCode
from letterlock.cli.options import (
    config_option,
    find_config_or_defaults,
    json_option,
    resolver_option,
    take_resolver,
    use_resolver,
)

if TYPE_CHECKING:
    from letterlock.base.clock import Clock
    from letterlock.protocols.caa.decide import Issuance
    from letterlock.services.discover.caa import CaaAnswer

CHECK_KEYS = {
    "name": "what was asked about, with its asterisk if it has one",
    "issuer": "the authority's domain, as in CAA records",
    "account": "the URI of the account that would ask, or null",
    "method": "how the name would be validated, or null",
    "decision": "allow, deny, or error: it is not known, which is no permission",
    "cause": "why, in one word: no-records, no-restriction, authorized, other-issuer, "
    "other-limits, unknown-critical, unknown-limits, malformed-tag or lookup-failed",
    "reason": "why, in words",
    "found_at": "the name that has the records; null: there are none, or nobody knows",
    "failed_at": "the name whose lookup failed, or null",
    "dnssec": "of the weakest lookup: secure, insecure, bogus, failed",
    "unsigned_zone": "a lookup failed, in a zone that DNSSEC proves to be without signatures",
    "record": "the record that decided: flags, tag, value; null: none did",
    "records[].flags": "of all records there, in an order of their own",
    "records[].tag": "as published",
    "records[].value": "as published; odd octets as \\xNN",
    "records[].effect": "allows, other-issuer, other-limits, unknown-limits, forbids, unreadable, "
    "ignored",
    "records[].reason": "why, in words",
    "report_to": "where the domain wants to be told of what was refused (iodef): mail addresses, "
    "https URLs; the first three that can be used",
    "remedy": "a line of a zone file that would allow it, or null",
    "lookups[].name": "each name that was asked for, from the lowest up",
    "lookups[].dnssec": "secure, insecure, bogus, failed",
    "lookups[].existence": "records, nodata, nxdomain; null: no answer",
    "lookups[].records": "how many",
    "lookups[].aliases": "where CNAME records led",
    "lookups[].ttl": "seconds, or null",
    "lookups[].reason": "what went wrong, or nothing",
    "notes": "what other authorities do otherwise, and what else is to be known",
}
PROGRESS_SECONDS = 0.2
SELDOM_SECONDS = 10.0
"""Where nobody looks at a terminal."""
STANDARD_INPUT = "-"


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--issuer", metavar="DOMAIN", help="The authority, as CAA records name it.")
@click.option("--method", metavar="METHOD", help="How it would validate: http-01, dns-01, ...")
@click.option("--account", metavar="URI", help="The account there that would ask.")
@click.option(
    "--batch",
    type=click.Path(path_type=Path, allow_dash=True),
    metavar="FILE",
    help="Check the names in this file, `-` for standard input, and tell one line for each.",
)
@json_option(CHECK_KEYS)
@resolver_option
@config_option
def check(names: tuple[str, ...], batch: Path | None, *, as_json: bool, **options: Any) -> int:
    """Tell whether an authority may issue certificates for NAMEs, and by which record.

    DNS is asked as an authority asks it: for the CAA records of each name and of those above it.
    `*.example.org` is a wildcard. Without --account or --method, a record that is for certain
    accounts or methods leaves it undecided. With --json there is one document for each name, on a
    line of its own.

    FILE has one JSON object a line: `name`, and `issuer`, `account`, `method` where they differ
    from the options. Answers come in its order, while it goes on. Progress is on standard error.

    Exit code 0: all allowed; 1: some denied; 3: some undecided, none denied; 2: also when FILE has
    lines that cannot be read; the others are checked all the same.
    """
    from letterlock.base.clock import SystemClock  # noqa: PLC0415 - lazy, for -h
    from letterlock.node.caa import run  # noqa: PLC0415 - as above

    if bool(names) == (batch is not None):
        raise click.UsageError("give NAMEs, or --batch FILE")
    asked = _Asked(options["issuer"], options["account"], options["method"])
    address = take_resolver(options["resolver"])
    asked.require_form()
    lines = _Lines(batch, _open_batch(batch), asked) if batch is not None else None
    issuances = lines if lines is not None else [asked.make(name) for name in names]
    config, notes = find_config_or_defaults(options["config_path"])
    config = use_resolver(config, address)
    clock = SystemClock()
    teller = _Teller(as_json, is_batch=batch is not None, progress=_Progress(clock))
    with lines.file if lines is not None else nullcontext():
        note = run(config, issuances, clock, teller.tell)
    teller.finish([*notes, *([note] if note else [])])
    return ExitCode.WRONG_USAGE if lines and lines.faults else teller.exit_code


@dataclass(frozen=True, slots=True)
class _Asked:
    """For whom it is asked, as on the command line."""

    issuer: str | None
    account: str | None
    method: str | None

    def require_form(self) -> None:
        """Raise UsageError for what can be no issuer, account or method."""
        from letterlock.base.domains import DomainError, parse_domain  # noqa: PLC0415 - lazy, -h
        from letterlock.protocols.caa.limits import is_method, is_uri  # noqa: PLC0415 - as above

        try:
            parse_domain(self.issuer if self.issuer is not None else "example")
        except DomainError as error:
            raise click.UsageError(f"issuer: {error}") from None
        if self.account is not None and not is_uri(self.account):
            raise click.UsageError(f"account: {self.account[:80]!r} is no URI")
        if self.method is not None and not is_method(self.method):
            raise click.UsageError(f"method: {self.method[:80]!r} is no validation method")

    def make(self, name: str) -> "Issuance":
        """Make the question for a name. Raises UsageError."""
        from letterlock.base.domains import parse_domain  # noqa: PLC0415 - lazy, for -h
        from letterlock.protocols.acme.identifiers import IP, parse_identifier  # noqa: PLC0415 - lazy, for -h
        from letterlock.protocols.caa.decide import Issuance  # noqa: PLC0415 - as above

        if self.issuer is None:
            raise click.UsageError("issuer: is missing; give the authority's domain")
        try:
            identifier = parse_identifier(name)
        except ValueError as error:
            raise click.UsageError(f"name: {error}") from None
        if identifier.type == IP:
            raise click.UsageError(f"name: {name} is an address, and CAA is about domain names")
        return Issuance(
            parse_domain(identifier.base),
            is_wildcard=identifier.is_wildcard,
            issuers=(parse_domain(self.issuer),),
            accounts=(self.account,) if self.account is not None else (),
            method=self.method,
        )


def _open_batch(path: Path) -> TextIO:
    """Open the file; what comes slowly is read to its end first, so that no answer waits for it."""
    try:
        if str(path) == STANDARD_INPUT:
            return StringIO(sys.stdin.buffer.read().decode("utf-8", "replace"))
        if path.is_file():
            return path.open(encoding="utf-8", errors="replace")
        return StringIO(path.read_text(encoding="utf-8", errors="replace"))
    except OSError as error:
        text = f"{path}: cannot be read: {error.strerror}"
        raise CommandFailed(text, ExitCode.WRONG_USAGE) from None


@dataclass(slots=True)
class _Lines:
    """The questions of a file. A line that cannot be read is told and passed over."""

    path: Path
    file: TextIO
    asked: _Asked
    faults: int = field(default=0, init=False)

    def __iter__(self) -> Iterator["Issuance"]:
        for number, line in enumerate(self.file, 1):
            if not line.strip():
                continue
            try:
                yield self._read(line)
            except click.UsageError as error:
                self.faults += 1
                click.echo(f"letterlock: {self.path}:{number}: {error.message}", err=True)

    def _read(self, line: str) -> "Issuance":
        try:
            found = json.loads(line)
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict):
            raise click.UsageError('not a JSON object such as {"name": "example.org"}')
        texts = {key: found.get(key) for key in ("name", "issuer", "account", "method")}
        for key, text in texts.items():
            if text is not None and not isinstance(text, str):
                raise click.UsageError(f"{key}: must be a text")
        if texts["name"] is None:
            raise click.UsageError("name: is missing")
        asked = _Asked(
            texts["issuer"] or self.asked.issuer,
            texts["account"] or self.asked.account,
            texts["method"] or self.asked.method,
        )
        asked.require_form()
        return asked.make(texts["name"])


class _Progress:
    """Counts on standard error: often on a terminal of its own, seldom in a file."""

    def __init__(self, clock: "Clock") -> None:
        self._clock = clock
        self._is_live = sys.stderr.isatty() and not sys.stdout.isatty()
        self._last = clock.monotonic()

    def show(self, text: str) -> None:
        """Show where it is, if it is time to."""
        now = self._clock.monotonic()
        if now - self._last < (PROGRESS_SECONDS if self._is_live else SELDOM_SECONDS):
            return
        self._last = now
        click.echo(f"\r\x1b[K{text}" if self._is_live else text, err=True, nl=not self._is_live)

    def end(self, text: str) -> None:
        """Show what came of it."""
        click.echo(f"\r\x1b[K{text}" if self._is_live else text, err=True)


class _Teller:
    """Prints each answer as it comes, and knows what they come to."""

    def __init__(self, as_json: bool, *, is_batch: bool, progress: _Progress) -> None:  # noqa: FBT001 - private
        self._as_json = as_json
        self._is_batch = is_batch
        self._progress = progress
        self._counts = {"allow": 0, "deny": 0, "error": 0}

    def tell(self, answer: "CaaAnswer") -> None:
        from letterlock.cli.caa_text import format_line, format_story  # noqa: PLC0415 - lazy, -h
        from letterlock.services.explain.caa import describe_answer  # noqa: PLC0415 - as above

        document = describe_answer(answer)
        if self._as_json:
            click.echo(json.dumps(document, ensure_ascii=True))
        elif self._is_batch:
            click.echo(format_line(document))
        else:
            if any(self._counts.values()):
                click.echo()
            click.echo("\n".join(format_story(document)))
        self._counts[document["decision"]] += 1
        if self._is_batch:
            self._progress.show(self._summary)

    def finish(self, notes: list[str]) -> None:
        if self._is_batch:
            self._progress.end(self._summary)
        for note in notes:
            click.echo(f"letterlock: note: {note}", err=True)

    @property
    def exit_code(self) -> ExitCode:
        if self._counts["deny"]:
            return ExitCode.BAD_NEWS
        return ExitCode.UNDECIDED if self._counts["error"] else ExitCode.FINE

    @property
    def _summary(self) -> str:
        counts: Mapping[str, int] = self._counts
        total = sum(counts.values())
        return (
            f"{total} checked: {counts['allow']} allowed, {counts['deny']} denied, "
            f"{counts['error']} undecided"
        )
