"""`letterlock tlsrpt show`: the reports in files and mails, for people and as JSON."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from letterlock.cli.failures import ExitCode
from letterlock.cli.options import config_option, json_option

if TYPE_CHECKING:
    from letterlock.protocols.tlsrpt.finding import Found
    from letterlock.protocols.tlsrpt.report import FailureDetails, PolicyResult, Report

SHOW_KEYS = {
    "[].file": "the file; of a mailbox with `:` and the message's number behind it",
    "[].verdict": "clean, tolerated (something had to be repaired) or refused",
    "[].repairs": "what was repaired: the place, what stood there, what was done",
    "[].error": "why it was refused, or null",
    "[].report": "null where it was refused; in it null stands for what is not known",
    "[].report.organization_name": "who reports",
    "[].report.report_id": "the sender's name for the report",
    "[].report.start": "when it begins",
    "[].report.end": "when it ends",
    "[].report.contact_info": "whom to ask",
    "[].report.policies[].type": "sts, tlsa, no-policy-found, or a word that RFC 8460 has not",
    "[].report.policies[].domain": "the policy domain",
    "[].report.policies[].strings": "the policy's lines, or TLSA records, as the sender saw them",
    "[].report.policies[].mx_hosts": "the patterns of MX hosts in it",
    "[].report.policies[].successful": "sessions that met the policy",
    "[].report.policies[].failed": "sessions that failed; policies may count the same ones",
    "[].report.policies[].failures[].result_type": "what went wrong, in RFC 8460's words",
    "[].report.policies[].failures[].count": "in how many sessions",
    "[].report.policies[].failures[].sending_mta_ip": "from where",
    "[].report.policies[].failures[].receiving_mx_hostname": "at which MX host",
    "[].report.policies[].failures[].receiving_mx_helo": "what that called itself",
    "[].report.policies[].failures[].receiving_ip": "at which address",
    "[].report.policies[].failures[].additional_information": "a URI with more about it",
    "[].report.policies[].failures[].reason_code": "the sender's words for it",
}


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@json_option(SHOW_KEYS)
@config_option
def show(files: tuple[str, ...], *, as_json: bool, config_path: Path | None) -> int:
    """Tell what TLS reports say, failures first.

    FILE is a report (JSON, or packed by gzip or zip), a mail that carries one, also forwarded, or a
    mailbox (mbox) of such mails; `-` is standard input. What deviates from RFC 8460 is repaired
    where its meaning is clear, and named.

    Exit code 0: all were read; 1: one or more were refused; 3: a file cannot be read.
    """
    from letterlock.base.printable import make_printable  # noqa: PLC0415 - lazy, for -h
    from letterlock.cli.report_files import make_line  # noqa: PLC0415 - as above

    del config_path  # every command takes one; what a file says depends on none
    documents: list[dict[str, Any]] = []
    unreadable = False
    for file in files:
        found = _read(file)
        # What is caught is the file's fault: one of the output is not.
        while True:
            try:
                document = next(found, None)
            except OSError as error:
                unreadable = True
                reason = error.strerror or str(error)
                line = make_printable(f"letterlock: {make_line(file)}: cannot be read: {reason}")
                click.echo(line, err=True)
                break
            if document is None:
                break
            if not as_json:
                _print_story(document, is_first=not documents)
            documents.append(document)
    if as_json:
        click.echo(json.dumps(documents, indent=2, ensure_ascii=True))
    if any(document["verdict"] == "refused" for document in documents):
        return ExitCode.BAD_NEWS
    return ExitCode.UNDECIDED if unreadable else ExitCode.FINE


def _read(file: str) -> Iterator[dict[str, Any]]:
    """Give the document of each report in a file. Raises OSError."""
    from letterlock.cli.report_files import read_messages  # noqa: PLC0415 - lazy, for -h
    from letterlock.protocols.tlsrpt.finding import read_file  # noqa: PLC0415 - as above

    for name, octets in read_messages(file):
        yield from (_describe(name, found) for found in read_file(octets))


def _describe(name: str, found: "Found") -> dict[str, Any]:
    from letterlock.protocols.tlsrpt.report import ReportError  # noqa: PLC0415 - lazy, for -h

    if isinstance(found, ReportError):
        return {
            "file": name,
            "verdict": "refused",
            "repairs": [],
            "error": str(found),
            "report": None,
        }
    return {
        "file": name,
        "verdict": "tolerated" if found.repairs else "clean",
        "repairs": list(found.repairs),
        "error": None,
        "report": _describe_report(found.report),
    }


def _describe_report(report: "Report") -> dict[str, Any]:
    return {
        "organization_name": report.organization_name,
        "report_id": report.report_id,
        "start": _format_moment(report.start),
        "end": _format_moment(report.end),
        "contact_info": report.contact_info,
        "policies": [describe_policy(result) for result in report.policies],
    }


def describe_policy(result: "PolicyResult") -> dict[str, Any]:
    """Give a policy of a report as it is told in JSON."""
    return {
        "type": result.type,
        "domain": result.domain,
        "strings": list(result.strings),
        "mx_hosts": list(result.mx_hosts),
        "successful": result.successful,
        "failed": result.failed,
        "failures": [_describe_failure(failure) for failure in result.failures],
    }


def _describe_failure(failure: "FailureDetails") -> dict[str, Any]:
    return {name: getattr(failure, name) for name in failure.__struct_fields__}


def _format_moment(moment: Any) -> str | None:
    return None if moment is None else f"{moment.replace(tzinfo=None).isoformat()}Z"


def _print_story(document: dict[str, Any], *, is_first: bool) -> None:
    from letterlock.cli.tlsrpt_text import format_story  # noqa: PLC0415 - lazy, for -h

    if not is_first:
        click.echo()
    for line in format_story(document):
        click.echo(line)
