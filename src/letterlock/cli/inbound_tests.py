"""`letterlock inbound new`, `list` and `show`: tests, and what was seen of who sent to them."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from letterlock.base.counts import format_count
from letterlock.cli.failures import CommandFailed, ExitCode
from letterlock.cli.options import (
    act_as_owner,
    config_option,
    json_option,
    load_config_or_fail,
    print_json,
)

if TYPE_CHECKING:
    from letterlock.base.config.sections import Config
    from letterlock.base.domains import Domain
    from letterlock.protocols.inbound.facts import InboundTest
    from letterlock.storage.inbound_tests import InboundTests

TEST_KEYS = {
    "token": "the test's name, in its addresses and its page's path",
    "created": "when it was made",
    "expires": "until when it takes mail; then it is removed",
    "page": "the URL of its page; null: none is served",
    "awaited": "the only sender who is written to, or null",
    "addresses[].case": "good, expired, wrong-name, no-starttls, bad-tlsa or sts",
    "addresses[].address": "where to send to",
    "addresses[].host": "its MX host",
    "addresses[].fault": "what is wrong with that host",
}
RESULT_KEYS = {
    **TEST_KEYS,
    "reported": "when the sender was written to, or null",
    "cases[].case": "which host",
    "cases[].fault": "what is wrong with it",
    "cases[].outcome": "encrypted, clear, refused, probably-refused, not-seen or not-offered",
    "cases[].sessions": "how many named it",
    "cases[].versions[]": "of TLS",
    "cases[].ciphers[]": "OpenSSL's names",
    "cases[].groups[]": "of the key exchange",
    "cases[].sni[]": "names that were asked for",
    "cases[].without_sni": "handshakes that asked for none",
    "cases[].failures[]": "why handshakes failed",
    "answers[].question": "tls, requires-tls, falls-back-to-clear, sni, verifies-always, dane, "
    "mta-sts or requiretls",
    "answers[].answer": "yes, no, sometimes or unknown",
    "answers[].evidence": "what it rests on",
    "unplaced": "sessions that left without saying which host they meant",
    "sessions[].started": "when it began",
    "sessions[].ip": "the client's address",
    "sessions[].hello": "its name in EHLO",
    "sessions[].place": "shared, expired or no-starttls",
    "sessions[].cases[]": "the hosts that it named",
    "sessions[].delivered[]": "those that it delivered to",
    "sessions[].encrypted": "whether there was TLS",
    "sessions[].version": "null without TLS",
    "sessions[].cipher": "null without TLS",
    "sessions[].group": "null: not known",
    "sessions[].sni": "the name that was asked for, or null",
    "sessions[].failure": "why the handshake failed, or null",
    "sessions[].requiretls": "whether MAIL asked for it",
    "sessions[].guessed": "it named no recipient: it is of a client that only this test has seen",
}
_SENDER = click.option(
    "--from",
    "awaited",
    metavar="ADDRESS",
    help="Write what was seen to this sender only. Default: to whose message comes first.",
)


@click.command()
@config_option
@json_option(TEST_KEYS)
@_SENDER
def new(config_path: Path | None, awaited: str | None, *, as_json: bool) -> None:
    """Make a test: one address at each host, for `inbound.lifetime`.

    Send a mail from the server in question to each of them. What it does shows `inbound show`, the
    test's page, and a mail that its sender gets when nothing more comes.
    """
    from letterlock.base.clock import SystemClock  # noqa: PLC0415 - not loaded for -h
    from letterlock.node.inbound import find_offered  # noqa: PLC0415 - as above
    from letterlock.protocols.inbound.cases import CASES_BY_PLACE, Case  # noqa: PLC0415 - as above
    from letterlock.protocols.inbound.facts import InboundTest  # noqa: PLC0415 - as above
    from letterlock.protocols.inbound.mail import may_be_answered  # noqa: PLC0415 - as above
    from letterlock.protocols.inbound.texts import format_addresses  # noqa: PLC0415 - as above
    from letterlock.storage.inbound_tests import TooManyTests, make_token  # noqa: PLC0415 - as above

    config, _ = load_testing_config(config_path)
    if awaited is not None and not may_be_answered(awaited):
        raise CommandFailed(f"--from {awaited!r}: not a mail address", ExitCode.WRONG_USAGE)
    section, now = config.inbound, SystemClock().now()
    offered = {case for place in find_offered(section) for case in CASES_BY_PLACE[place]}
    if not section.listen_https:
        offered.discard(Case.MTA_STS)
    test = InboundTest(
        token=make_token(),
        created=now,
        expires=now + section.lifetime,
        offered=tuple(case for case in Case if case in offered),
        awaited=awaited,
    )
    try:
        _open_tests(config).add(test, section.max_tests)
    except TooManyTests:
        text = f"there are {section.max_tests} tests already (inbound.max_tests)"
        raise CommandFailed(text, ExitCode.BAD_NEWS) from None
    except OSError as error:
        raise CommandFailed(f"{error.filename or config.inbound_dir}: {error.strerror}") from None
    document = _describe(config, test)
    if as_json:
        print_json(document)
    else:
        click.echo("\n".join(format_addresses(document)))


@click.command("list")
@config_option
@json_option({f"tests[].{key}": text for key, text in TEST_KEYS.items()})
def list_tests(config_path: Path | None, *, as_json: bool) -> None:
    """List the tests whose time is not over."""
    config, _ = load_testing_config(config_path)
    tests = _open_tests(config).list_all()
    if as_json:
        print_json({"tests": [_describe(config, test) for test in tests]})
        return
    for test in tests:
        document = _describe(config, test)
        sessions = format_count(len(test.sessions), "session")
        click.echo(f"{test.token}  until {document['expires']}  {sessions}")


@click.command()
@config_option
@json_option(RESULT_KEYS)
@click.argument("token")
def show(token: str, config_path: Path | None, *, as_json: bool) -> None:
    """Show how the sender of the test TOKEN sends, as far as was seen."""
    from letterlock.node.inbound import find_page  # noqa: PLC0415 - not loaded for -h
    from letterlock.protocols.inbound.cases import HostNames  # noqa: PLC0415 - as above
    from letterlock.protocols.inbound.document import describe_result  # noqa: PLC0415 - as above
    from letterlock.protocols.inbound.texts import format_result  # noqa: PLC0415 - as above

    config, domain = load_testing_config(config_path)
    test = _open_tests(config).load(token.lower())
    if test is None:
        text = f"{token}: no such test, or its time is over; `letterlock inbound list` has them"
        raise CommandFailed(text, ExitCode.BAD_NEWS)
    document = describe_result(test, HostNames(domain), find_page(config.inbound, test.token))
    if as_json:
        print_json(document)
    else:
        click.echo("\n".join(format_result(document)))


def load_testing_config(path: Path | None) -> "tuple[Config, Domain]":
    """Read the configuration and the domain of its test; ends the command where there is none."""
    config = load_config_or_fail(path)
    if config.inbound.domain is None:
        raise CommandFailed(
            "inbound.domain is not set, so there is no inbound test; "
            "docs/guide/inbound-test.md says how to have one",
            ExitCode.WRONG_USAGE,
        )
    return config, config.inbound.domain


def _open_tests(config: "Config") -> "InboundTests":
    from letterlock.storage.inbound_tests import InboundTests  # noqa: PLC0415 - not loaded for -h

    act_as_owner(config.data_dir)
    return InboundTests(config.inbound_dir)


def _describe(config: "Config", test: "InboundTest") -> dict[str, Any]:
    from letterlock.node.inbound import find_page  # noqa: PLC0415 - as above
    from letterlock.protocols.inbound.cases import HostNames  # noqa: PLC0415 - as above
    from letterlock.protocols.inbound.document import describe_test  # noqa: PLC0415 - as above

    assert config.inbound.domain is not None, "the caller has looked"
    names = HostNames(config.inbound.domain)
    return describe_test(test, names, find_page(config.inbound, test.token))
