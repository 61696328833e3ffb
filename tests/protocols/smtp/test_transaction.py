"""One mail transaction, as a client."""

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letterlock.protocols.smtp.envelope import Notify, Recipient
from letterlock.protocols.smtp.replies import Reply
from letterlock.protocols.smtp.reply_reader import ReplyReader
from letterlock.protocols.smtp.transaction import RecipientCommand, Script, Transaction
from letterlock.protocols.smtp.transaction_result import Stage, TransactionResult

OK = "250 2.0.0 OK"
GO = "354 go on"


def begin(
    recipients: int = 1,
    *,
    is_pipelined: bool = True,
    chunk_octets: int = 0,
    notify: frozenset[Notify] = frozenset(),
    **settings: bool,
) -> Transaction:
    commands = tuple(
        RecipientCommand(Recipient(f"u{number}@example.com", notify), f"RCPT TO:<u{number}@x>")
        for number in range(recipients)
    )
    return Transaction(Script("MAIL FROM:<a@x>", commands, is_pipelined, chunk_octets, **settings))


def reply(text: str) -> Reply:
    (event,) = ReplyReader().receive(text.encode() + b"\r\n")
    assert isinstance(event, Reply)
    return event


def run(
    transaction: Transaction, replies: Iterable[str], content: bytes = b"A: b\r\n\r\n.\r\n"
) -> bytes:
    """Do what a driver does, one reply at a time; give all that was sent."""
    wire = b""
    waiting = iter(replies)
    while not transaction.is_done:
        if commands := transaction.commands_to_send():
            wire += commands
        elif transaction.may_send_body:
            wire += transaction.encode_body(content)
            content = b""
            if transaction.may_send_body:
                wire += transaction.finish_body()
        else:
            transaction.receive(reply(next(waiting)))
    assert list(waiting) == [], "every reply was waited for"
    return wire


def codes(result: TransactionResult) -> list[int]:
    return [outcome.reply.code for outcome in result.outcomes]


@pytest.mark.parametrize("is_pipelined", [True, False])
def test_a_message_is_sent(is_pipelined: bool) -> None:
    """RFC 5321 §3.3."""
    transaction = begin(2, is_pipelined=is_pipelined)
    wire = run(transaction, [OK, OK, OK, GO, "250 2.0.0 queued as 4XYZ"])
    assert wire == (
        b"MAIL FROM:<a@x>\r\nRCPT TO:<u0@x>\r\nRCPT TO:<u1@x>\r\nDATA\r\nA: b\r\n\r\n..\r\n.\r\n"
    )
    result = transaction.result()
    assert result.is_sent
    assert all(outcome.is_accepted for outcome in result.outcomes)
    assert not any(outcome.is_ours for outcome in result.outcomes)
    assert result.final_reply == Reply(250, ("queued as 4XYZ",), "2.0.0")
    assert not result.must_close
    assert not result.needs_rset
    assert result.remaining == ()


def test_commands_go_in_one_group_where_pipelining_is_offered() -> None:
    """RFC 2920 §3.1: DATA only as the last command of a group."""
    transaction = begin(2)
    assert transaction.commands_to_send().splitlines()[-1] == b"DATA"
    assert transaction.commands_to_send() == b""
    assert not transaction.wants_body


def test_commands_go_one_by_one_where_it_is_not() -> None:
    """RFC 5321 §4.1.4."""
    transaction = begin(2, is_pipelined=False)
    groups = []
    for answer in [OK, OK, OK, GO]:
        groups.append(transaction.commands_to_send())
        assert transaction.commands_to_send() == b""
        transaction.receive(reply(answer))
    assert groups == [
        b"MAIL FROM:<a@x>\r\n",
        b"RCPT TO:<u0@x>\r\n",
        b"RCPT TO:<u1@x>\r\n",
        b"DATA\r\n",
    ]
    assert transaction.wants_body


def test_starttls_is_never_in_a_group() -> None:
    """RFC 3207 §4: it is the last command of a group; a transaction has none of it. Rule 5."""
    assert b"STARTTLS" not in begin(2).commands_to_send()


@pytest.mark.parametrize("is_pipelined", [True, False])
def test_each_recipient_has_its_own_answer(is_pipelined: bool) -> None:
    """RFC 5321 §3.3."""
    transaction = begin(3, is_pipelined=is_pipelined)
    run(transaction, [OK, OK, "550 5.1.1 who", "450 4.2.0 later", GO, OK])
    result = transaction.result()
    assert codes(result) == [250, 550, 450]
    assert [outcome.is_accepted for outcome in result.outcomes] == [True, False, False]
    assert [outcome.stage for outcome in result.outcomes] == [Stage.END, Stage.RCPT, Stage.RCPT]
    assert not any(outcome.is_ours for outcome in result.outcomes)
    assert result.is_sent


@pytest.mark.parametrize("answer", ["550 5.7.1 no", "451 4.3.0 later"])
def test_mail_refused_is_refused_for_all(answer: str) -> None:
    transaction = begin(2, is_pipelined=False)
    assert run(transaction, [answer]) == b"MAIL FROM:<a@x>\r\n"
    result = transaction.result()
    assert codes(result) == [int(answer[:3])] * 2
    assert {outcome.stage for outcome in result.outcomes} == {Stage.MAIL}
    assert not result.needs_rset
    assert not result.must_close


def test_what_follows_from_mail_refused_is_no_answer() -> None:
    """RFC 2920 §3.1: all statuses are checked; the 503s say nothing of the recipients."""
    transaction = begin(2)
    run(transaction, ["550 5.7.1 no", "503 first MAIL", "503 first MAIL", "503 first MAIL"])
    assert [outcome.reply for outcome in transaction.result().outcomes] == [
        reply("550 5.7.1 no")
    ] * 2


def test_a_recipient_is_not_accepted_after_mail_was_refused() -> None:
    transaction = begin(1)
    wire = run(transaction, ["550 5.7.1 no", OK, GO, OK])
    assert wire.endswith(b"DATA\r\n.\r\n")
    assert codes(transaction.result()) == [550]
    assert not transaction.result().is_sent


def test_with_no_recipient_left_data_is_not_sent() -> None:
    """RFC 5321 §3.3."""
    transaction = begin(2, is_pipelined=False)
    wire = run(transaction, [OK, "550 5.1.1 who", "550 5.1.1 who"])
    assert b"DATA" not in wire
    assert transaction.result().needs_rset


def test_data_taken_without_recipients_gets_a_single_dot() -> None:
    """RFC 2920 §3.1: and the answer to it delivers nothing."""
    transaction = begin(2)
    wire = run(transaction, [OK, "550 5.1.1 who", "550 5.1.1 who", GO, OK])
    assert wire.endswith(b"DATA\r\n.\r\n")
    result = transaction.result()
    assert codes(result) == [550, 550]
    assert not result.is_sent
    assert result.final_reply is None
    assert result.needs_rset


def test_data_refused_without_recipients_ends_it() -> None:
    """RFC 2920 §3.1."""
    transaction = begin(1)
    run(transaction, [OK, "550 5.1.1 who", "554 5.5.1 no valid recipients"])
    assert codes(transaction.result()) == [550]
    assert transaction.result().needs_rset


@pytest.mark.parametrize("is_pipelined", [True, False])
def test_data_refused_is_refused_for_those_left(is_pipelined: bool) -> None:
    transaction = begin(2, is_pipelined=is_pipelined)
    run(transaction, [OK, "550 5.1.1 who", OK, "451 4.7.1 greylisted"])
    result = transaction.result()
    assert codes(result) == [550, 451]
    assert result.outcomes[1].stage is Stage.DATA
    assert result.needs_rset


@pytest.mark.parametrize("answer", ["554 5.7.1 spam", "452 4.3.1 full"])
def test_the_answer_to_the_final_dot_counts_for_all_taken(answer: str) -> None:
    """RFC 5321 §4.1.1.4: the transaction is over either way."""
    transaction = begin(2)
    run(transaction, [OK, OK, "550 5.1.1 who", GO, answer])
    result = transaction.result()
    assert codes(result) == [int(answer[:3]), 550]
    assert not result.is_sent
    assert result.final_reply == reply(answer)
    assert not result.needs_rset


ALL_REPLIES = [OK, OK, OK, GO, OK]


@pytest.mark.parametrize("position", range(5))
def test_421_anywhere_ends_the_session_for_now(position: int) -> None:
    """RFC 5321 §3.8, §4.2.1."""
    transaction = begin(2)
    answers = [*ALL_REPLIES[:position], "421 4.3.2 shutting down"]
    run(transaction, answers)
    result = transaction.result()
    assert codes(result) == [421, 421]
    assert result.final_reply == (reply(answers[-1]) if position == 4 else None)
    assert transaction.awaits is Stage.NONE
    assert result.must_close
    assert not result.is_sent
    assert not result.needs_rset


def test_421_leaves_what_was_decided() -> None:
    transaction = begin(2)
    run(transaction, [OK, "550 5.1.1 who", "421 4.3.2 bye"])
    assert codes(transaction.result()) == [550, 421]


@pytest.mark.parametrize("position", range(6))
def test_a_lost_connection_is_as_451_and_never_delivered(position: int) -> None:
    """RFC 5321 §3.8; rule 109."""
    transaction = begin(2)
    transaction.commands_to_send()
    for answer in ALL_REPLIES[: min(position, 4)]:
        transaction.receive(reply(answer))
    if position >= 4:
        transaction.encode_body(b"x\r\n")
    if position == 5:
        transaction.finish_body()
    transaction.lost("lost connection while waiting for the end")
    result = transaction.result()
    assert {(outcome.reply.code, outcome.reply.status) for outcome in result.outcomes} == {
        (451, "4.4.2")
    }
    assert all(outcome.is_ours for outcome in result.outcomes)
    hint = " -- message may be sent more than once"
    assert {outcome.reply.text.endswith(hint) for outcome in result.outcomes} == {position == 5}
    assert not result.is_sent
    assert result.final_reply is None
    assert result.must_close


def test_a_connection_lost_after_the_answer_takes_nothing_back() -> None:
    """RFC 5321 §3.8: the reply was there."""
    transaction = begin(1)
    run(transaction, [OK, OK, GO, OK])
    transaction.lost("reset")
    assert transaction.result().is_sent
    assert transaction.result().must_close


@pytest.mark.parametrize(
    ("before", "answer"),
    [
        ([], GO),
        ([OK], GO),
        ([OK, OK], "250 OK"),
        ([OK, OK, GO], GO),
    ],
)
def test_an_answer_that_fits_no_command_is_a_fault(before: list[str], answer: str) -> None:
    """RFC 5321 §4.3.2: nothing is delivered by it, and nothing bounced."""
    transaction = begin(1)
    run(transaction, [*before, answer])
    result = transaction.result()
    assert codes(result) == [451]
    assert result.outcomes[0].is_ours
    assert result.must_close
    assert not result.is_sent


def test_an_answer_to_nothing_before_the_first_command_is_a_fault() -> None:
    transaction = begin(1)
    transaction.receive(reply("550 5.0.0 no"))
    assert codes(transaction.result()) == [451]
    assert transaction.result().must_close


@pytest.mark.parametrize(("answer", "code"), [("552 5.3.4 too big", 552), ("250 OK", 451)])
def test_an_answer_before_the_end_of_the_content_never_delivers(answer: str, code: int) -> None:
    """RFC 5321 §4.1.1.4: the 250 counts only after the final dot."""
    transaction = begin(1)
    transaction.commands_to_send()
    for early in [OK, OK, GO]:
        transaction.receive(reply(early))
    transaction.encode_body(b"A: b\r\n")
    transaction.receive(reply(answer))
    assert transaction.is_done
    assert not transaction.wants_body
    assert transaction.encode_body(b"more\r\n") == b""
    assert transaction.finish_body() == b""
    result = transaction.result()
    assert codes(result) == [code]
    assert result.outcomes[0].is_ours is (code == 451)
    assert result.must_close
    assert not result.is_sent


def test_an_answer_after_the_end_makes_the_connection_useless() -> None:
    transaction = begin(1)
    run(transaction, [OK, OK, GO, OK])
    transaction.receive(reply("250 once more"))
    assert transaction.result().must_close
    assert transaction.result().is_sent


@pytest.mark.parametrize("answer", ["452 4.5.3 too many", "452 too many", "552 5.5.3 too many"])
def test_those_over_the_limit_may_follow_at_once(answer: str) -> None:
    """RFC 5321 §4.5.3.1.10: and 552 for it is temporary."""
    transaction = begin(3)
    run(transaction, [OK, OK, answer, answer, GO, OK])
    result = transaction.result()
    assert [recipient.address for recipient in result.remaining] == [
        "u1@example.com",
        "u2@example.com",
    ]
    assert codes(result) == [250, 452, 452]
    assert (result.outcomes[1].reply.status or "4.5.3") == "4.5.3"


def test_552_after_a_hundred_recipients_is_too_many() -> None:
    """RFC 5321 §4.5.3.1.8, §4.5.3.1.10."""
    transaction = begin(101)
    run(transaction, [OK, *[OK] * 100, "552 too many", GO, OK])
    assert len(transaction.result().remaining) == 1


@pytest.mark.parametrize("answer", ["452 4.3.1 disk full", "552 5.2.2 quota", "552 quota"])
def test_other_refusals_may_not_follow_at_once(answer: str) -> None:
    transaction = begin(2)
    run(transaction, [OK, OK, answer, GO, OK])
    result = transaction.result()
    assert result.remaining == ()
    assert codes(result) == [250, int(answer[:3])]


def test_too_many_before_any_was_taken_is_a_refusal() -> None:
    """RFC 5321 §4.5.3.1.10: a limit of none is no limit to work with."""
    transaction = begin(2)
    run(transaction, [OK, "452 4.5.3 too many", OK, GO, OK])
    assert transaction.result().remaining == ()


def test_nobody_may_follow_when_nothing_was_taken() -> None:
    """RFC 5321 §4.5.3.1.10: without progress it would go on for ever."""
    transaction = begin(2)
    run(transaction, [OK, "452 4.5.3 too many", "452 4.5.3 too many", "554 none"])
    assert transaction.result().remaining == ()
    transaction = begin(2)
    run(transaction, [OK, OK, "452 4.5.3 too many", GO, "451 4.3.0 later"])
    assert transaction.result().remaining == ()


@pytest.mark.parametrize(
    ("has_dsn", "notify", "is_relayed"),
    [
        (True, frozenset({Notify.SUCCESS}), False),
        (False, frozenset({Notify.SUCCESS}), True),
        (False, frozenset({Notify.FAILURE}), False),
        (False, frozenset(), False),
    ],
)
def test_success_that_nobody_else_will_report_is_relayed(
    has_dsn: bool, notify: frozenset[Notify], is_relayed: bool
) -> None:
    """RFC 3461 §5.2.2 (b), (e)."""
    transaction = begin(1, has_dsn=has_dsn, notify=notify)
    run(transaction, [OK, OK, GO, OK])
    assert transaction.result().outcomes[0].is_relayed is is_relayed


def test_what_was_refused_is_not_relayed() -> None:
    """RFC 3461 §5.2.2 (b)."""
    transaction = begin(1, has_dsn=False, notify=frozenset({Notify.SUCCESS}))
    run(transaction, [OK, OK, GO, "554 5.7.1 no"])
    assert not transaction.result().outcomes[0].is_relayed


def test_a_recipient_that_cannot_be_sent_is_not_named_to_the_server() -> None:
    ours = Reply(553, ("not here",), "5.6.7")
    transaction = Transaction(
        Script(
            "MAIL FROM:<a@x>",
            (
                RecipientCommand(Recipient("grün@x"), "", ours),
                RecipientCommand(Recipient("bob@x"), "RCPT TO:<bob@x>"),
            ),
            is_pipelined=True,
        )
    )
    wire = run(transaction, [OK, OK, GO, OK])
    assert wire.count(b"RCPT") == 1
    first, second = transaction.result().outcomes
    assert (first.reply, first.is_ours, first.is_accepted) == (ours, True, False)
    assert second.is_accepted


@pytest.mark.parametrize("is_pipelined", [True, False])
def test_content_goes_in_chunks(is_pipelined: bool) -> None:
    """RFC 3030 §2: after all MAIL and RCPT replies; no dot is doubled, each length is exact."""
    transaction = begin(1, chunk_octets=10, is_pipelined=is_pipelined)
    assert b"BDAT" not in transaction.commands_to_send()
    for answer in [OK, OK]:
        transaction.commands_to_send()
        transaction.receive(reply(answer))
    assert transaction.wants_body
    assert transaction.encode_body(b".\r\nab") == b""
    assert transaction.encode_body(b"c\r\n.\n\r\nde") == b"BDAT 15\r\n.\r\nabc\r\n.\r\n\r\nde"
    assert transaction.may_send_body is is_pipelined
    transaction.receive(reply(OK))
    assert transaction.may_send_body
    assert transaction.finish_body() == b"BDAT 2 LAST\r\n\r\n"
    assert transaction.awaits is Stage.END
    transaction.receive(reply(OK))
    assert transaction.result().is_sent
    assert not transaction.result().needs_rset


def test_binary_content_is_not_touched() -> None:
    """RFC 3030 §3: every octet is preserved. Rule 112."""
    octets = bytes(range(256)) + b"\n\r\r\n."
    transaction = begin(1, chunk_octets=10_000, is_binary=True)
    wire = run(transaction, [OK, OK, OK], octets)
    assert wire.endswith(b"BDAT 261 LAST\r\n" + octets)


def test_no_chunk_follows_a_refused_one() -> None:
    """RFC 3030 §2: MUST NOT send any more, and RSET comes first. Rule 112."""
    transaction = begin(1, chunk_octets=4)
    transaction.commands_to_send()
    for answer in [OK, OK]:
        transaction.receive(reply(answer))
    assert transaction.encode_body(b"abcd") == b"BDAT 4\r\nabcd"
    assert transaction.encode_body(b"efgh") == b"BDAT 4\r\nefgh"
    transaction.receive(reply("452 4.3.1 full"))
    assert not transaction.wants_body
    assert not transaction.may_send_body
    assert transaction.encode_body(b"ijkl") == b""
    assert transaction.finish_body() == b""
    assert not transaction.is_done, "the second chunk's answer is still to come"
    transaction.receive(reply(OK))
    result = transaction.result()
    assert codes(result) == [452]
    assert result.outcomes[0].stage is Stage.BDAT
    assert result.needs_rset
    assert not result.must_close


def test_a_last_chunk_taken_after_a_refused_one_delivers_nothing() -> None:
    """RFC 3030 §2: the transaction is considered failed."""
    transaction = begin(1, chunk_octets=4)
    transaction.commands_to_send()
    for answer in [OK, OK]:
        transaction.receive(reply(answer))
    transaction.encode_body(b"abcd")
    transaction.finish_body()
    transaction.receive(reply("452 4.3.1 full"))
    transaction.receive(reply(OK))
    result = transaction.result()
    assert codes(result) == [452]
    assert not result.is_sent
    assert result.final_reply is None
    assert result.needs_rset


def test_a_refused_last_chunk_needs_rset() -> None:
    """RFC 3030 §2: the state resulting from a failed BDAT is indeterminate."""
    transaction = begin(1, chunk_octets=100)
    run(transaction, [OK, OK, "554 5.7.1 no"])
    assert codes(transaction.result()) == [554]
    assert transaction.result().needs_rset


def test_chunks_under_way_are_bounded() -> None:
    transaction = begin(1, chunk_octets=1)
    transaction.commands_to_send()
    for answer in [OK, OK]:
        transaction.receive(reply(answer))
    sent = 0
    while transaction.may_send_body:
        transaction.encode_body(b"x")
        sent += 1
    assert sent == 4


def test_with_no_recipient_left_no_chunk_is_sent() -> None:
    """RFC 3030 §2."""
    transaction = begin(1, chunk_octets=100)
    assert b"BDAT" not in run(transaction, [OK, "550 5.1.1 who"])


@pytest.mark.parametrize("chunk_octets", [0, 100])
def test_lmtp_answers_for_each_recipient(chunk_octets: int) -> None:
    """RFC 2033 §4.2: one reply for each RCPT that was taken, in their order."""
    transaction = begin(3, is_lmtp=True, chunk_octets=chunk_octets)
    data = [] if chunk_octets else [GO]
    run(transaction, [OK, OK, "550 5.1.1 who", OK, *data, OK, "452 4.2.2 quota"])
    result = transaction.result()
    assert codes(result) == [250, 550, 452]
    assert [outcome.is_accepted for outcome in result.outcomes] == [True, False, False]


def test_lmtp_lost_between_answers_keeps_those_that_came() -> None:
    """RFC 2033 §4.2, RFC 5321 §3.8."""
    transaction = begin(2, is_lmtp=True)
    transaction.commands_to_send()
    for answer in [OK, OK, OK, GO]:
        transaction.receive(reply(answer))
    transaction.finish_body()
    transaction.receive(reply(OK))
    assert not transaction.is_done
    transaction.lost("reset")
    assert codes(transaction.result()) == [250, 451]


@pytest.mark.parametrize(("answers", "is_told"), [([], True), (["452 4.3.1 full"], False)])
def test_a_loss_behind_the_last_chunk_says_that_it_may_be_there(
    answers: list[str], is_told: bool
) -> None:
    """RFC 3030 §2, RFC 5321 §4.5.3.2.6: chunks before it may be unanswered still."""
    transaction = begin(1, chunk_octets=4)
    transaction.commands_to_send()
    for answer in [OK, OK]:
        transaction.receive(reply(answer))
    transaction.encode_body(b"abcd")
    transaction.finish_body()
    for answer in answers:
        transaction.receive(reply(answer))
    transaction.lost("reset")
    (outcome,) = transaction.result().outcomes
    assert outcome.reply.text.endswith("may be sent more than once") is is_told


def test_lmtp_answers_after_a_refused_chunk_change_nothing() -> None:
    """RFC 3030 §2, RFC 2033 §4.2."""
    transaction = begin(1, is_lmtp=True, chunk_octets=4)
    transaction.commands_to_send()
    for answer in [OK, OK]:
        transaction.receive(reply(answer))
    transaction.encode_body(b"abcd")
    transaction.finish_body()
    transaction.receive(reply("452 4.3.1 full"))
    transaction.receive(reply(OK))
    assert codes(transaction.result()) == [452]


def test_what_is_awaited_is_known() -> None:
    """RFC 5321 §4.5.3.2: each step has its own time."""
    transaction = begin(1)
    assert transaction.awaits is Stage.NONE
    transaction.commands_to_send()
    seen = [transaction.awaits]
    for answer in [OK, OK, GO]:
        transaction.receive(reply(answer))
        seen.append(transaction.awaits)
    transaction.finish_body()
    seen.append(transaction.awaits)
    assert seen == [Stage.MAIL, Stage.RCPT, Stage.DATA, Stage.NONE, Stage.END]


def test_the_dialogue_has_everything_but_the_content() -> None:
    transaction = begin(1)
    run(transaction, [OK, OK, GO, "250 2.0.0 " + "x" * 500], b"Subject: secret\r\n")
    transaction.lost("reset")
    lines = transaction.take_dialogue()
    assert lines[:4] == ("> MAIL FROM:<a@x>", "> RCPT TO:<u0@x>", "> DATA", "< 250 2.0.0 OK")
    assert lines[5:8] == ("< 354 go on", "> (content of 17 octets)", "> .")
    assert len(lines[8]) == 502
    assert not any("secret" in line for line in lines)
    assert transaction.take_dialogue() == ()


def test_the_dialogue_tells_of_a_loss() -> None:
    transaction = begin(1, chunk_octets=10)
    transaction.lost("timed out")
    assert transaction.take_dialogue() == ("! timed out",)


def test_the_dialogue_shows_each_chunk() -> None:
    transaction = begin(1, chunk_octets=100)
    run(transaction, [OK, OK, OK], b"A: b\r\n")
    assert transaction.take_dialogue()[-3:] == (
        "> (content of 6 octets)",
        "> BDAT 6 LAST",
        "< 250 2.0.0 OK",
    )


def test_there_is_no_result_before_the_end() -> None:
    with pytest.raises(ValueError, match="not done"):
        begin(1).result()


ANSWERS = st.sampled_from(
    [OK, OK, OK, GO, "451 later", "550 5.1.1 no", "452 4.5.3 many", "421 bye", "552 full"]
)


@given(
    st.lists(ANSWERS, min_size=30, max_size=30),
    st.integers(1, 4),
    st.booleans(),
    st.sampled_from([0, 3]),
    st.booleans(),
)
def test_any_answers_lead_to_an_end_and_only_an_end_reply_delivers(
    answers: list[str], recipients: int, is_pipelined: bool, chunk_octets: int, is_lmtp: bool
) -> None:
    """RFC 5321 §4.2.5, §3.8."""
    transaction = begin(
        recipients, is_pipelined=is_pipelined, chunk_octets=chunk_octets, is_lmtp=is_lmtp
    )
    waiting = iter(answers)
    content = [b"ab\r\n", b"cd\r\n"]
    has_ended = False
    while not transaction.is_done:
        if not transaction.commands_to_send():
            if transaction.may_send_body and content:
                transaction.encode_body(content.pop())
            elif transaction.may_send_body:
                transaction.finish_body()
                has_ended = True
            else:
                transaction.receive(reply(next(waiting)))
    result = transaction.result()
    assert len(result.outcomes) == recipients
    for outcome in result.outcomes:
        assert outcome.is_accepted == (outcome.stage is Stage.END and outcome.reply.is_positive)
        assert outcome.is_accepted or not outcome.reply.is_positive
    assert has_ended or not result.is_sent
    assert not (result.must_close and result.needs_rset)
    assert transaction.commands_to_send() == b""
