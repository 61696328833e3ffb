"""`letterlock incident check`: whether certificates are on a list of affected serial numbers."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import TYPE_CHECKING, Any, TypeVar

import click

from letterlock.cli.failures import CommandFailed, ExitCode
from letterlock.cli.options import (
    config_option,
    find_config_or_defaults,
    json_option,
    print_json,
    resolver_option,
    take_resolver,
    use_resolver,
)
from letterlock.cli.progress import ProgressBar

if TYPE_CHECKING:
    from letterlock.node.incidents import Answer, Question
    from letterlock.services.incidents.results import Result

CHECK_KEYS = {
    "list.source": "the list, as on the command line",
    "list.entries": "how many different serial numbers it has",
    "list.form": "lets-encrypt-2020, lines, csv or crl",
    "list.unreadable": "how many of its lines have something else than a serial number",
    "results[].source": "the file (`FILE#2`: its second certificate), or host, port and address",
    "results[].serial": "in hexadecimal, whole octets; null: no certificate was seen",
    "results[].affected": "true, false, or null: it could not be asked, and nobody knows",
    "results[].entry": "what the list says of it, or null",
    "results[].advice": "what to do",
    "results[].reason": "why it is null, or what else is to be known of it; or null",
    "results[].place": "where the list has it: a line, or of a CRL an entry, from 1; or null",
    "results[].names": "the certificate's names",
    "results[].key": "its key, such as rsa-2048; null: unknown",
    "results[].asked": "how a host was asked: with which name (SNI) or none, for which type of key",
    "not_offered": "usual ports of hosts, where nothing listens",
}
MAX_HOSTS = 200
DEFAULT_SECONDS = 20.0
Taken = TypeVar("Taken")


@click.command()
@click.option(
    "--list",
    "list_path",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The affected serial numbers: one a line, CSV, Let's Encrypt's text of 2020, or a CRL; "
    "also packed by gzip.",
)
@click.option(
    "--incident", metavar="ID", help="Instead of a list: an incident of our own authority."
)
@click.option(
    "--cert",
    "files",
    multiple=True,
    metavar="FILE",
    help="Check the certificates in this file, PEM or DER. May be repeated.",
)
@click.option(
    "--host",
    "hosts",
    multiple=True,
    metavar="HOST[:PORT]",
    help="Check what this host shows; without PORT on 443, 25, 465, 587 and 993. May be repeated.",
)
@click.option(
    "--sni", "names", multiple=True, metavar="NAME", help="Ask each host for this name, too."
)
@click.option(
    "--timeout",
    "seconds",
    type=click.FloatRange(min=0.1, max=300),
    default=DEFAULT_SECONDS,
    metavar="SECONDS",
    help="How long one connection may take. Default: 20.",
)
@click.option(
    "--index",
    "kept",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Keep the list's index here. Default: beside a large list, as LIST.index.",
)
@json_option(CHECK_KEYS)
@resolver_option
@config_option
def check(*, as_json: bool, **options: Any) -> int:
    """Tell whether certificates are on a list of affected serial numbers.

    A host is asked on each of its addresses, with its name (SNI) and without, for ECDSA and for
    RSA: it may show another certificate each time. STARTTLS is used on 25 and 587, TLS at once on
    443, 465 and 993; on other ports both are tried. The first check of a large list makes an index.

    Exit code 1: at least one is affected; 3: none is, and of at least one nobody knows; 0: none is.
    """
    if (options["list_path"] is None) is (options["incident"] is None):
        raise click.UsageError("give --list FILE, or --incident ID of our own authority")
    if options["incident"] is None:
        return _check(options, as_json=as_json)
    from letterlock.cli.ca_incident_status import write_list  # noqa: PLC0415 - lazy, for -h

    with NamedTemporaryFile("w+", encoding="utf-8", suffix=".csv") as file:
        _list_whole(write_list(options["config_path"], options["incident"], file))
        file.flush()
        return _check({**options, "list_path": Path(file.name)}, as_json=as_json)


def _list_whole(incident: dict[str, Any]) -> None:
    """Raise CommandFailed where a list says less than the incident, or nothing."""
    if incident["state"] == "collecting":
        raise CommandFailed(f"incident {incident['id']}: it is not complete: create it once more")
    if not incident["affected"]:
        raise CommandFailed(f"incident {incident['id']}: it affects no certificate")


def _check(options: dict[str, Any], *, as_json: bool) -> int:
    from letterlock.base.clock import SystemClock  # noqa: PLC0415 - lazy, for -h
    from letterlock.base.printable import make_printable  # noqa: PLC0415 - as above
    from letterlock.node.incidents import run  # noqa: PLC0415 - as above
    from letterlock.storage.serial_lists.index import ListUnusable  # noqa: PLC0415 - as above

    question = _take_question(options)
    address = take_resolver(options["resolver"])
    config, notes = find_config_or_defaults(options["config_path"], is_owner_later=True)
    config = use_resolver(config, address)
    clock = SystemClock()
    bar = ProgressBar(clock, make_printable(f"making the index of {question.list_path}"))
    try:
        answer = run(config, question, clock, bar.show)
    except ListUnusable as error:
        raise CommandFailed(str(error)) from None
    finally:
        bar.end()
    if options["incident"] is not None:
        question = replace(question, list_path=Path(f"incident {options['incident']}"))
    if as_json:
        print_json(_describe(question, answer))
    else:
        _tell(question, answer)
    for note in [*notes, *answer.listed.notes]:
        click.echo(f"letterlock: note: {note}", err=True)
    return _find_exit_code(answer.results)


def _take_question(options: dict[str, Any]) -> "Question":
    from letterlock.node.incidents import Question  # noqa: PLC0415 - lazy, for -h
    from letterlock.protocols.incidents.places import parse_place  # noqa: PLC0415 - as above
    from letterlock.protocols.tls.server_name import parse_server_name  # noqa: PLC0415 - as above

    if not options["files"] and not options["hosts"]:
        raise click.UsageError("give certificates: --cert FILE, --host HOST[:PORT]")
    if len(options["hosts"]) > MAX_HOSTS:
        raise click.UsageError(f"--host: more than {MAX_HOSTS} in one run")
    return Question(
        list_path=options["list_path"],
        kept=options["kept"],
        files=options["files"],
        places=_take_all("--host", options["hosts"], parse_place),
        names=_take_all("--sni", options["names"], parse_server_name),
        seconds=options["seconds"],
    )


def _take_all(
    option: str, texts: tuple[str, ...], parse: Callable[[str], Taken]
) -> tuple[Taken, ...]:
    try:
        return tuple(parse(text) for text in dict.fromkeys(texts))
    except ValueError as error:
        raise click.UsageError(f"{option}: {error}") from None


def _find_exit_code(results: "tuple[Result, ...]") -> ExitCode:
    if any(result.affected for result in results):
        return ExitCode.BAD_NEWS
    if any(result.affected is None for result in results):
        return ExitCode.UNDECIDED
    return ExitCode.FINE


def _describe(question: "Question", answer: "Answer") -> dict[str, object]:
    listed = answer.listed
    return {
        "list": {
            "source": str(question.list_path),
            "entries": listed.entries,
            "form": listed.form,
            "unreadable": listed.unreadable,
        },
        "results": [
            {
                "source": result.source,
                "serial": result.serial,
                "affected": result.affected,
                "entry": result.entry,
                "advice": result.advice,
                "reason": result.reason,
                "place": result.place,
                "names": list(result.names),
                "key": result.key,
                "asked": list(result.asked),
            }
            for result in answer.results
        ],
        "not_offered": [each.source for each in answer.not_offered],
    }


def _tell(question: "Question", answer: "Answer") -> None:
    from letterlock.cli.incident_text import format_result, format_summary  # noqa: PLC0415 - lazy

    for result in answer.results:
        for line in format_result(result):
            click.echo(line)
    for line in format_summary(question.list_path, answer):
        click.echo(line)
