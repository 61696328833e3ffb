"""`letterlock ca audit verify` and `status`: is the log whole, and how far is the audit."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from letterlock.base.counts import format_count
from letterlock.cli.ca_store import with_store
from letterlock.cli.failures import ExitCode
from letterlock.cli.options import config_option, json_option, print_json
from letterlock.cli.progress import ProgressBar

if TYPE_CHECKING:
    from letterlock.base.clock import Clock
    from letterlock.base.config.sections import Config
    from letterlock.services.ca.auditing.log import Verified
    from letterlock.storage.ca.audits import AuditProgress
    from letterlock.storage.ca.store import AuthorityStore

_PROGRESS_KEYS = {
    "round": "how often all were gone through from the beginning",
    "began": "when that began last, or null",
    "ended": "when it was at the end, or null while it goes on",
    "checked": "how many since it began",
    "faulty": "in how many something was found",
}


@click.command()
@config_option
@json_option(
    {
        "records": "how many records the log has",
        "hash": "the digest of the last one",
        "signed_heads": "beside how many signed heads it was held",
        "unsigned_heads": "numbers of heads that are not signed by our keys",
        "breaks[].number": "a record that is changed, missing or out of its place",
        "breaks[].reason": "what is wrong there",
    }
)
@click.option(
    "--head",
    "heads",
    type=click.Path(path_type=Path),
    multiple=True,
    metavar="FILE",
    help="A signed head that was kept elsewhere. May be repeated.",
)
def verify(config_path: Path | None, heads: tuple[Path, ...], *, as_json: bool) -> int:
    """Tell whether the audit log is as it was written.

    A record that was changed, removed, put in or moved is named. What was cut off at the end is
    seen by the heads that the authority signs each hour; with --head also where those were removed
    from its database. Exit code 1: it is not whole; 3: a head that you gave has no signature of
    ours, so nobody knows.
    """

    async def do(config: "Config", store: "AuthorityStore", clock: "Clock") -> "Verified":
        from letterlock.node.ca import audit_commands as commands  # noqa: PLC0415 - not for -h

        bar = ProgressBar(clock, "verifying")
        total = (await store.load_head()).number
        try:
            async for found in commands.verify(config, store, heads):
                bar.show(found.head.number, total)
        finally:
            bar.end()
        return found

    found = with_store(config_path, do)
    if as_json:
        print_json(
            {
                "records": found.head.number,
                "hash": found.head.hash.hex(),
                "signed_heads": found.signed,
                "unsigned_heads": list(found.unsigned),
                "breaks": [{"number": each.number, "reason": each.reason} for each in found.breaks],
            }
        )
    else:
        _tell(found)
    if found.breaks:
        return ExitCode.BAD_NEWS
    return ExitCode.UNDECIDED if found.unsigned_kept else ExitCode.FINE


@click.command()
@config_option
@json_option(
    {
        **{f"certificates.{key}": text for key, text in _PROGRESS_KEYS.items()},
        **{f"log.{key}": text for key, text in _PROGRESS_KEYS.items()},
        "head": "the signed head of the log, to be kept elsewhere, or null",
    }
)
def status(config_path: Path | None, *, as_json: bool) -> int:
    """Tell how far the authority's own audit is, and the head of the log that it signed last.

    Keep the head on another machine: `ca audit verify --head` needs nothing else to see whether
    anything before it was changed. Exit code 1: something was found since the round began.
    """

    async def do(
        config: "Config", store: "AuthorityStore", clock: "Clock"
    ) -> tuple[dict[str, Any], ...]:
        from letterlock.node.ca import audit_commands as commands  # noqa: PLC0415 - not for -h
        from letterlock.protocols.audit.heads import format_head  # noqa: PLC0415 - as above

        del config, clock
        state = await commands.find_state(store)
        head = json.loads(format_head(state.head)) if state.head is not None else None
        return _describe(state.certificates), _describe(state.log), {"head": head}

    certificates, log, head = with_store(config_path, do)
    if as_json:
        print_json({"certificates": certificates, "log": log, **head})
    else:
        for names, found in (
            (("certificate", "certificates"), certificates),
            (("record of the log", "records of the log"), log),
        ):
            click.echo(f"{format_count(found['checked'], *names)} checked{_tell_progress(found)}")
        click.echo(f"head: {json.dumps(head['head'])}")
    return ExitCode.BAD_NEWS if certificates["faulty"] or log["faulty"] else ExitCode.FINE


def _tell(found: "Verified") -> None:
    for each in found.breaks:
        click.echo(str(each))
    for number in found.unsigned:
        click.echo(
            f"letterlock: note: the head of record {number} has no signature of ours", err=True
        )
    if not found.signed:
        click.echo(
            "letterlock: note: without a signed head nobody sees what was cut off at the end: "
            "give one that was kept elsewhere, with --head FILE",
            err=True,
        )
    heads = format_count(found.signed, "signed head")
    word = "whole, as far as those tell" if found.unsigned_kept else "whole"
    records = format_count(found.head.number, "record")
    click.echo(f"{records}, {heads}: {'NOT whole' if found.breaks else word}")


def _tell_progress(found: dict[str, Any]) -> str:
    if found["began"] is None:
        return ": no round has begun yet, which `ca serve` does"
    ended = f", ended {found['ended']}" if found["ended"] else ""
    return f", {found['faulty']} faulty; round {found['round']} began {found['began']}{ended}"


def _describe(progress: "AuditProgress") -> dict[str, Any]:
    from letterlock.base.clock import format_time  # noqa: PLC0415 - not loaded for -h

    return {
        "round": progress.round,
        "began": format_time(progress.began) if progress.began else None,
        "ended": format_time(progress.ended) if progress.ended else None,
        "checked": progress.checked,
        "faulty": progress.faulty,
    }
