"""What one connection carries: recipients together, split, refused; parameters; extensions."""

from pathlib import Path

import pytest

from letterlock.protocols.smtp.envelope import BodyType, Notify, Recipient, Ret
from letterlock.protocols.smtp.plan import TransactionSettings
from letterlock.services.queue.outcomes import Delivery, Result
from letterlock.storage.queue import BodyGone
from tests.misbehaving import Act, Conduct, serving
from tests.services.deliver.outbound import DOMAIN, leaf, only, sending, stories

SENT, DEFERRED, BOUNCED = Result.DELIVERED, Result.DEFERRED, Result.FAILED


def addresses(number: int) -> list[str]:
    return [f"user{each}@{DOMAIN}" for each in range(number)]


def plain(**fields: object) -> Conduct:
    return Conduct(has_starttls=False, **fields)  # type: ignore[arg-type] # its own fields


async def test_recipients_of_one_domain_share_a_transaction(tmp_path: Path) -> None:
    async with serving(Conduct(leaf())) as (server,), sending(tmp_path, [server]) as node:
        delivery = await node.send(*addresses(20))
    assert {item.result for item in delivery.outcomes} == {SENT}
    assert [mail.recipients for mail in server.seen.taken] == [tuple(addresses(20))]


async def test_more_than_a_hundred_recipients_are_split(tmp_path: Path) -> None:
    """RFC 5321 §4.5.3.1.8: a server takes at least 100."""
    async with serving(plain()) as (server,), sending(tmp_path, [server]) as node:
        delivery = await node.send(*addresses(250))
    assert [item.result for item in delivery.outcomes] == [SENT] * 250
    assert [len(mail.recipients) for mail in server.seen.taken] == [100, 100, 50]
    assert server.seen.connections == 1


async def test_a_servers_own_limit_splits_them(tmp_path: Path) -> None:
    """RFC 9422 §4.2."""
    conduct = plain(extensions=("PIPELINING", "LIMITS RCPTMAX=2"))
    async with serving(conduct) as (server,), sending(tmp_path, [server]) as node:
        await node.send(*addresses(5))
    assert [len(mail.recipients) for mail in server.seen.taken] == [2, 2, 1]


async def test_452_means_that_the_rest_follows_at_once(tmp_path: Path) -> None:
    """RFC 5321 §4.5.3.1.10."""
    async with serving(plain(max_recipients=3)) as (server,), sending(tmp_path, [server]) as node:
        delivery = await node.send(*addresses(7))
    assert [item.result for item in delivery.outcomes] == [SENT] * 7
    assert [len(mail.recipients) for mail in server.seen.taken] == [3, 3, 1]
    assert server.seen.connections == 1


async def test_those_whose_turn_did_not_come_are_deferred_with_the_reason(
    tmp_path: Path,
) -> None:
    """The connection ended in the first of three transactions."""
    conduct = plain(answers={".": Act.CLOSE}, extensions=("LIMITS RCPTMAX=1",))
    async with serving(conduct) as (server,), sending(tmp_path, [server]) as node:
        delivery = await node.send(*addresses(3))
    assert {(item.result, item.status) for item in delivery.outcomes} == {(DEFERRED, "4.4.2")}
    assert server.seen.connections == 1
    last = next(item for item in delivery.outcomes if item.number == 2)
    assert "before this recipient's turn: 451 4.4.2 connection closed by peer" in last.reply


async def test_a_message_per_session_leaves_the_rest_for_later(tmp_path: Path) -> None:
    """RFC 9422 §4.1."""
    conduct = plain(extensions=("LIMITS MAILMAX=1 RCPTMAX=1",))
    async with serving(conduct) as (server,), sending(tmp_path, [server]) as node:
        delivery = await node.send(*addresses(2))
    assert sorted(item.result for item in delivery.outcomes) == sorted([SENT, DEFERRED])
    assert len(server.seen.taken) == 1


async def test_a_later_transaction_that_finds_the_connection_gone_is_told(tmp_path: Path) -> None:
    """It is not taken for a connection that was stale: something was sent on it."""
    answers: dict[str, str | Act] = {}
    conduct = plain(extensions=("LIMITS RCPTMAX=1",), answers=answers)
    async with serving(conduct) as (server,), sending(tmp_path, [server]) as node:
        await node.send()
        answers["."] = "250 2.0.0 Ok\r\n421 4.3.2 enough"
        delivery = await node.send(*addresses(2))
    assert {item.number: item.result for item in delivery.outcomes} == {0: SENT, 1: DEFERRED}
    (story,) = stories(delivery)
    assert story["is_reused"]
    assert len(delivery.attempts[0].recipients) >= 1


async def test_a_refused_recipient_does_not_keep_the_others(tmp_path: Path) -> None:
    conduct = plain(for_recipients={addresses(1)[0]: "550 5.1.1 nobody"})
    async with serving(conduct) as (server,), sending(tmp_path, [server]) as node:
        delivery = await node.send(*addresses(2))
    assert {item.number: item.result for item in delivery.outcomes} == {0: BOUNCED, 1: SENT}
    assert server.seen.taken[0].recipients == (addresses(2)[1],)
    # What the bounce has of it: not only what the other was answered.
    assert delivery.attempts[0].summary == "550 5.1.1 nobody; 250 2.0.0 Ok: queued as TEST"


async def test_of_very_many_answers_some_are_told(tmp_path: Path) -> None:
    answers = {each: f"550 5.1.1 nobody {each}" for each in addresses(7)}
    async with (
        serving(plain(for_recipients=answers)) as (server,),
        sending(tmp_path, [server]) as node,
    ):
        delivery = await node.send(*addresses(8))
    told = [*answers.values()][:5]
    assert delivery.attempts[0].summary == "; ".join([*told, "..."])


async def test_when_nobody_is_taken_the_connection_is_reset_and_kept(tmp_path: Path) -> None:
    conduct = plain(for_recipients={addresses(1)[0]: "550 5.1.1 nobody"})
    async with serving(conduct) as (server,), sending(tmp_path, [server]) as node:
        await node.send(addresses(1)[0])
        await node.send(addresses(2)[1])
    assert server.seen.lines("RSET")
    assert (server.seen.connections, len(server.seen.taken)) == (1, 1)


async def test_a_connection_that_cannot_be_reset_is_left(tmp_path: Path) -> None:
    conduct = plain(answers={"RCPT": "550 5.1.1 nobody", "RSET": "500 5.5.1 what"})
    async with serving(conduct) as (server,), sending(tmp_path, [server]) as node:
        await node.send()
        await node.send()
    assert server.seen.connections == 2


# Extensions


async def test_dsn_parameters_are_passed_on(tmp_path: Path) -> None:
    """RFC 3461 §5.2.1."""
    recipient = Recipient(
        f"bob@{DOMAIN}", frozenset({Notify.SUCCESS, Notify.FAILURE}), f"rfc822;bob@{DOMAIN}"
    )
    async with serving(plain()) as (server,), sending(tmp_path, [server]) as node:
        delivery = await node.send(recipient, ret=Ret.HEADERS, envid="QQ314159")
    assert " RET=HDRS ENVID=QQ314159" in server.seen.mails[0]
    assert server.seen.lines("RCPT") == [
        f"RCPT TO:<bob@{DOMAIN}> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;bob@{DOMAIN}"
    ]
    assert only(delivery).is_dsn_passed_on


async def test_a_server_without_dsn_gets_none_and_success_is_ours_to_report(
    tmp_path: Path,
) -> None:
    """RFC 3461 §5.2.2."""
    recipient = Recipient(f"bob@{DOMAIN}", frozenset({Notify.SUCCESS}))
    async with serving(plain(extensions=())) as (server,), sending(tmp_path, [server]) as node:
        delivery = await node.send(recipient)
    assert server.seen.lines("RCPT") == [f"RCPT TO:<bob@{DOMAIN}>"]
    assert not only(delivery).is_dsn_passed_on


@pytest.mark.parametrize("is_eight_bit", [True, False])
async def test_eight_bit_content_goes_only_where_8bitmime_is(
    is_eight_bit: bool, tmp_path: Path
) -> None:
    """RFC 6152 §3: content that is 7-bit in truth goes anywhere."""
    content = b"Subject: x\r\n\r\ngr\xc3\xbc\xc3\x9fe\r\n" if is_eight_bit else b"\r\nhello\r\n"
    async with serving(plain(extensions=())) as (server,), sending(tmp_path, [server]) as node:
        await node.save(content=content, body_type=BodyType.EIGHT_BIT)
        outcome = only(await node.deliver())
    assert (outcome.result, outcome.status) == (
        (BOUNCED, "5.6.3") if is_eight_bit else (SENT, "2.0.0")
    )
    async with serving(plain()) as (server,), sending(tmp_path / "2", [server]) as node:
        await node.save(content=content, body_type=BodyType.EIGHT_BIT)
        assert only(await node.deliver()).result is SENT
    assert "BODY=8BITMIME" in server.seen.mails[0]


async def test_utf8_addresses_go_only_where_smtputf8_is(tmp_path: Path) -> None:
    """RFC 6531 §3.5: those who can be sent to are."""
    everyone = [f"grün@{DOMAIN}", f"bob@{DOMAIN}"]
    async with serving(plain(extensions=())) as (server,), sending(tmp_path, [server]) as node:
        delivery = await node.send(*everyone, smtputf8=True)
    assert {item.number: (item.result, item.status) for item in delivery.outcomes} == {
        0: (BOUNCED, "5.6.7"),
        1: (SENT, "2.0.0"),
    }
    async with serving(plain()) as (server,), sending(tmp_path / "2", [server]) as node:
        delivery = await node.send(*everyone, smtputf8=True)
    assert {item.result for item in delivery.outcomes} == {SENT}
    assert server.seen.mails[0].endswith(" SMTPUTF8")
    assert server.seen.lines("RCPT")[0] == f"RCPT TO:<grün@{DOMAIN}>"


async def test_a_message_over_the_servers_size_is_not_begun(tmp_path: Path) -> None:
    """RFC 1870 §5."""
    async with (
        serving(plain(extensions=("SIZE 20",))) as (server,),
        sending(tmp_path, [server]) as node,
    ):
        delivery = await node.send()
    assert (only(delivery).result, only(delivery).status) == (BOUNCED, "5.3.4")
    assert not server.seen.mails
    assert only(delivery).remote is None


async def test_what_cannot_be_sent_to_anyone_leaves_the_connection_for_others(
    tmp_path: Path,
) -> None:
    async with (
        serving(plain(extensions=("SIZE 60",))) as (server,),
        sending(tmp_path, [server]) as node,
    ):
        await node.save(content=b"x" * 70)
        await node.deliver()
        assert only(await node.send()).result is SENT
    assert server.seen.connections == 1


async def test_chunking_where_it_is_preferred_and_offered(tmp_path: Path) -> None:
    async with (
        serving(plain(answers={"BDAT": "502 5.5.1 not really"}, extensions=("CHUNKING",))) as (
            server,
        ),
        sending(tmp_path, [server]) as node,
    ):
        node.transactions = TransactionSettings(prefers_chunking=True)
        outcome = only(await node.send())
    assert outcome.reply.endswith("(in reply to end of DATA command)")
    assert server.seen.lines("BDAT")


@pytest.mark.parametrize(
    ("verb", "stage"),
    [
        ("MAIL", "MAIL FROM command"),
        ("RCPT", "RCPT TO command"),
        ("DATA", "DATA command"),
        (".", "end of DATA command"),
    ],
)
@pytest.mark.parametrize("answer", ["451 4.3.0 not now", Act.CLOSE])
async def test_a_deferral_names_the_command_too(
    verb: str, stage: str, answer: str | Act, tmp_path: Path
) -> None:
    """As in Postfix's log, whether the host answered or hung up."""
    conduct = plain(answers={verb: answer}, extensions=())
    async with serving(conduct) as (server,), sending(tmp_path, [server]) as node:
        outcome = only(await node.send())
    assert outcome.result is DEFERRED
    assert outcome.reply.endswith(f"(in reply to {stage})")


async def test_a_message_deleted_meanwhile_ends_the_connection_without_its_final_dot(
    tmp_path: Path,
) -> None:
    """Otherwise half a message would be taken for a whole one."""
    async with serving(plain()) as (server,), sending(tmp_path, [server]) as node:
        queue_id = await node.save()
        claim = await node.claim()
        await node.store.delete([queue_id], node.clock.now())
        await node.settlements.settle(claim, Delivery(()), node.store)
        with pytest.raises(BodyGone):
            await node.deliver(claim)
        await server.seen.has_ended.wait()
    assert not server.seen.taken
    assert server.seen.closes == ["FIN"]
