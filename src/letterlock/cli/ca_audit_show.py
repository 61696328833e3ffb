"""`letterlock ca audit show`: what our authority decided, and what each decision rested on."""

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from letterlock.cli.ca_store import with_store
from letterlock.cli.failures import CommandFailed, ExitCode
from letterlock.cli.options import config_option, json_option, print_json

if TYPE_CHECKING:
    from letterlock.base.clock import Clock
    from letterlock.base.config.sections import Config
    from letterlock.protocols.audit.records import AuditRecord
    from letterlock.storage.ca.store import AuthorityStore

KINDS = (
    *("account", "order", "order-end", "validation", "authorization", "caa", "request", "lint"),
    *("serial", "signing", "revocation", "crl", "halt", "incident", "finding", "start"),
    "account-key",
)
DEFAULT_LIMIT = 100
MAX_LIMIT = 100_000
_PASSED = ("kind", "order", "account", "authorization", "incident")
_MAX_TEXT = 300


@click.command()
@config_option
@json_option(
    {
        "records[].number": "its place in the log, from 1",
        "records[].moment": "when it was decided, to the microsecond",
        "records[].kind": "what kind of decision it is",
        "records[].subject": "the id of what it is about",
        "records[].document": "all that it rested on",
        "records[].hash": "its digest, over itself and the one before",
    }
)
@click.option("--certificate", metavar="SERIAL", help="All that a certificate rests on.")
@click.option(
    "--about", metavar="ID", help="Of this account, account key, order, authorization or incident."
)
@click.option("--kind", type=click.Choice(KINDS), help="Decisions of this kind.")
@click.option(
    "--after",
    type=click.IntRange(min=0),
    default=0,
    metavar="NUMBER",
    help="Those after the record of this number.",
)
@click.option(
    "--limit",
    type=click.IntRange(1, MAX_LIMIT),
    default=DEFAULT_LIMIT,
    show_default=True,
    help="How many at most.",
)
def show(*, as_json: bool, config_path: Path | None, **options: Any) -> int:
    """Show decisions from the audit log, the oldest first.

    Of a certificate: its order, each of its names' validations with what every perspective saw,
    the looks at CAA with their DNS answers, the linter's word, its signature.
    """
    if options["certificate"] and options["about"]:
        raise click.UsageError("either --certificate or --about")

    async def do(
        config: "Config", store: "AuthorityStore", clock: "Clock"
    ) -> list["AuditRecord"] | None:
        del clock
        return await _find(config, store, options)

    records = with_store(config_path, do)
    if records is None:
        text = f"{options['certificate'][:100]}: our authority issued no such certificate"
        raise CommandFailed(text, ExitCode.BAD_NEWS)
    if as_json:
        print_json({"records": [_describe(each) for each in records]})
    else:
        for each in records:
            for line in _format(each):
                click.echo(line)
    if not records:
        click.echo("no records", err=True)
    return ExitCode.FINE


async def _find(
    config: "Config", store: "AuthorityStore", options: dict[str, Any]
) -> list["AuditRecord"] | None:
    from letterlock.node.ca import audit_commands as commands  # noqa: PLC0415 - not for -h
    from letterlock.node.ca.commands import find_issued  # noqa: PLC0415 - as above

    kind, after, limit = options["kind"], options["after"], options["limit"]
    subject = options["about"]
    if options["certificate"]:
        issued = await find_issued(config, store, options["certificate"])
        if issued is None:
            return None
        subject = issued.certificate.order_id
    if subject is None:
        found: list[AuditRecord] = []
        async for each in commands.list_records(store, kind, after):
            found.append(each)
            if len(found) >= limit:
                break
        return found
    records = await commands.list_records_about(store, subject)
    wanted = (each for each in records if kind in (None, each.kind) and each.number > after)
    return list(islice(wanted, limit))


def _describe(record: "AuditRecord") -> dict[str, Any]:
    return {
        "number": record.number,
        "moment": record.moment.isoformat().replace("+00:00", "Z"),
        "kind": record.kind,
        "subject": record.subject,
        "document": _read(record),
        "hash": record.hash.hex(),
    }


def _read(record: "AuditRecord") -> Any:
    try:
        return json.loads(record.document)
    except ValueError:
        # Somebody changed it: `ca audit verify` says so. It is shown as it is.
        return record.document


def _format(record: "AuditRecord") -> Iterator[str]:
    from letterlock.base.clock import format_time  # noqa: PLC0415 - not loaded for -h
    from letterlock.base.printable import make_printable  # noqa: PLC0415 - as above

    subject = make_printable(record.subject)
    yield f"{record.number}  {format_time(record.moment)}  {record.kind}  {subject}"
    document = _read(record)
    if not isinstance(document, dict):
        yield f"    {make_printable(str(document))[:_MAX_TEXT]}"
        return
    for path, value in _flatten(document, ""):
        if path not in _PASSED:
            yield f"    {path}: {make_printable(str(value))[:_MAX_TEXT]}"


def _flatten(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Give the plain values of a document with their paths."""
    if isinstance(value, dict):
        for key, each in value.items():
            yield from _flatten(each, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list):
        for number, each in enumerate(value):
            yield from _flatten(each, f"{path}[{number}]")
    elif value not in ("", None):
        yield path, value
