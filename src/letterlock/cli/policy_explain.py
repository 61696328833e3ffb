"""`letterlock policy explain` and `policy test`: what mail for a domain must have, and whether."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO, TypeVar

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

if TYPE_CHECKING:
    from letterlock.base.domains import Domain

Decorated = TypeVar("Decorated", bound=Callable[..., Any])

EXPLAIN_KEYS = {
    "domain": "what was asked about: a domain, or a host in brackets",
    "next_hop": "where its mail goes by SMTP: the domain, or what is configured; null: not by SMTP",
    "way": "what is done with it",
    "way.kind": "smtp, lmtp, mailbox, discard or error",
    "way.to": "the next hop, or the LMTP server; else null",
    "way.where": "file and line of the table's entry that says so; or null",
    "resolver.address": "who is asked DNS",
    "resolver.trusted": "whether its DNSSEC result is believed",
    "resolver.self_test": "passed, failed, untrusted, or undecided",
    "resolver.reason": "whether DANE can work, and what to change when it can't",
    "mta_sts": "null where there is none",
    "mta_sts.record": "what stands at `_mta-sts.DOMAIN`; null when there is nothing now",
    "mta_sts.id": "the id in it",
    "mta_sts.mode": "enforce, testing or none; null: no policy holds",
    "mta_sts.mx": "its patterns",
    "mta_sts.max_age": "seconds",
    "mta_sts.fetched": "when it was fetched",
    "mta_sts.expires": "until when it holds",
    "mta_sts.error": "what went wrong with the last look, or null",
    "mta_sts.result_type": "its name in RFC 8460's words, or null",
    "tlsrpt": "null where there is no TLSRPT record",
    "tlsrpt.record": "what stands at `_smtp._tls.DOMAIN`",
    "tlsrpt.rua": "where reports go",
    "tlsrpt.error": "what is wrong with it, or null",
    "mx_status": "DNSSEC state of the MX lookup: secure, insecure, bogus, failed; or null",
    "mx_aliases[]": "CNAME links between the domain and its MX records: name, target, status",
    "hosts[].name": "the host; its address where it has no name",
    "hosts[].preference": "of its MX record",
    "hosts[].aliases[]": "CNAME links between the name and its addresses: name, target, status",
    "hosts[].addresses[].ip": "an address",
    "hosts[].addresses[].status": "DNSSEC state of its lookup",
    "hosts[].addresses[].trial": "null unless tested: decision and reason for this address",
    "hosts[].tlsa_base": "where its TLSA records are, without `_25._tcp`; null without any",
    "hosts[].tlsa[].record": "a record, as in a zone file",
    "hosts[].tlsa[].usable": "whether it counts for mail",
    "hosts[].tlsa[].why": "why not, or null",
    "hosts[].tlsa_status": "usable, unusable, none, insecure, failed; null: not looked up",
    "hosts[].tlsa_reason": "the same in words",
    "hosts[].requirement": "what TLS it must have; null where it has no address",
    "hosts[].requirement.source": "dane, mta-sts, table, requiretls or opportunistic",
    "hosts[].requirement.sources": "all that are to be met",
    "hosts[].requirement.level": "as in the policy table; null where its entry can't be used",
    "hosts[].requirement.names": "names, one of which the certificate must hold",
    "hosts[].requirement.sni": "the name sent in the handshake",
    "hosts[].requirement.min_version": "the least version of TLS",
    "hosts[].requirement.is_testing": "an MTA-STS policy in mode testing is judged and recorded",
    "hosts[].requirement.usable": "false: it gets no mail now, whatever its TLS",
    "hosts[].requirement.reason": "why, in words; with the reason and the end of an exception",
    "hosts[].handshake": "null unless tested: version, cipher, group, sni, chain, errors, alert",
    "hosts[].verdict": "null unless tested: outcome, result_type, reason_code, reason ...",
    "hosts[].decision": "what would become of a message if this were the only host",
    "hosts[].reason": "why, in words",
    "decision": "deliver, defer, bounce or undecidable",
    "reason": "why, in words",
    "notes": "what else is to be known, in words",
    "log": "only with --log",
    "log.file": "the file that was read",
    "log.deliveries": "how many attempts ended with each status: sent, deferred, bounced",
    "log.tls": "how many of them had TLS: Verified, Trusted, Untrusted, Anonymous",
    "log.causes": "how many ended so, by the causes of `log explain`",
    "log.last": "time, relay, status, reason and cause of the last attempt; or null",
    "log.last_trouble": "the same of the last one that was not sent; or null",
}
DEMANDS = ("normal", "requiretls", "tls-required-no")
_COLOURS = {"deliver": "green", "undecidable": "yellow"}


def _question(command: Decorated) -> Decorated:
    for decorate in (
        json_option(EXPLAIN_KEYS),
        click.option(
            "--demand",
            type=click.Choice(DEMANDS),
            default=DEMANDS[0],
            help="For a message that asks this of TLS (RFC 8689).",
        ),
        click.option(
            "--log",
            "log_path",
            type=click.Path(path_type=Path),
            metavar="FILE",
            help="Add what this mail log (see `log explain`) says of the domain.",
        ),
        click.option(
            "--sender",
            default="",
            metavar="ADDRESS",
            help="For mail of this sender, who may have a relay host of his own.",
        ),
        resolver_option,
        config_option,
        click.argument("asked", metavar="ADDRESS-OR-DOMAIN"),
    ):
        command = decorate(command)
    return command


@click.command()
@_question
def explain(**options: Any) -> int:
    """Explain what TLS mail for a domain must have, host by host, and why.

    ADDRESS-OR-DOMAIN can also be a host in brackets, with or without a port: `[mx.example.com]:25`.
    It asks DNS, and fetches an MTA-STS policy; no mail server is spoken to, and nothing is changed.
    Without a configuration the defaults hold. Exit code 0: a message could go out; 1: it could not;
    3: undecidable, because nobody answered.
    """
    return _answer(_Asked(**options), is_live=False)


@click.command()
@_question
def test(**options: Any) -> int:
    """Explain, and try it: connect to each host, do the TLS handshake, judge it, and leave.

    No mail is sent, nor begun: after the judgement comes QUIT. At most twelve addresses are tried,
    as in one delivery. Exit code 0: a message could go out; 1: it could not; 3: undecidable,
    because no host could be reached.
    """
    return _answer(_Asked(**options), is_live=True)


@dataclass(frozen=True, slots=True)
class _Asked:
    """The command line."""

    asked: str
    config_path: Path | None
    resolver: str | None
    log_path: Path | None
    demand: str
    sender: str
    as_json: bool


def _answer(asked: _Asked, *, is_live: bool) -> int:
    from letterlock.base.clock import SystemClock  # noqa: PLC0415 - lazy, for -h
    from letterlock.node.explaining import run  # noqa: PLC0415 - as above
    from letterlock.protocols.smtp.envelope import TlsDemand  # noqa: PLC0415 - as above
    from letterlock.services.discover.next_hop import NextHopError  # noqa: PLC0415 - as above
    from letterlock.services.explain.document import describe_explanation  # noqa: PLC0415 - as above

    address = take_resolver(asked.resolver)
    # Before we are the data's owner, who may not read it.
    log = _open_log(asked.log_path) if asked.log_path is not None else None
    config, notes = find_config_or_defaults(asked.config_path)
    config = use_resolver(config, address)
    demand = TlsDemand(asked.demand)
    try:
        explanation = run(
            config, asked.asked, demand, SystemClock(), is_live=is_live, sender=asked.sender
        )
    except NextHopError as error:
        raise click.UsageError(f"ADDRESS-OR-DOMAIN: {error}") from None
    document = describe_explanation(explanation)
    document["notes"] = [*notes, *document["notes"]]
    if log is not None:
        document["log"] = _read_log(log, document["domain"])
    if asked.as_json:
        print_json(document)
    else:
        _print_story(document)
    return _EXIT_CODES[document["decision"]]


_EXIT_CODES = {
    "deliver": ExitCode.FINE,
    "defer": ExitCode.BAD_NEWS,
    "bounce": ExitCode.BAD_NEWS,
    "undecidable": ExitCode.UNDECIDED,
}


def _open_log(path: Path) -> TextIO:
    try:
        return path.open(encoding="utf-8", errors="replace")
    except OSError as error:
        raise _unreadable(path, error) from None


def _read_log(log: TextIO, domain: "Domain") -> dict[str, Any]:
    from letterlock.services.explain.mail_log import summarize_log  # noqa: PLC0415 - lazy, for -h

    try:
        with log:
            summary = summarize_log(log, domain)
    except OSError as error:
        raise _unreadable(log.name, error) from None
    return {"file": log.name, **asdict(summary)}


def _unreadable(path: object, error: OSError) -> CommandFailed:
    return CommandFailed(f"{path}: cannot be read: {error.strerror}", ExitCode.WRONG_USAGE)


def _print_story(document: Mapping[str, Any]) -> None:
    """Print it; with colours on a terminal, and never with NO_COLOR."""
    from rich.console import Console  # noqa: PLC0415 - lazy, for -h
    from rich.text import Text  # noqa: PLC0415 - as above

    from letterlock.cli.policy_text import find_label, format_explanation  # noqa: PLC0415 - as above

    console = Console(highlight=False)
    for line in format_explanation(document):
        text = Text(line)
        is_heading = not line.startswith(" ")
        text.stylize("bold" if is_heading else "cyan", 0, find_label(line))
        decision = document["decision"]
        if line.lstrip().startswith("decision"):
            start = find_label(line)
            text.stylize(_COLOURS.get(decision, "bold red"), start, start + len(decision))
        console.print(text, soft_wrap=True)
