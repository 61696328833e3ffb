"""`letterlock table query`: a key's entry, how it was found, and what an address comes to."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from letterlock.cli.failures import CommandFailed, ExitCode
from letterlock.cli.options import config_option, find_config_or_defaults, json_option, print_json

if TYPE_CHECKING:
    from letterlock.base.config.maps import MapsSection
    from letterlock.base.domains import Domain
    from letterlock.services.redirect.query import Answer, TableKind

QUERY_KEYS = {
    "file": "the table's file",
    "type": "aliases, virtual, transport, relay_domains, relay_recipients or sender_relay",
    "key": "what was asked about",
    "tried[].key": "a key that was looked up, in this order",
    "tried[].found": "whether it is in the table",
    "found": "whether there is an entry",
    "where": "its file and line, or null",
    "value": "its value as it stands there, or null",
    "error": "why the entry cannot be used, or null",
    "steps[].address": "an address on the way, for aliases and virtual tables",
    "steps[].key": "the key that was found for it",
    "steps[].where": "the file and line of that entry",
    "steps[].value": "its value",
    "destinations": "the addresses that it comes to; null where there is no answer, and why",
    "circle": "addresses that lead back to the first of them, or null",
    "reason": "why there are no destinations, or null",
    "problems": "what is wrong with lines of the file, in words",
}
TYPES = (
    *("aliases", "virtual", "transport"),
    *("relay_domains", "relay_recipients", "sender_relay"),
)
_SHOWN_PROBLEMS = 20


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.argument("key")
@click.option(
    "--type",
    "kind",
    type=click.Choice(TYPES),
    help="What table it is. Default: what `[maps]` says of the file, else the file's name.",
)
@json_option(QUERY_KEYS)
@config_option
def query(
    file: Path, key: str, *, kind: str | None, as_json: bool, config_path: Path | None
) -> int:
    """Look KEY up in the table FILE, as `postmap -q` does, and tell each step.

    KEY is an address, for which the keys that a table may have for it are tried in Postfix's order,
    or a key as it stands: a domain, a name, `@domain`, `.domain`, `*`. What an address comes to
    through aliases and virtual aliases is told too; the other tables of `[maps]` count for that.

    Exit code 0: there is an entry; 1: there is none, or mail for it would wait (a wrong entry, a
    circle); 3: the file cannot be read.
    """
    from letterlock.protocols.tables.lines import TableError  # noqa: PLC0415 - lazy, for -h
    from letterlock.services.redirect.query import TableKind  # noqa: PLC0415 - as above

    section, domains, hostname = _find_setting(config_path, key)
    found_kind = TableKind(kind or _find_kind(file, section))
    try:
        answer = _ask(file, key, found_kind, section, (domains, hostname))
    except TableError as error:
        raise click.UsageError(f"KEY: {error}") from None
    document = _describe(file, key, answer)
    if as_json:
        print_json(document)
    else:
        _print_story(document)
    is_fine = document["found"] and document["error"] is None and document["reason"] is None
    return ExitCode.FINE if is_fine else ExitCode.BAD_NEWS


def _find_setting(path: Path | None, key: str) -> "tuple[MapsSection, tuple[Domain, ...], Domain]":
    """Give `[maps]` and our domains; without a configuration the domain of KEY is ours."""
    from letterlock.base.config.load import find_config  # noqa: PLC0415 - lazy, for -h
    from letterlock.base.domains import Domain, DomainError, parse_domain  # noqa: PLC0415 - lazy, for -h

    config, notes = find_config_or_defaults(path, is_owner_later=True)
    for note in notes:
        click.echo(f"letterlock: note: {note}", err=True)
    if path is not None or (find_config().path.is_file() and not notes):
        return config.maps, config.domains, config.hostname
    try:
        domain = parse_domain(key.rpartition("@")[2]) if "@" in key else Domain("localhost")
    except DomainError:
        domain = Domain("localhost")
    return config.maps, (domain,), domain


def _find_kind(file: Path, section: "MapsSection") -> str:
    for kind in TYPES:
        named = getattr(section, kind)
        if named is not None and named.absolute() == file.absolute():
            return kind
    if file.name in TYPES:
        return file.name
    raise click.UsageError(f"FILE: {file} is none of [maps]; say with --type what it is")


def _ask(
    file: Path,
    key: str,
    kind: "TableKind",
    section: "MapsSection",
    ours: "tuple[tuple[Domain, ...], Domain]",
) -> "Answer":
    from letterlock.base.clock import SystemClock  # noqa: PLC0415 - lazy, for -h
    from letterlock.services.redirect.files import Unreadable  # noqa: PLC0415 - as above
    from letterlock.services.redirect.query import load_table, look_up  # noqa: PLC0415 - as above
    from letterlock.services.redirect.tables import TableFiles  # noqa: PLC0415 - as above

    clock = SystemClock()
    table = load_table(file, kind, clock.now())
    if isinstance(table, Unreadable):
        code = ExitCode.WRONG_USAGE if table.is_missing else ExitCode.UNDECIDED
        raise CommandFailed(table.reason, code)
    changed: dict[str, Any] = {kind.value: file}
    tables = TableFiles(replace(section, **changed), *ours, clock).current()
    return look_up(kind, table, key, tables)


def _describe(file: Path, key: str, answer: "Answer") -> dict[str, Any]:
    from letterlock.protocols.tables.expansion import Expanded, Loop  # noqa: PLC0415 - lazy, -h
    from letterlock.protocols.tables.lines import WrongEntry  # noqa: PLC0415 - as above

    entry, expansion = answer.lookup.entry, answer.expansion
    last = len(answer.lookup.tried) - 1
    steps = expansion.steps if expansion is not None else ()
    is_known = isinstance(expansion, Expanded) and bool(steps)
    return {
        "file": str(file),
        "type": answer.kind.value,
        "key": key,
        "tried": [
            {"key": tried, "found": number == last and entry is not None}
            for number, tried in enumerate(answer.lookup.tried)
        ],
        "found": entry is not None,
        "where": entry.where if entry is not None else None,
        "value": entry.text if entry is not None else None,
        "error": entry.reason if isinstance(entry, WrongEntry) else None,
        "steps": [
            {"address": each.address, "key": each.key, "where": each.where, "value": each.text}
            for each in steps
        ],
        "destinations": (
            [str(each) for each in expansion.destinations]
            if isinstance(expansion, Expanded) and is_known
            else None
        ),
        "circle": list(expansion.addresses) if isinstance(expansion, Loop) else None,
        "reason": (
            None if expansion is None or isinstance(expansion, Expanded) else expansion.reason
        ),
        "problems": list(map(str, answer.table.all_faults)),
    }


def _print_story(document: dict[str, Any]) -> None:
    click.echo(f"{document['file']} ({document['type']})")
    width = max(len(tried["key"]) for tried in document["tried"])
    for tried in document["tried"]:
        what = "nothing"
        if tried["found"]:
            line = document["where"].rpartition(":")[2]
            what = f"line {line}: {document['value']}".rstrip(": ")
        click.echo(f"  {tried['key']:<{width}}  {what}")
    if document["error"] is not None:
        click.echo(f"cannot be used: {document['error']}")
    if document["steps"]:
        click.echo("step by step:")
        for step in document["steps"]:
            click.echo(f"  {step['address']}  {step['where']}  {step['key']} -> {step['value']}")
    if document["destinations"] is not None:
        click.echo("comes to:")
        for address in document["destinations"] or ["nobody"]:
            click.echo(f"  {address}")
    if document["reason"] is not None:
        click.echo(f"mail for it waits: {document['reason']}")
    _print_problems(document["problems"])


def _print_problems(problems: list[str]) -> None:
    for problem in problems[:_SHOWN_PROBLEMS]:
        click.echo(f"letterlock: note: {problem}", err=True)
    if len(problems) > _SHOWN_PROBLEMS:
        more = len(problems) - _SHOWN_PROBLEMS
        click.echo(f"letterlock: note: {more} more such lines; --json has them all", err=True)
