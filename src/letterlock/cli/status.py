"""`letterlock status`: the node on one screen."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from letterlock.base.counts import format_count
from letterlock.base.printable import make_printable
from letterlock.cli.failures import CommandFailed, ExitCode
from letterlock.cli.options import (
    act_as_owner,
    config_option,
    json_option,
    load_config_or_fail,
    print_json,
)
from letterlock.cli.stored_queue import open_stored_queue
from letterlock.network.control_client import Answers, NodeNotRunning, NodeUnreachable, ask_all
from letterlock.storage.queue import StoreUnavailable

if TYPE_CHECKING:
    from letterlock.base.config.sections import Config

ANSWER_SECONDS = 10.0
SOON_DAYS = 14
"""A certificate that ends sooner than this is marked."""
MAX_PROBLEMS = 20
"""With certificates that the node gets by itself, of which there may be thousands."""

_CLIENTS = {
    "connections": "connections since the node started",
    "refused": "of them refused at once, by a limit",
    "messages": "messages accepted",
    "tls": "sessions with TLS",
    "tls_failed": "TLS handshakes that failed",
    "no_sni": "clients that asked for no name (SNI)",
    "unknown_sni": "clients that asked for a name we don't have",
    "filter_refused": "senders, recipients and messages that filters refused",
    "filter_discarded": "messages that filters discarded",
    "filter_held": "messages that filters have kept back in the queue",
    "filter_failed": "times that a filter failed",
}

_ONE_CLIENT = {
    "connections": "connection since the node started",
    "messages": "message accepted",
    "tls": "session with TLS",
    "tls_failed": "TLS handshake that failed",
    "no_sni": "client that asked for no name (SNI)",
    "unknown_sni": "client that asked for a name we don't have",
    "filter_refused": "sender, recipient or message that a filter refused",
    "filter_discarded": "message that a filter discarded",
    "filter_held": "message that a filter has kept back in the queue",
    "filter_failed": "time that a filter failed",
}


@click.command()
@config_option
@json_option(
    {
        "running": "whether a node runs",
        "node": "version, started, workers, pids and what else the node tells of itself",
        "queue": "null when it can't be read now",
        "queue.messages": "messages that wait",
        "queue.bytes": "their octets",
        "queue.queued": "recipients that wait",
        "queue.held": "recipients that are held",
        "queue.claimed": "recipients that are being delivered",
        "certificate_count": "certificates that are served; of many not all are shown",
        "certificates[].names": "the names in a certificate",
        "certificates[].not_after": "when it ends",
        "certificates[].days_left": "whole days until then; negative when it has ended",
        "resolver.address": "who is asked DNS",
        "resolver.trusted": "whether its DNSSEC result is believed",
        "resolver.self_test": "passed, failed, untrusted, or undecided",
        "resolver.reason": "whether DANE can work, and what to change when it can't",
        "clients.connections": "connections since the node started",
        "clients.refused": "of them refused at once, by a limit",
        "clients.messages": "messages accepted",
        "clients.tls": "sessions with TLS",
        "clients.tls_failed": "TLS handshakes that failed",
        "clients.no_sni": "clients that asked for no name, since the node started",
        "clients.unknown_sni": "clients that asked for a name we don't have",
        "clients.filter_refused": "senders, recipients and messages that filters refused",
        "clients.filter_discarded": "messages that filters discarded",
        "clients.filter_held": "messages that filters have kept back in the queue",
        "clients.filter_failed": "how often a filter failed: could not be asked or understood",
        "managed": "certificates that the node gets by itself; null: none, or they can't be read "
        "now",
        "managed.wanted": "how many the settings name",
        "managed.missing": "of them not there yet",
        "managed.with_problems": "of them with problems",
        "managed.forgotten": "how many are kept that the settings do not name any more",
        "managed.next_renewal": "when the next one is, or was, to be renewed, or null",
        "problems": "what needs the operator: wrong policy entries, failed reloads ...",
    }
)
def status(config_path: Path | None, *, as_json: bool) -> int:
    """Show the node on one screen: queue, certificates, clients, problems.

    Exits with 1 when there is a problem or no node runs, with 3 when it could not be asked.
    """
    config = load_config_or_fail(config_path)
    act_as_owner(config.data_dir)
    counts, unread = _count_queue(config)
    managed, unsettled = _look_at_managed(config)
    try:
        answers = ask_all(config.node.control_socket, "status", {}, ANSWER_SECONDS)
        document = merge_answers(answers)
    except NodeNotRunning:
        document = {"running": False, "problems": ["no node runs"]}
    except NodeUnreachable as error:
        raise CommandFailed(str(error)) from None
    document |= {"queue": counts, "managed": managed}
    document["problems"] += [*unread, *unsettled]
    if as_json:
        print_json(document)
    else:
        for line in format_status(document):
            click.echo(make_printable(line))
    return ExitCode.BAD_NEWS if document["problems"] else ExitCode.FINE


def _count_queue(config: "Config") -> tuple[dict[str, int] | None, list[str]]:
    """Count what is kept, None when that can't be read; and what could not be, one line each."""
    try:
        with open_stored_queue(config) as stored:
            return dict(stored.count()), stored.problems
    except StoreUnavailable as error:
        return None, [f"the queue cannot be read: {error}"]


def _look_at_managed(config: "Config") -> tuple[dict[str, Any] | None, list[str]]:
    """Count the certificates that the node keeps; and what is wrong with them, a line each."""
    from letterlock.base.clock import SystemClock, format_time  # noqa: PLC0415 - lazy, for -h
    from letterlock.base.errors import LocalError  # noqa: PLC0415 - as above
    from letterlock.node.kept_certificates import read_overviews  # noqa: PLC0415 - as above
    from letterlock.services.certify.overview import list_problems  # noqa: PLC0415 - as above

    clock = SystemClock()
    try:
        overviews = read_overviews(config, clock)
    except (StoreUnavailable, LocalError) as error:
        return None, [f"the certificates cannot be read: {error}"]
    if not overviews:
        return None, []
    now = clock.now()
    wanted = [each for each in overviews if each.is_wanted]
    there = [each for each in wanted if each.state.facts is not None]
    found = {each.state.id: list_problems(each, now) for each in wanted}
    next_renewal = min((each.renewal.at for each in there), default=None)
    counts = {
        "wanted": len(wanted),
        "missing": len(wanted) - len(there),
        "with_problems": sum(map(bool, found.values())),
        "forgotten": len(overviews) - len(wanted),
        "next_renewal": format_time(next_renewal) if next_renewal is not None else None,
    }
    lines = [f"{which}: {problem}" for which, problems in found.items() for problem in problems]
    if (more := len(lines) - MAX_PROBLEMS) > 0:
        lines[MAX_PROBLEMS:] = [f"and {format_count(more, 'problem')} more: letterlock cert list"]
    return counts, lines


def merge_answers(found: Answers) -> dict[str, Any]:
    """Make one document of what the workers say: numbers add up, the rest is the same for all."""
    node: dict[str, Any] = {}
    clients: dict[str, int] = {}
    certificates: list[Any] = []
    count = 0
    resolver: dict[str, Any] | None = None
    problems: list[str] = list(found.failures)
    for answer in found.answers:
        node = {**answer.get("node", {}), **node}
        for key, number in answer.get("clients", {}).items():
            clients[key] = clients.get(key, 0) + int(number)
        certificates = certificates or list(answer.get("certificates", ()))
        count = max(count, int(answer.get("certificate_count", 0)))
        resolver = resolver or answer.get("resolver")
        problems += answer.get("problems", ())
    node["workers"] = len(found.answers)
    return {
        "running": True,
        "node": node,
        "certificates": certificates,
        "certificate_count": max(count, len(certificates)),
        "resolver": resolver,
        "clients": clients,
        "problems": list(dict.fromkeys(problems)),
    }


def format_status(document: Mapping[str, Any]) -> Iterator[str]:
    """Give the screen's lines."""
    node = document.get("node", {})
    if document["running"]:
        told = ", ".join(f"{key} {value}" for key, value in node.items())
        yield f"Node          running: {told}"
    else:
        yield "Node          not running; start it with letterlock serve"
    yield f"Queue         {_format_queue(document['queue'])}"
    certificates = document.get("certificates", ())
    yield from _format_certificates(certificates)
    if (more := document.get("certificate_count", 0) - len(certificates)) > 0:
        yield f"{'':14}and {more} more that end later: letterlock cert list"
    if managed := document.get("managed"):
        yield f"{'Managed':14}{_format_managed(managed)}"
    if resolver := document.get("resolver"):
        yield f"Resolver      {resolver['address']}; {resolver['reason']}"
    clients: Mapping[str, int] = document.get("clients", {})
    # Who has no filters does not read of them.
    shown = {key: count for key, count in clients.items() if count or "filter_" not in key}
    for number, (key, count) in enumerate(shown.items()):
        label = "" if number else "Clients"
        text = _ONE_CLIENT.get(key) if count == 1 else None
        yield f"{label:14}{count} {text or _CLIENTS.get(key, key)}"
    for number, problem in enumerate(document["problems"]):
        label = "" if number else "Problems"
        yield f"{label:14}{problem}"
    if not document["problems"]:
        yield f"{'Problems':14}none"


def _format_queue(queue: Mapping[str, int] | None) -> str:
    if queue is None:
        return "cannot be read now; see the problems"
    kib = (queue["bytes"] + 1023) // 1024
    return (
        f"{format_count(queue['messages'], 'message')}, {kib} KiB; "
        f"recipients: {queue['queued']} waiting, {queue['claimed']} being delivered, "
        f"{queue['held']} held"
    )


def _format_certificates(certificates: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for number, certificate in enumerate(certificates):
        label = "" if number else "Certificates"
        days = int(certificate.get("days_left", 0))
        mark = " (soon)" if 0 <= days < SOON_DAYS else ""
        ends = "has ended" if days < 0 else f"{format_count(days, 'day')} left{mark}"
        yield f"{label:14}{', '.join(certificate.get('names', ()))}: {ends}"


def _format_managed(managed: Mapping[str, Any]) -> str:
    parts = [format_count(managed["wanted"], "certificate")]
    if managed["next_renewal"] is not None:
        parts.append(f"the next renewed at {managed['next_renewal']}")
    if managed["missing"]:
        parts.append(f"{managed['missing']} not there yet")
    if managed["with_problems"]:
        parts.append(f"{managed['with_problems']} with problems")
    if managed["forgotten"]:
        parts.append(f"{managed['forgotten']} that the settings do not name any more")
    return ", ".join(parts)
