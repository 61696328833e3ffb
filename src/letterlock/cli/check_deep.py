"""`letterlock check --deep`: what may be asked, what is said beforehand, and how it is told."""

import functools
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from letterlock.base.counts import format_count
from letterlock.cli.failures import CommandFailed
from letterlock.cli.options import Decorated
from letterlock.cli.story_text import Document

if TYPE_CHECKING:
    from letterlock.base.domains import Domain
    from letterlock.node.checking import Asked, DeepOptions

DEFAULT_CONNECTIONS = 100

_DEEP = "hosts[].addresses[].deep"
DEEP_KEYS = {
    _DEEP: "only with --deep, of 8 addresses of a host; null: there was no TLS to look at",
    f"{_DEEP}.connections": "how many were made for it",
    f"{_DEEP}.stopped": "why it ended before all was asked, or null",
    f"{_DEEP}.sni": "the server name that was sent, or null",
    f"{_DEEP}.versions": "by name from TLSv1.3 to SSLv3: offered, refused or not tested",
    f"{_DEEP}.suites[].name": "a suite that is taken, by IANA's name, in the order of its choices",
    f"{_DEEP}.suites[].version": "the version in which it was asked for",
    f"{_DEEP}.suites[].dh_bits": "the size of its Diffie-Hellman prime, or null",
    f"{_DEEP}.suites[].weaknesses[]": "null, export, anonymous, rc4, small-block, "
    "no-forward-secrecy",
    f"{_DEEP}.order": "whose order of suites counts, server or client; null: not known",
    f"{_DEEP}.groups[]": "a group that is taken, in the order of its choices",
    f"{_DEEP}.is_complete": "whether those are all suites and groups",
    f"{_DEEP}.compression": "whether TLS compression is taken; null: not known",
    f"{_DEEP}.secure_renegotiation": "whether RFC 5746 is known to it, or null",
    f"{_DEEP}.extended_master_secret": "whether RFC 7627 is known to it, or null",
    f"{_DEEP}.injection.state": "what it does with a command in clear behind STARTTLS: executed, "
    "answered in clear, discarded, refused or not tested",
    f"{_DEEP}.injection.detail": "what it said",
    f"{_DEEP}.smuggling[].ending": "a wrong end of a message; only with --i-own-this",
    f"{_DEEP}.smuggling[].state": "taken for the end, not taken for the end, refused or not tested",
    f"{_DEEP}.smuggling[].detail": "what it said",
}


@dataclass(frozen=True, slots=True)
class DeepChoice:
    """What was asked for on the command line."""

    is_deep: bool
    connections: int
    is_owner: bool

    def begin(self, asked: "Sequence[Asked]", pace: float) -> "DeepOptions | None":
        """Say what will be done; where mail is to be sent, ask first. None: no --deep."""
        from letterlock.node.checking import DeepOptions  # noqa: PLC0415 - lazy, for -h

        if not self.is_deep:
            if self.is_owner:
                raise click.UsageError("--i-own-this is for --deep")
            return None
        minutes = max(1, round(self.connections * (pace + 0.2) / 60))
        _note(
            f"--deep makes up to {self.connections} connections more to each address, one at a "
            f"time, {pace:g} s apart: it may take {minutes} min"
        )
        return DeepOptions(self.connections, _ask_owner(asked) if self.is_owner else None)


def deep_options(command: Decorated) -> Callable[..., Any]:
    """Add `--deep`, `--deep-connections` and `--i-own-this`; the command takes `deep`."""

    @functools.wraps(command)
    def take(*, is_deep: bool, deep_connections: int, is_owner: bool, **others: object) -> object:
        return command(deep=DeepChoice(is_deep, deep_connections, is_owner), **others)

    deep = click.option(
        "--deep",
        "is_deep",
        is_flag=True,
        help="Find each TLS version, cipher suite and group that is taken, and try a command in "
        "clear behind STARTTLS.",
    )
    connections = click.option(
        "--deep-connections",
        type=click.IntRange(min=1, max=300),
        default=DEFAULT_CONNECTIONS,
        metavar="N",
        help=f"Make at most N connections to one address for that. Default: {DEFAULT_CONNECTIONS}.",
    )
    owner = click.option(
        "--i-own-this",
        "is_owner",
        is_flag=True,
        help="With --deep: send messages with wrong ends to the domain's postmaster, to see "
        "whether mail can be smuggled in. For a domain of your own.",
    )
    return deep(connections(owner(take)))


def _ask_owner(asked: "Sequence[Asked]") -> "Domain":
    from letterlock.services.check.deep import ENDINGS  # noqa: PLC0415 - lazy, for -h

    if len(asked) != 1 or asked[0].speech is not None or asked[0].next_hop.domain is None:
        raise click.UsageError("--i-own-this is for one domain")
    domain = asked[0].next_hop.domain
    text = (
        f"--i-own-this sends up to {len(ENDINGS)} test messages to postmaster@{domain}, by each "
        "address of its MX hosts"
    )
    _note(text)
    if _is_terminal() and not click.confirm("Is it yours, and shall they be sent?", err=True):
        raise CommandFailed("nothing was sent")
    return domain


def _is_terminal() -> bool:
    return sys.stdin.isatty()


def _note(text: str) -> None:
    click.echo(f"letterlock: note: {text}", err=True)


def summarize_deep(deep: Document) -> str:
    """Give one line on what was found."""
    offered = [name for name, state in deep["versions"].items() if state == "offered"]
    parts = [
        " ".join(offered) or "no TLS",
        format_count(len({each["name"] for each in deep["suites"]}), "suite"),
        format_count(len(deep["groups"]), "group"),
    ]
    if deep["order"]:
        parts.append(f"the {deep['order']}'s order")
    parts.append(f"by {format_count(deep['connections'], 'connection')}")
    if deep["stopped"]:
        parts.append(f"not all: {deep['stopped']}")
    return ", ".join(parts)


def list_deep_rows(host: Document) -> Iterator[tuple[str, str, str]]:
    """Give rows for each address that was looked at deeply: it, what was asked, and the answer.

    The address stands in its first row alone.
    """
    for address in host["addresses"]:
        deep = address.get("deep")
        if deep is not None:
            place = f"{host['name'] or 'the domain itself'} {address['ip']}"
            for number, (what, text) in enumerate(_list_parts(deep)):
                yield ("" if number else place), what, text


def _list_parts(deep: Document) -> Iterator[tuple[str, str]]:
    yield "versions", ", ".join(f"{name} {state}" for name, state in deep["versions"].items())
    for version in deep["versions"]:
        suites = [each for each in deep["suites"] if each["version"] == version]
        if suites:
            yield f"suites of {version}", ", ".join(map(_name_suite, suites))
    yield "groups", ", ".join(deep["groups"]) or "none"
    if deep["order"]:
        yield "order of suites", f"the {deep['order']}'s"
    yield "a command in clear behind STARTTLS", deep["injection"]["state"]
    for tried in deep["smuggling"]:
        yield f"{tried['ending']} in a message", f"{tried['state']}: {tried['detail']}"
    ended = f", then: {deep['stopped']}" if deep["stopped"] else ""
    yield "connections", f"{deep['connections']}{ended}"


def _name_suite(suite: Document) -> str:
    weak = [*suite["weaknesses"], *([f"{suite['dh_bits']} bits"] if suite["dh_bits"] else [])]
    return f"{suite['name']} ({', '.join(weak)})" if weak else str(suite["name"])
