"""Which way each recipient of a claim goes: transport(5), and relay hosts by sender."""

from pathlib import Path

import pytest

from letterlock.base.domains import Domain
from letterlock.protocols.dns.answers import Answer, Existence, Security
from letterlock.protocols.tables.expansion import AddressTables
from letterlock.protocols.tables.transport import LmtpSocket
from letterlock.services.deliver.delivery import ClaimDelivery
from letterlock.services.deliver.ways import Routing
from letterlock.services.discover.next_hop import parse_next_hop
from letterlock.services.queue.outcomes import LOCAL, Delivery, Result
from letterlock.services.redirect.files import Unreadable
from letterlock.services.redirect.tables import (
    FixedTables,
    Tables,
    parse_sender_relay_file,
    parse_transport_file,
)
from tests.misbehaving import Conduct, serving
from tests.services.deliver.lmtp_server import LmtpScript, lmtp_at_socket
from tests.services.deliver.outbound import Outbound, only, sending
from tests.services.deliver.test_lmtp import lmtp
from tests.services.deliver.test_local import local

BROKEN = Unreadable("/t: No such file or directory")


def tables(transport: str | None = None, senders: str | None = None) -> Tables:
    return Tables(
        AddressTables("example.org", {"example.org"}.__contains__, delimiter="+"),
        transport=None if transport is None else parse_transport_file(transport.encode(), "t"),
        sender_relays=None if senders is None else parse_sender_relay_file(senders.encode(), "s"),
    )


def delivery(
    node: Outbound, tmp_path: Path, given: Tables, store: LmtpSocket | None = None, **routes: str
) -> ClaimDelivery:
    hops = {Domain(name.replace("_", ".")): parse_next_hop(hop) for name, hop in routes.items()}
    relayhost = hops.pop(Domain("relayhost"), None)
    routing = Routing(frozenset({"example.org"}), hops, relayhost, node.port)
    own = local(node, tmp_path / "mail")
    return ClaimDelivery(routing, own, node.remote, lmtp(node), store, FixedTables(given))


async def deliver(tmp_path: Path, given: Tables, *recipients: str) -> Delivery:
    async with sending(tmp_path) as node:
        await node.save(*recipients)
        return await delivery(node, tmp_path, given).deliver(await node.claim(), node.store)


async def test_each_recipient_goes_its_way(tmp_path: Path) -> None:
    path = tmp_path / "lmtp"
    given = tables(
        f"stored@example.org lmtp:unix:{path}\ngone@example.org discard:gone away\n"
        "no@example.org error:5.7.1 not here\nlate@example.org retry:4.3.2 not now\n"
        "strange@example.org uucp:x\nkept@example.org local:\n"
    )
    names = ("alice", "stored+tag", "gone", "no", "late", "strange", "kept")
    script = LmtpScript()
    async with lmtp_at_socket(path, script):
        done = await deliver(tmp_path, given, *(f"{name}@example.org" for name in names))
    found = {names[each.number]: (each.result, each.status) for each in done.outcomes}
    assert found == {
        "alice": (Result.DELIVERED, "2.0.0"),
        "stored+tag": (Result.DELIVERED, "2.0.0"),
        "gone": (Result.DELIVERED, "2.0.0"),
        "no": (Result.FAILED, "5.7.1"),
        "late": (Result.DEFERRED, "4.3.2"),
        "strange": (Result.DEFERRED, "4.3.5"),
        "kept": (Result.FAILED, "5.1.1"),
    }
    replies = {names[each.number]: each.reply for each in done.outcomes}
    assert replies["gone"] == "gone away"
    assert replies["strange"] == ("t:5: strange@example.org: there is no transport 'uucp' here")
    assert "RCPT TO:<stored+tag@example.org>" in script.commands
    told = [number for attempt in done.attempts for number in attempt.recipients]
    assert sorted(told) == list(range(len(names)))


async def test_a_transport_table_that_cannot_be_read_keeps_mail_waiting(tmp_path: Path) -> None:
    broken = Tables(tables().addresses, transport=BROKEN)
    outcome = only(await deliver(tmp_path, broken, "alice@example.org"))
    assert (outcome.result, outcome.status) == (Result.DEFERRED, "4.3.5")
    assert outcome.reply == BROKEN.reason


async def test_what_is_no_address_goes_as_usual(tmp_path: Path) -> None:
    outcome = only(await deliver(tmp_path, tables("* error:no"), "broken@@example.org"))
    assert (outcome.result, outcome.status) == (Result.FAILED, "5.1.1")


@pytest.mark.parametrize(
    ("transport", "senders"),
    [
        ("example.com smtp:[127.0.0.1]:{port}", None),
        (".com smtp:[127.0.0.1]:{port}", None),
        (None, "@example.org [127.0.0.1]:{port}"),
        ("example.com :", "alice@example.org [127.0.0.1]:{port}"),
    ],
)
async def test_mail_goes_to_the_next_hop_of_a_table(
    tmp_path: Path, transport: str | None, senders: str | None
) -> None:
    """The relay host of all would be another; transport(5) and the sender's come before it."""
    async with serving(Conduct(has_starttls=False)) as (server,), sending(tmp_path) as node:
        port = server.port
        given = tables(
            transport and transport.format(port=port).replace("127.0.0.1", server.ip),
            senders and senders.format(port=port).replace("127.0.0.1", server.ip),
        )
        await node.save("bob@example.com")
        ways = delivery(node, tmp_path, given, relayhost="[192.0.2.1]")
        done = await ways.deliver(await node.claim(), node.store)
    assert only(done).relay.endswith(f"[{server.ip}]:{port}")
    assert only(done).result is Result.DELIVERED


async def test_a_transport_without_next_hop_means_the_recipients_own_domain(
    tmp_path: Path,
) -> None:
    conduct = Conduct(has_starttls=False)
    async with serving(conduct) as (server,), sending(tmp_path, [server]) as node:
        await node.save("bob@example.com")
        ways = delivery(node, tmp_path, tables("example.com smtp:\n"), relayhost="[192.0.2.1]")
        done = await ways.deliver(await node.claim(), node.store)
    assert only(done).relay.startswith("mx1.example.com[")


@pytest.mark.parametrize(
    ("transport", "senders", "found"),
    [
        ("example.com smtp:[gone.example]", None, (Result.DEFERRED, "4.4.4")),
        ("example.com smtp:gone.example", None, (Result.DEFERRED, "4.1.2")),
        (None, "@example.org [gone.example]", (Result.DEFERRED, "4.4.4")),
        # Its own domain: that this is gone is nobody's mistake here.
        ("example.com smtp:", None, (Result.FAILED, "5.1.2")),
    ],
)
async def test_a_mistake_in_a_table_bounces_no_mail(
    tmp_path: Path, transport: str | None, senders: str | None, found: tuple[Result, str]
) -> None:
    """As one in `relayhost` and `routes`: the operator chose that host, and not the sender."""
    async with sending(tmp_path) as node:
        for name in ("gone.example", "example.com"):
            for rdtype in ("MX", "A", "AAAA"):
                node.resolver.put(
                    Answer(Domain(name), rdtype, Security.INSECURE, Existence.NXDOMAIN)
                )
        await node.save("bob@example.com")
        ways = delivery(node, tmp_path, tables(transport, senders))
        outcome = only(await ways.deliver(await node.claim(), node.store))
    assert (outcome.result, outcome.status) == found


@pytest.mark.parametrize(
    ("transport", "senders"), [("example.com smtp:{}", None), (None, "@example.org {}")]
)
async def test_mail_waits_for_a_chosen_host_that_refuses_us_as_a_whole(
    tmp_path: Path, transport: str | None, senders: str | None
) -> None:
    """RFC 5321 §3.1: a greeting of 554 is about us, and who chose that host is our operator."""
    conduct = Conduct(has_starttls=False, answers={"banner": "554 5.7.1 not from there"})
    async with serving(conduct) as (server,), sending(tmp_path) as node:
        hop = f"[{server.ip}]:{server.port}"
        given = tables(transport and transport.format(hop), senders and senders.format(hop))
        await node.save("bob@example.com")
        ways = delivery(node, tmp_path, given)
        outcome = only(await ways.deliver(await node.claim(), node.store))
    assert (outcome.result, outcome.status) == (Result.DEFERRED, "4.7.1")
    assert "554 5.7.1 not from there" in outcome.reply


async def test_a_route_comes_before_a_senders_relay_host(tmp_path: Path) -> None:
    async with serving(Conduct(has_starttls=False)) as (server,), sending(tmp_path) as node:
        await node.save("bob@example.com")
        given = tables(senders="@example.org [192.0.2.1]\n")
        hop = f"[{server.ip}]:{server.port}"
        ways = delivery(node, tmp_path, given, example_com=hop)
        done = await ways.deliver(await node.claim(), node.store)
    assert only(done).relay.endswith(hop.removeprefix("["))


@pytest.mark.parametrize(
    ("senders", "reason"),
    [
        (BROKEN, BROKEN.reason),
        ("@example.org a b\n", "s:1: @example.org: 'a b' is not a label of a domain name"),
    ],
)
async def test_a_senders_relay_host_that_is_not_known_is_waited_for(
    tmp_path: Path, senders: str | Unreadable, reason: str
) -> None:
    if isinstance(senders, Unreadable):
        given = Tables(tables().addresses, sender_relays=senders)
    else:
        given = tables(senders=senders)
    outcome = only(await deliver(tmp_path, given, "bob@example.com"))
    assert (outcome.result, outcome.status) == (Result.DEFERRED, "4.3.5")
    assert outcome.reply.startswith(reason)


@pytest.mark.parametrize("senders", ["bob@example.org [192.0.2.1]\n", "@example.org DUNNO\n"])
async def test_other_senders_go_as_usual(tmp_path: Path, senders: str) -> None:
    conduct = Conduct(has_starttls=False)
    async with serving(conduct) as (server,), sending(tmp_path, [server]) as node:
        await node.save("bob@example.com")
        ways = delivery(node, tmp_path, tables(senders=senders))
        done = await ways.deliver(await node.claim(), node.store)
    assert only(done).relay.startswith("mx1.example.com[")


async def test_a_mail_store_has_our_mailboxes_instead(tmp_path: Path) -> None:
    """Role names go to the postmaster's mailbox: the store does not know who that is."""
    path = tmp_path / "lmtp"
    script = LmtpScript()
    names = ("alice+tag", "Abuse", "broken@")
    async with lmtp_at_socket(path, script), sending(tmp_path) as node:
        await node.save(*(f"{name}@example.org" for name in names))
        ways = delivery(node, tmp_path, tables(), LmtpSocket(str(path)))
        done = await ways.deliver(await node.claim(), node.store)
    relays = {each.relay for each in done.outcomes}
    assert LOCAL not in relays
    said = [command for command in script.commands if command.startswith("RCPT")]
    assert said == [
        "RCPT TO:<alice+tag@example.org>",
        "RCPT TO:<postmaster@example.org>",
        "RCPT TO:<broken@@example.org>",
    ]
