"""RFC 8689 §4.2, §5: sending what must have TLS all the way, and what may go without."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from email import message_from_bytes, policy
from pathlib import Path

import pytest

from letterlock.protocols.dns.answers import Security
from letterlock.protocols.policy.judge import ClearFallback, FallbackRule
from letterlock.protocols.policy.requirement import Level
from letterlock.protocols.policy.table import TableEntry
from letterlock.protocols.smtp.envelope import Ret, TlsDemand
from letterlock.services.queue.outcomes import Result
from tests.misbehaving import GOOD_EXTENSIONS, Act, Conduct, Server, serving
from tests.services.deliver.outbound import (
    CONTENT,
    DOMAIN,
    PATIENT,
    Outbound,
    leaf,
    only,
    sending,
    stories,
)

REQUIRETLS, NO = TlsDemand.REQUIRETLS, TlsDemand.TLS_REQUIRED_NO
OFFERED = (*GOOD_EXTENSIONS, "REQUIRETLS")
NOT_OFFERED = "REQUIRETLS support required, and the server does not offer it"


def strict(**fields: object) -> Conduct:
    """Give a host that is proved and offers REQUIRETLS, but for what is said."""
    usual: dict[str, object] = {"certificate": leaf(), "extensions": OFFERED}
    return Conduct(**(usual | fields))  # type: ignore[arg-type] # its own fields


def without() -> Conduct:
    return strict(extensions=GOOD_EXTENSIONS)


@contextlib.asynccontextmanager
async def going_to_all(
    folder: Path, *conducts: Conduct, mx: Security = Security.SECURE
) -> AsyncIterator[tuple[Outbound, list[Server]]]:
    """Make a node and the hosts that it sends to; DNSSEC vouches for the MX records."""
    async with serving(*conducts) as servers, sending(folder) as node:
        node.route(servers, security=mx)
        yield node, servers


@contextlib.asynccontextmanager
async def going_to(
    folder: Path, conduct: Conduct, mx: Security = Security.SECURE
) -> AsyncIterator[tuple[Outbound, Server]]:
    """Make a node and the one host that it sends to."""
    async with going_to_all(folder, conduct, mx=mx) as (node, (server,)):
        yield node, server


async def test_requiretls_is_passed_on_to_a_host_that_is_proved(tmp_path: Path) -> None:
    """RFC 8689 §4.2.1 (rule 90)."""
    async with going_to(tmp_path, strict()) as (node, server):
        delivery = await node.send(tls_demand=REQUIRETLS)
    assert only(delivery).result is Result.DELIVERED
    mail = f"MAIL FROM:<alice@example.org> SIZE={len(CONTENT)} REQUIRETLS"
    assert server.seen.mails == [mail]
    assert server.seen.taken[0].is_tls


async def test_a_host_that_does_not_offer_it_gets_nothing(tmp_path: Path) -> None:
    """RFC 8689 §4.2.1 (rules 88, 89): QUIT, and 5.7.30 to the sender."""
    async with going_to(tmp_path, without()) as (node, server):
        delivery = await node.send(tls_demand=REQUIRETLS)
        await asyncio.wait_for(server.seen.has_ended.wait(), PATIENT.total_seconds())
    outcome = only(delivery)
    assert (outcome.result, outcome.status) == (Result.FAILED, "5.7.30")
    assert outcome.reply.endswith(NOT_OFFERED)
    assert not server.seen.mails
    assert server.seen.lines("QUIT")
    (story,) = stories(delivery)
    assert story["verdict"]["outcome"] == "authenticated"
    assert story["outcome"] == outcome.reply


async def test_what_was_offered_before_tls_does_not_count(tmp_path: Path) -> None:
    """RFC 8689 §2, RFC 3207 §4.2 (rules 9, 88): only the EHLO under TLS."""
    conduct = strict(under_tls={"EHLO": "250-mx.test\r\n250 PIPELINING"})
    async with going_to(tmp_path, conduct) as (node, server):
        delivery = await node.send(tls_demand=REQUIRETLS)
    assert only(delivery).status == "5.7.30"
    assert not server.seen.mails


@pytest.mark.parametrize(
    "conduct",
    [
        pytest.param(lambda: strict(has_starttls=False), id="no STARTTLS"),
        pytest.param(lambda: strict(certificate=leaf(("wrong.example",))), id="wrong name"),
        pytest.param(lambda: strict(answers={"STARTTLS": "502 5.5.1 no"}), id="refused"),
        pytest.param(lambda: strict(instead_of_tls=b"no TLS here\r\n"), id="no TLS record"),
    ],
)
async def test_a_host_that_is_not_proved_gets_nothing(
    conduct: Callable[[], Conduct], tmp_path: Path
) -> None:
    """RFC 8689 §4.2.1 (rules 88, 89): 5.7.10."""
    async with going_to(tmp_path, conduct()) as (node, server):
        outcome = only(await node.send(tls_demand=REQUIRETLS))
    assert (outcome.result, outcome.status) == (Result.FAILED, "5.7.10")
    assert not server.seen.mails


@pytest.mark.parametrize("level", [Level.MAY, Level.ENCRYPT])
async def test_what_the_operator_lets_go_unproved_must_be_proved(
    level: Level, tmp_path: Path
) -> None:
    """RFC 8689 §2, RFC 7435 §3 (rules 88, 101)."""
    conduct = strict(certificate=leaf(("wrong.example",)))
    async with going_to(tmp_path, conduct) as (node, server):
        node.entries[DOMAIN] = TableEntry(DOMAIN, level, "tls_policy:1")
        outcome = only(await node.send(tls_demand=REQUIRETLS))
        assert only(await node.send()).result is Result.DELIVERED
    assert (outcome.result, outcome.status) == (Result.FAILED, "5.7.10")
    assert not any("REQUIRETLS" in line for line in server.seen.mails)


async def test_a_host_that_is_only_said_to_be_the_domains_gets_nothing(tmp_path: Path) -> None:
    """RFC 8689 §4.2.1 (rule 88): the MX record is neither signed nor in an MTA-STS policy."""
    async with going_to(tmp_path, strict(), mx=Security.INSECURE) as (node, server):
        delivery = await node.send(tls_demand=REQUIRETLS)
        notice = await node.send(sender="", tls_demand=REQUIRETLS)
    outcome = only(delivery)
    assert (outcome.result, outcome.status) == (Result.FAILED, "5.7.10")
    assert "neither DNSSEC nor MTA-STS" in outcome.reply
    assert stories(delivery)[0]["outcome"] == outcome.reply
    # Only the notification went there.
    assert only(notice).result is Result.DELIVERED
    assert server.seen.connections == 1


@pytest.mark.parametrize(
    "conduct",
    [
        pytest.param(lambda: strict(answers={"STARTTLS": "454 4.7.0 not now"}), id="454"),
        pytest.param(lambda: strict(instead_of_tls=Act.CLOSE), id="closed"),
        pytest.param(lambda: strict(instead_of_tls=Act.RESET), id="reset"),
        pytest.param(lambda: strict(answers={"banner": "421 4.3.2 busy"}), id="421"),
        pytest.param(lambda: strict(under_tls={"MAIL": "451 4.3.0 later"}), id="451"),
    ],
)
async def test_what_may_pass_is_tried_again(conduct: Callable[[], Conduct], tmp_path: Path) -> None:
    """RFC 5321 §5.1 (rule 89): RFC 8689 does not tell such failures apart; we do."""
    async with going_to(tmp_path, conduct()) as (node, server):
        outcome = only(await node.send(tls_demand=REQUIRETLS))
    assert outcome.result is Result.DEFERRED
    assert not server.seen.taken


async def test_every_host_is_tried_before_it_fails(tmp_path: Path) -> None:
    """RFC 8689 §4.2.1 (rules 88, 89): with each host on the list of MX hosts."""
    names = tuple(f"mx{number}.{DOMAIN}" for number in range(1, 5))
    conducts = [
        strict(certificate=leaf(names), extensions=GOOD_EXTENSIONS),
        strict(certificate=leaf(("wrong.example",))),
        strict(certificate=leaf(names), extensions=GOOD_EXTENSIONS),
        strict(certificate=leaf(names)),
    ]
    async with going_to_all(tmp_path, *conducts) as (node, servers):
        delivery = await node.send(tls_demand=REQUIRETLS)
    assert only(delivery).result is Result.DELIVERED
    assert [len(server.seen.mails) for server in servers] == [0, 0, 0, 1]
    assert len(stories(delivery)) == 4


async def test_it_waits_while_one_host_may_still_have_it(tmp_path: Path) -> None:
    """RFC 5321 §5.1 (rule 89)."""
    busy = strict(answers={"banner": "421 4.3.2 busy"})
    async with going_to_all(tmp_path, busy, without()) as (node, _):
        node.entries[DOMAIN] = TableEntry(
            DOMAIN, Level.VERIFY, "tls_policy:1", match=("mx1.example.com",)
        )
        outcome = only(await node.send(tls_demand=REQUIRETLS))
    assert (outcome.result, outcome.status) == (Result.DEFERRED, "4.7.30")


async def test_all_recipients_fail_alike_however_many(tmp_path: Path) -> None:
    """RFC 8689 §4.1 (rules 87, 89)."""
    async with going_to(tmp_path, without()) as (node, server):
        node.max_recipients = 2
        delivery = await node.send(*(f"r{n}@{DOMAIN}" for n in range(5)), tls_demand=REQUIRETLS)
    assert [(each.result, each.status) for each in delivery.outcomes] == [
        (Result.FAILED, "5.7.30")
    ] * 5
    assert not server.seen.mails


async def test_a_notification_goes_without_requiretls_too(tmp_path: Path) -> None:
    """RFC 8689 §5 (rule 91): it SHOULD NOT be lost for want of it."""
    async with going_to(tmp_path, without()) as (node, server):
        delivery = await node.send(sender="", tls_demand=REQUIRETLS)
    assert only(delivery).result is Result.DELIVERED
    assert not any("REQUIRETLS" in line for line in server.seen.mails)


@pytest.mark.parametrize("level", [Level.MAY, Level.VERIFY])
async def test_a_notification_says_requiretls_where_it_may(level: Level, tmp_path: Path) -> None:
    """RFC 8689 §2, §5 (rules 90, 91): only to a host that was proved."""
    async with going_to(tmp_path, strict()) as (node, server):
        node.level = level
        delivery = await node.send(sender="", tls_demand=REQUIRETLS)
    assert only(delivery).result is Result.DELIVERED
    assert server.seen.mails[0].endswith(" REQUIRETLS") == (level is Level.VERIFY)


@pytest.mark.parametrize(
    "conduct",
    [
        pytest.param(without, id="REQUIRETLS not offered"),
        pytest.param(lambda: strict(answers={"MAIL": "550 5.7.1 no"}), id="refused"),
    ],
)
async def test_it_comes_back_as_its_header_and_asks_the_same(
    conduct: Callable[[], Conduct], tmp_path: Path
) -> None:
    """RFC 8689 §5 (rule 91): whatever RET says, and whatever it failed for."""
    async with going_to(tmp_path, conduct()) as (node, _):
        await node.send_and_settle(tls_demand=REQUIRETLS, ret=Ret.FULL)
        (notice,) = await node.store.list_messages()
        pieces = [piece async for piece in node.store.read_body(notice.queue_id)]
    assert (notice.sender, notice.tls_demand) == ("", REQUIRETLS)
    report = message_from_bytes(b"".join(pieces), policy=policy.default)
    kinds = [part.get_content_type() for part in report.walk()]
    assert kinds[-1] == "text/rfc822-headers"
    assert b"hello" not in b"".join(pieces)


async def test_each_message_has_connections_that_were_judged_for_it(tmp_path: Path) -> None:
    """RFC 8689 §4.2.1 (rule 154): used again, but never for mail that asks for more."""
    async with going_to(tmp_path, strict()) as (node, server):
        for demand in (TlsDemand.NORMAL, REQUIRETLS, TlsDemand.NORMAL, REQUIRETLS, NO):
            assert only(await node.send(tls_demand=demand)).result is Result.DELIVERED
    says = [line.endswith(" REQUIRETLS") for line in server.seen.mails]
    assert says == [False, True, False, True, False]
    assert server.seen.connections < 5


async def test_a_refusal_stops_no_other_mail(tmp_path: Path) -> None:
    """RFC 8689 §4.2.1 (rule 154): before and after."""
    async with going_to(tmp_path, without()) as (node, server):
        results = [
            only(await node.send(tls_demand=demand)).result
            for demand in (TlsDemand.NORMAL, REQUIRETLS, REQUIRETLS, TlsDemand.NORMAL)
        ]
    sent, failed = Result.DELIVERED, Result.FAILED
    assert results == [sent, failed, failed, sent]
    assert len(server.seen.mails) == 2


AFTER = ClearFallback(FallbackRule.AFTER, timedelta(minutes=5))
NEVER = ClearFallback(FallbackRule.NEVER)
BROKEN = Conduct(extensions=OFFERED, instead_of_tls=b"no TLS here\r\n")


async def test_tls_required_no_goes_without_tls_at_once(tmp_path: Path) -> None:
    """RFC 8689 §4.2.2 (rule 92): TLS is tried, and no failure of it stops the mail."""
    async with going_to(tmp_path, BROKEN) as (node, server):
        node.fallback = AFTER
        assert only(await node.send()).result is Result.DEFERRED
        delivery = await node.send(tls_demand=NO)
        assert only(await node.send()).result is Result.DEFERRED
    assert only(delivery).result is Result.DELIVERED
    assert [story["verdict"]["outcome"] for story in stories(delivery)] == ["defer", "clear"]
    assert len(server.seen.taken) == 1


async def test_tls_required_no_uses_tls_where_there_is_some(tmp_path: Path) -> None:
    """RFC 8689 §3 (rule 92): the content, and so the field, goes on as it came."""
    content = b"Received: by mx1\r\nTLS-Required: No\r\n\r\nhello\r\n"
    conduct = strict(certificate=leaf(("wrong.example",)))
    async with going_to(tmp_path, conduct) as (node, server):
        await node.save(content=content, tls_demand=NO)
        assert only(await node.deliver()).result is Result.DELIVERED
    (taken,) = server.seen.taken
    assert taken.is_tls
    assert taken.content == content
    assert "REQUIRETLS" not in server.seen.mails[0]


@pytest.mark.parametrize("level", [Level.MAY, Level.ENCRYPT])
async def test_tls_required_no_does_not_undo_what_the_operator_wrote(
    level: Level, tmp_path: Path
) -> None:
    """Ours (rule 92): the field is about what the recipient's domain publishes."""
    async with going_to(tmp_path, BROKEN) as (node, server):
        node.fallback = NEVER if level is Level.MAY else ClearFallback()
        node.entries[DOMAIN] = TableEntry(DOMAIN, level, "tls_policy:1")
        assert only(await node.send(tls_demand=NO)).result is Result.DEFERRED
    assert not server.seen.mails


async def test_a_server_that_insists_on_tls_bounces_it(tmp_path: Path) -> None:
    """RFC 8689 §4.2.2 (rule 93): the sender MUST be told."""
    conduct = Conduct(
        instead_of_tls=b"no TLS here\r\n", answers={"MAIL": "530 5.7.0 Must issue STARTTLS first"}
    )
    async with going_to(tmp_path, conduct) as (node, server):
        delivery = await node.send_and_settle(tls_demand=NO)
        (notice,) = await node.store.list_messages()
    outcome = only(delivery)
    assert (outcome.result, outcome.status) == (Result.FAILED, "5.7.0")
    assert notice.tls_demand is NO
    assert not server.seen.taken
