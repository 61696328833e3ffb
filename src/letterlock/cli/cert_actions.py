"""`letterlock cert order`, `renew`, `rollover` and `revoke`: what the node would do later, now.

A running node's listeners answer the authority; where none runs, the command listens itself.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from letterlock.cli.cert_list import load_managing_config, run_at_desk
from letterlock.cli.failures import CommandFailed, ExitCode
from letterlock.cli.options import config_option, json_option, print_json

if TYPE_CHECKING:
    from letterlock.base.config.sections import Config
    from letterlock.node.certificate_desk import Desk
    from letterlock.services.certify.tending import Wish
    from letterlock.storage.certificates import CertificateId, CertificateState
    from letterlock.storage.issued import IssuedCertificate

_OUTCOME_KEYS = {
    "certificates[].name": "a domain, a wildcard or an IP address",
    "certificates[].key_type": "ecdsa or rsa",
    "certificates[].outcome": "done, waiting (a roll-over goes on by itself), failed, or busy: "
    "another process is at it",
    "certificates[].serial": "of the certificate in use now, or null",
    "certificates[].not_after": "until when it is valid, or null",
    "certificates[].reason": "why it failed, or what is waited for; or null",
}
REASONS = (
    "unspecified",
    "key-compromise",
    "affiliation-changed",
    "superseded",
    "cessation-of-operation",
)

force_option = click.option(
    "--force",
    is_flag=True,
    help="Use the new certificate even where no published TLSA record matches it: senders that "
    "go by DANE will not deliver until one does.",
)


@click.command()
@config_option
@json_option(_OUTCOME_KEYS)
@force_option
@click.argument("names", nargs=-1, metavar="[NAME]...")
def order(names: tuple[str, ...], config_path: Path | None, *, force: bool, as_json: bool) -> int:
    """Get certificates that are not there yet: of each NAME, or of all that the settings name.

    Failures before do not delay it. Exits with 1 when one could not be got.
    """
    from letterlock.services.certify.tending import Wish  # noqa: PLC0415 - not loaded for -h

    config = load_managing_config(config_path)
    wish = Wish(renew=True, is_forced=force)
    return _act(config, names, wish, as_json=as_json, only_missing=True)


@click.command()
@config_option
@json_option(_OUTCOME_KEYS)
@force_option
@click.argument("names", nargs=-1, metavar="NAME...", required=True)
def renew(names: tuple[str, ...], config_path: Path | None, *, force: bool, as_json: bool) -> int:
    """Renew the certificates of each NAME now. The key stays: see `cert rollover`."""
    from letterlock.services.certify.tending import Wish  # noqa: PLC0415 - not loaded for -h

    config = load_managing_config(config_path)
    return _act(config, names, Wish(renew=True, is_forced=force), as_json=as_json)


@click.command()
@config_option
@json_option(
    {
        **_OUTCOME_KEYS,
        "accounts[].authority": "with --accounts: the directory",
        "accounts[].outcome": "done or failed",
        "accounts[].reason": "why it failed, or null",
    }
)
@click.option("--abandon", is_flag=True, help="Give up a roll-over that goes on.")
@click.option(
    "--accounts",
    is_flag=True,
    help="Change the keys of our accounts at the authorities instead (RFC 8555 §7.3.5). For an "
    "account that an authority has closed, another one is opened there.",
)
@click.argument("names", nargs=-1, metavar="[NAME]...")
def rollover(
    names: tuple[str, ...],
    config_path: Path | None,
    *,
    abandon: bool,
    accounts: bool,
    as_json: bool,
) -> int:
    """Begin to change the key of each NAME; the node goes on with it.

    The next key's TLSA record is published beside the current one's, by `[dns_changes]` or by you;
    two TTLs after every server of the zone has it a certificate for it is got and used, and an hour
    later the old record goes. Without TLSA records the key is changed at once.
    """
    from letterlock.services.certify.tending import Wish  # noqa: PLC0415 - not loaded for -h

    if bool(names) == accounts or (abandon and accounts):
        raise click.UsageError("name certificates, or give --accounts")
    config = load_managing_config(config_path)
    if accounts:
        return _change_account_keys(config, as_json=as_json)
    if abandon:
        return _abandon(config, names, as_json=as_json)
    return _act(config, names, Wish(roll_over=True), as_json=as_json)


@click.command()
@config_option
@json_option(
    {
        "certificates[].name": "whose certificate it was",
        "certificates[].serial": "lower-case hex",
        "certificates[].revoked": "whether it is revoked now",
        "certificates[].reason": "why not, or null",
    }
)
@click.option(
    "--reason", type=click.Choice(REASONS), default=REASONS[0], help="What the authority is told."
)
@click.argument("name_or_serial", metavar="NAME-OR-SERIAL")
def revoke(name_or_serial: str, config_path: Path | None, *, reason: str, as_json: bool) -> int:
    """Revoke the certificate in use for a NAME, or the one with a SERIAL (`cert show` has them).

    One that is in use is renewed within a minute, with the same key: where the key is lost or known
    to others (`--reason key-compromise`), change it first, with `cert rollover`.
    """
    from letterlock.protocols.acme.requests import RevocationReason  # noqa: PLC0415 - lazy, -h

    config = load_managing_config(config_path)
    chosen = RevocationReason[reason.upper().replace("-", "_")]

    async def work(desk: "Desk") -> list[dict[str, Any]]:
        outcomes: list[dict[str, Any]] = []
        for certificate in await _find_issued(desk, name_or_serial):
            failed = await desk.revoke(certificate, chosen)
            outcomes.append(
                {
                    "name": certificate.id.name,
                    "serial": certificate.serial,
                    "revoked": failed is None,
                    "reason": failed.reason if failed is not None else None,
                }
            )
        return outcomes

    outcomes = run_at_desk(config, work, _tell)
    if as_json:
        print_json({"certificates": outcomes})
    for each in outcomes:
        if not as_json and each["revoked"]:
            click.echo(f"{each['name']}: {each['serial']} is revoked")
        elif not each["revoked"]:
            _tell(f"{each['name']}: {each['serial']} is not revoked: {each['reason']}")
    is_done = all(each["revoked"] for each in outcomes)
    return ExitCode.FINE if is_done else ExitCode.BAD_NEWS


async def _find_issued(desk: "Desk", name_or_serial: str) -> "list[IssuedCertificate]":
    found = await desk.find_issued(name_or_serial)
    states = await desk.find(name_or_serial)
    for state in states:
        if state.facts is not None:
            issued = await desk.find_issued(state.facts.serial)
            found += [each for each in issued if each.id == state.id]
    if not found:
        reason = "no certificate of ours; `letterlock cert list` has them"
        if states:
            reason = "it has no certificate yet: there is nothing to revoke"
        raise CommandFailed(f"{name_or_serial}: {reason}", ExitCode.BAD_NEWS)
    return found


def _act(
    config: "Config",
    names: Sequence[str],
    wish: "Wish",
    *,
    as_json: bool,
    only_missing: bool = False,
) -> int:
    from letterlock.node.certificate_desk import open_listeners  # noqa: PLC0415 - not for -h

    listeners = open_listeners(config)

    async def work(desk: "Desk") -> list[dict[str, Any]]:
        outcomes = []
        for state in await _find_wanted(desk, names):
            if only_missing and state.facts is not None:
                if names:
                    _tell(f"{state.id}: there already; `letterlock cert renew` gets another")
                continue
            before = state.facts.serial if state.facts is not None else None
            after = await desk.tend(state.id, wish)
            outcomes.append(_describe_outcome(state.id, before, after, wish))
        return outcomes

    try:
        outcomes = run_at_desk(config, work, _tell, listeners)
    finally:
        if listeners is not None:
            listeners.close()
    if as_json:
        print_json({"certificates": outcomes})
    else:
        for each in outcomes:
            click.echo(_format_outcome(each))
        if not outcomes:
            click.echo("nothing to do")
    has_missing = any(each["serial"] is None for each in outcomes if each["outcome"] != "busy")
    return ExitCode.BAD_NEWS if has_missing else _find_exit_code(outcomes)


def _find_exit_code(outcomes: Sequence[Mapping[str, Any]]) -> int:
    kinds = {each["outcome"] for each in outcomes}
    if "failed" in kinds:
        return ExitCode.BAD_NEWS
    return ExitCode.UNDECIDED if "busy" in kinds else ExitCode.FINE


def _abandon(config: "Config", names: Sequence[str], *, as_json: bool) -> int:
    from letterlock.services.certify.tending import BUSY  # noqa: PLC0415 - not loaded for -h

    async def work(desk: "Desk") -> list[dict[str, Any]]:
        outcomes = []
        for state in await _find_wanted(desk, names):
            fault = await desk.abandon(state.id)
            outcome = _describe_outcome(state.id, None, state, None)
            kind = "busy" if fault == BUSY else "failed" if fault else "done"
            outcomes.append({**outcome, "outcome": kind, "reason": fault})
        return outcomes

    outcomes = run_at_desk(config, work, _tell)
    if as_json:
        print_json({"certificates": outcomes})
    else:
        for each in outcomes:
            title = f"{each['name']} ({each['key_type']})"
            click.echo(f"{title}: {each['reason'] or 'the roll-over is given up'}")
    return _find_exit_code(outcomes)


def _change_account_keys(config: "Config", *, as_json: bool) -> int:
    async def work(desk: "Desk") -> list[dict[str, Any]]:
        return [
            {"authority": directory, "outcome": "failed" if fault else "done", "reason": fault}
            for directory, fault in await desk.change_account_keys()
        ]

    outcomes = run_at_desk(config, work, _tell)
    if as_json:
        print_json({"accounts": outcomes})
    else:
        for each in outcomes:
            reason = f": {each['reason']}" if each["reason"] else ""
            click.echo(f"{each['authority']}: {each['outcome']}{reason}")
    has_failed = any(each["outcome"] == "failed" for each in outcomes)
    return ExitCode.BAD_NEWS if has_failed else ExitCode.FINE


async def _find_wanted(desk: "Desk", names: Sequence[str]) -> "list[CertificateState]":
    """Find those of the names, or all; a name that the settings lack ends the command."""
    from letterlock.node.certificate_desk import normalize_name  # noqa: PLC0415 - not for -h

    known = dict.fromkeys(each.name for each in desk.wanted)
    for name in names:
        if normalize_name(name) not in known:
            raise CommandFailed(
                f"{name}: the settings do not name it; add it to certificates.names",
                ExitCode.WRONG_USAGE,
            )
    found = [state for name in (names or known) for state in await desk.find(name)]
    return [state for state in found if state.id in desk.wanted]


def _describe_outcome(
    which: "CertificateId",
    before: str | None,
    after: "CertificateState | None",
    wish: "Wish | None",
) -> dict[str, Any]:
    from letterlock.base.clock import format_time  # noqa: PLC0415 - not loaded for -h

    facts = after.facts if after is not None else None
    outcome, reason = "done", None
    if after is None:
        outcome, reason = "busy", "another process is at it: see `letterlock cert list`"
    elif after.rollover is not None and (facts is None or (wish and wish.roll_over)):
        outcome, reason = "waiting", after.rollover.note
    elif facts is None or facts.serial == before:
        outcome = "failed"
        reason = after.troubles[-1].reason if after.troubles else "the log says why"
    return {
        "name": which.name,
        "key_type": str(which.key_type).lower(),
        "outcome": outcome,
        "serial": facts.serial if facts is not None else None,
        "not_after": format_time(facts.not_after) if facts is not None else None,
        "reason": reason,
    }


def _format_outcome(each: dict[str, Any]) -> str:
    title = f"{each['name']} ({each['key_type']})"
    if each["outcome"] == "done" and each["not_after"] is not None:
        return f"{title}: serial {each['serial']}, valid until {each['not_after']}"
    return f"{title}: {each['outcome']}" + (f": {each['reason']}" if each["reason"] else "")


def _tell(text: str) -> None:
    click.echo(text, err=True)
