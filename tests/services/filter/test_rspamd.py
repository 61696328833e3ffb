"""rspamd as a filter: what it is told, and what its answers come to."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from msgspec.structs import replace

from letterlock.base.config.filters import FilteredMail
from letterlock.network.http_exchange import (
    BodyStream,
    HttpFailed,
    HttpFault,
    HttpResponse,
)
from letterlock.protocols.rspamd.answers import AddedField, RemovedField, RspamdAnswer
from letterlock.protocols.smtp.field_edits import (
    AppendField,
    ChangeField,
    DeleteField,
    FieldEdit,
    InsertField,
)
from letterlock.protocols.smtp.replies import reply
from letterlock.protocols.tls.handshake import Handshake
from letterlock.services.filter.contract import (
    Discarded,
    Failed,
    FilterClient,
    Judgement,
    Passed,
    Refused,
)
from letterlock.services.filter.rspamd import RspamdFilter, judge_answer
from tests.fakes import FakeLog
from tests.services.filter.scripted import CLIENT, MAIL, make_message

MESSAGE = make_message(b"From: <a@example.net>\r\nSubject: two\r\n", b"text\r\n")
NO_ACTION = HttpResponse(200, (), b'{"action":"no action"}')


@dataclass
class Asker:
    """Answers as told, and keeps what it was asked."""

    response: HttpResponse | HttpFailed = NO_ACTION
    headers: list[tuple[str, str]] = field(default_factory=list)
    octets: int = 0
    message: bytes = b""

    async def check(
        self, headers: tuple[tuple[str, str], ...], message: BodyStream
    ) -> HttpResponse | HttpFailed:
        self.headers += headers
        self.octets = message.octets
        self.message = b"".join([piece async for piece in message.pieces])
        return self.response


async def judge(
    asker: Asker, client: FilterClient = CLIENT, settings_id: str = ""
) -> tuple[Judgement, FakeLog]:
    log = FakeLog()
    session = RspamdFilter("rspamd", asker, log, settings_id).begin(client)
    assert isinstance(await session.begin(MAIL), Passed)
    assert isinstance(await session.take_recipient("bob@example.org", ()), Passed)
    judgement = await session.judge(MESSAGE)
    session.abort()
    session.close()
    return judgement, log


async def test_it_gets_the_message_as_it_is_and_what_is_known_of_it() -> None:
    asker = Asker()
    handshake = Handshake("TLSv1.3", "TLS_AES_256_GCM_SHA384", 256, "X25519", None)
    client = replace(CLIENT, source=FilteredMail.SUBMISSION, login="bob", tls=handshake)
    judgement, _ = await judge(asker, client, "outgoing")
    assert judgement == Judgement()
    assert asker.message == b"From: <a@example.net>\r\nSubject: two\r\n\r\ntext\r\n"
    assert asker.octets == len(asker.message)
    assert dict(asker.headers) == {
        "From": "<alice@example.net>",
        "Rcpt": "<bob@example.org>",
        "IP": "192.0.2.7",
        "Helo": "client.example.net",
        "Hostname": "client.example.net",
        "User": "bob",
        "Queue-Id": "Q1",
        "TLS-Version": "TLSv1.3",
        "TLS-Cipher": "TLS_AES_256_GCM_SHA384",
        "MTA-Name": "mx.example.org",
        "Deliver-To": "bob@example.org",
        "Settings-ID": "outgoing",
    }


@pytest.mark.parametrize("source", [FilteredMail.OUTSIDE, FilteredMail.LOCAL])
async def test_only_an_account_is_a_user(source: FilteredMail) -> None:
    """rspamd trusts users: what cron sends is not an account's."""
    asker = Asker()
    await judge(asker, replace(CLIENT, source=source, login="root", name=None))
    assert not {"User", "Hostname", "TLS-Version", "Settings-ID"} & dict(asker.headers).keys()


async def test_the_log_has_action_score_and_symbols_on_one_line() -> None:
    document = {"action": "add header", "score": 6.5, "required_score": 15}
    symbols = {"SPAMMY\nQ2: status=sent": {"score": 6.5}}
    asker = Asker(HttpResponse(200, (), json.dumps({**document, "symbols": symbols}).encode()))
    _, log = await judge(asker)
    assert log.texts == ["rspamd: add header [6.50/15.00] [SPAMMY Q2: status=sent(6.50)]"]


@pytest.mark.parametrize(
    ("response", "reason"),
    [
        (HttpFailed(HttpFault.UNREACHABLE, "http://h:1: refused"), "http://h:1: refused"),
        (HttpResponse(200, (), b"<html>"), "HTTP status 200, not JSON"),
        (HttpResponse(403, (), b'{"error":"no\\nway"}'), "HTTP status 403, an error: no way"),
        (HttpResponse(500, (), b'{"action":"reject"}'), "HTTP status 500"),
    ],
)
async def test_what_is_no_answer_is_a_failure(
    response: HttpResponse | HttpFailed, reason: str
) -> None:
    judgement, log = await judge(Asker(response))
    assert judgement == Judgement(Failed(reason))
    assert log.texts == []


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (RspamdAnswer("no action"), Judgement()),
        (RspamdAnswer("greylist"), Judgement()),
        (RspamdAnswer("an action of its owner"), Judgement()),
        (
            RspamdAnswer("reject"),
            Judgement(Refused(reply(554, "5.7.1", "Spam message rejected"))),
        ),
        (
            RspamdAnswer("reject", message="no\r\n250 ok"),
            Judgement(Refused(reply(554, "5.7.1", "no  250 ok"))),
        ),
        (
            RspamdAnswer("soft reject"),
            Judgement(Refused(reply(451, "4.7.1", "Try again later"))),
        ),
        (
            RspamdAnswer("soft reject", message="later"),
            Judgement(Refused(reply(451, "4.7.1", "later"))),
        ),
        (RspamdAnswer("discard"), Judgement(Discarded())),
        (RspamdAnswer("discard", message="away"), Judgement(Discarded("away"))),
        (RspamdAnswer("reject", on_reject="discard"), Judgement(Discarded())),
        (RspamdAnswer("quarantine"), Judgement(quarantine="Spam message quarantined")),
        (RspamdAnswer("quarantine", message="odd"), Judgement(quarantine="odd")),
        (
            RspamdAnswer("reject", on_reject="quarantine", message="odd"),
            Judgement(quarantine="odd"),
        ),
        (
            RspamdAnswer("reject", is_advice=True),
            Judgement(edits=(AppendField("X-Rspamd-Action", b" reject"),)),
        ),
        (
            RspamdAnswer("add header"),
            Judgement(edits=(DeleteField("X-Spam"), AppendField("X-Spam", b" Yes"))),
        ),
        (
            RspamdAnswer("add header", spam_fields=(AddedField("", "Oh"), AddedField("X-A", "b"))),
            Judgement(
                edits=(
                    *(DeleteField("X-Spam"), AppendField("X-Spam", b" Oh")),
                    *(DeleteField("X-A"), AppendField("X-A", b" b")),
                )
            ),
        ),
        (
            RspamdAnswer("no action", spam_fields=(AddedField("", "Oh"),), subject="unused"),
            Judgement(),
        ),
        (
            RspamdAnswer("rewrite subject", subject="[spam] \u00e9"),
            Judgement(edits=(ChangeField("Subject", 1, b" [spam] \xc3\xa9"),)),
        ),
        (RspamdAnswer("rewrite subject"), Judgement()),
        (
            RspamdAnswer(
                "no action",
                sender="<a@example.org>",
                added_recipients=("<b@example.org>",),
                removed_recipients=(" c@example.org ",),
            ),
            Judgement(sender="a@example.org", added=("b@example.org",), removed=("c@example.org",)),
        ),
    ],
)
def test_what_follows_from_an_action(answer: RspamdAnswer, expected: Judgement) -> None:
    """As rspamd's own milter has it."""
    assert judge_answer(answer, 3) == expected


@pytest.mark.parametrize(
    ("field", "edit"),
    [
        (AddedField("X", "v"), AppendField("X", b" v")),
        # Our Received field, above all that it sees, is number 0.
        (AddedField("X", "v", 0), InsertField(0, "X", b" v")),
        (AddedField("X", "v", 1), InsertField(0, "X", b" v")),
        (AddedField("X", "v", 2), InsertField(1, "X", b" v")),
        (AddedField("X", "v", -1), InsertField(4, "X", b" v")),
        (AddedField("X", "v", -99), InsertField(0, "X", b" v")),
    ],
)
def test_where_a_field_is_put(field: AddedField, edit: FieldEdit) -> None:
    assert judge_answer(RspamdAnswer("no action", added=(field,)), 5).edits == (edit,)


def test_fields_go_before_others_come_and_signatures_are_on_top() -> None:
    answer = RspamdAnswer(
        "no action",
        removed=(RemovedField("A", 0), RemovedField("B", 2), RemovedField("C", -1)),
        added=(AddedField("A", "1"),),
        signatures=("v=1; one", "v=1; two"),
    )
    expected: Sequence[FieldEdit] = (
        DeleteField("A"),
        DeleteField("B", 2),
        DeleteField("C", -1),
        AppendField("A", b" 1"),
        InsertField(0, "DKIM-Signature", b" v=1; one"),
        InsertField(1, "DKIM-Signature", b" v=1; two"),
    )
    assert judge_answer(answer, 5).edits == tuple(expected)


def test_the_field_that_marks_spam_is_a_setting() -> None:
    judgement = judge_answer(RspamdAnswer("add header"), 5, "X-Spam-Flag")
    assert judgement.edits == (DeleteField("X-Spam-Flag"), AppendField("X-Spam-Flag", b" Yes"))
