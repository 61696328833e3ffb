"""Several filters behind each other, and what is done when one fails."""

import asyncio

import pytest
from msgspec.structs import replace

from letterlock.base.config.filters import FilterDefault, FilteredMail
from letterlock.protocols.smtp.envelope import Envelope, Notify, Recipient
from letterlock.protocols.smtp.field_edits import AppendField, ChangeField, InsertField
from letterlock.protocols.smtp.replies import reply
from letterlock.services.filter.chain import ChainSession, FilterChain
from letterlock.services.filter.contract import (
    Discarded,
    Failed,
    FilterClient,
    FilterMessage,
    Judgement,
    Passed,
    Refused,
)
from letterlock.services.filter.link import REJECTED, UNAVAILABLE, ChainedFilter
from letterlock.services.filter.message import WholeMessage
from tests.services.filter.scripted import (
    CLIENT,
    MAIL,
    MemoryBody,
    ScriptedFilter,
    ScriptedFiltering,
    make_message,
)

REFUSED = Refused(reply(550, "5.7.1", "no"))
ALL = frozenset(FilteredMail)


class Session:
    """A chain's session in a test, and the lines it logged."""

    def __init__(
        self, *filters: ScriptedFilter, action: FilterDefault = FilterDefault.TEMPFAIL
    ) -> None:
        self.warnings: list[str] = []
        chained = [ChainedFilter(each, ALL, action) for each in filters]
        self.chain = FilterChain(chained, self.warnings.append)
        session = self.chain.begin(CLIENT)
        assert session is not None
        self.session: ChainSession = session


async def read(message: WholeMessage) -> bytes:
    body = b"".join([piece async for piece in message.read_body()])
    return message.header + b"\r\n" + body


async def test_each_filter_is_told_in_the_order_of_the_list() -> None:
    told: list[str] = []
    filters = [ScriptedFilter(name, told=told) for name in ("one", "two")]
    session = Session(*filters).session
    await session.begin(MAIL)
    await session.take_recipient("bob@example.org", ("NOTIFY=NEVER",))
    await session.judge(make_message())
    session.close()
    assert [line.split()[0] for line in told] == [
        *("client", "mail", "client", "mail"),
        *("rcpt", "rcpt", "judge", "judge", "close", "close"),
    ]
    assert told[4] == "rcpt bob@example.org NOTIFY=NEVER"


async def test_a_filter_sees_the_edits_of_the_one_before() -> None:
    first = ScriptedFilter(
        judgement=Judgement(
            edits=(InsertField(0, "X-One", b" 1"), ChangeField("subject", 1, b" changed")),
            body=MemoryBody(b"another\r\n"),
            sender="",
            added=("carol@example.org",),
            removed=("bob@example.org",),
        )
    )
    second = ScriptedFilter(judgement=Judgement(edits=(AppendField("X-Two", b" 2"),)))
    session = Session(first, second).session
    await session.begin(MAIL)
    judged = await session.judge(make_message())
    assert second.seen is not None
    assert await read(second.seen) == (
        b"X-One: 1\r\nFrom: <alice@example.net>\r\nSubject: changed\r\n\r\nanother\r\n"
    )
    assert (await read(judged.message)).startswith(b"X-One: 1\r\nFrom")
    assert b"X-Two: 2\r\n\r\nanother" in await read(judged.message)
    assert judged.message.envelope.sender == ""
    assert judged.message.envelope.recipients == (Recipient("carol@example.org"),)


async def test_a_message_without_edits_is_the_same_octets() -> None:
    session = Session(ScriptedFilter()).session
    await session.begin(MAIL)
    judged = await session.judge(message := make_message())
    assert judged.message == message
    assert judged.hold is None


async def test_what_one_refuses_the_next_does_not_see() -> None:
    second = ScriptedFilter()
    session = Session(ScriptedFilter("one", judgement=Judgement(REFUSED)), second).session
    await session.begin(MAIL)
    judged = await session.judge(make_message())
    assert judged.answer == REFUSED
    assert judged.by == "one"
    assert second.told[-1] == "abort"
    assert "judge" not in second.told


async def test_a_sender_refused_ends_the_transaction_for_all() -> None:
    first, second = ScriptedFilter(), ScriptedFilter("two", at_mail=REFUSED)
    told = await Session(first, second).session.begin(MAIL)
    assert (told.answer, told.by) == (REFUSED, "two")
    assert first.told[-1] == "abort"


async def test_a_refused_recipient_leaves_the_others() -> None:
    script = ScriptedFilter(at_rcpt=(REFUSED, Passed()))
    session = Session(script).session
    await session.begin(MAIL)
    assert (await session.take_recipient("bob@example.org")).answer == REFUSED
    assert (await session.take_recipient("carol@example.org")).answer == Passed()


@pytest.mark.parametrize("at", ["mail", "rcpt", "judge"])
async def test_a_discarded_message_passes_until_its_end(at: str) -> None:
    answer = Discarded("junk")
    script = ScriptedFilter(
        at_mail=answer if at == "mail" else Passed(),
        at_rcpt=(answer,) if at == "rcpt" else (),
        judgement=Judgement(answer if at == "judge" else Passed()),
    )
    session = Session(script).session
    assert (await session.begin(MAIL)).answer == Passed()
    assert (await session.take_recipient("bob@example.org")).answer == Passed()
    judged = await session.judge(make_message())
    assert (judged.answer, judged.by) == (answer, "scripted")
    # And the next transaction is another one.
    script.at_mail, script.judgement = Passed(), Judgement()
    await session.begin(MAIL)
    assert (await session.judge(make_message())).answer == Passed()


@pytest.mark.parametrize(
    ("action", "expected"),
    [
        (FilterDefault.TEMPFAIL, UNAVAILABLE),
        (FilterDefault.REJECT, REJECTED),
        (FilterDefault.ACCEPT, Passed()),
        (FilterDefault.QUARANTINE, Passed()),
    ],
)
@pytest.mark.parametrize("at", ["mail", "rcpt", "judge"])
async def test_a_failure_counts_as_its_setting_says(
    at: str, action: FilterDefault, expected: Passed | Refused
) -> None:
    failed = Failed("it hung up")
    script = ScriptedFilter(
        "unix:/milter",
        at_mail=failed if at == "mail" else Passed(),
        at_rcpt=(failed,) if at == "rcpt" else (),
        judgement=Judgement(failed if at == "judge" else Passed()),
    )
    session = Session(script, action=action)
    steps = {
        "mail": (await session.session.begin(MAIL)).answer,
        "rcpt": (await session.session.take_recipient("bob@example.org")).answer,
    }
    judged = await session.session.judge(make_message())
    assert {**steps, "judge": judged.answer}[at] == expected
    # What was accepted before the failure must not pass unfiltered either.
    assert judged.answer == expected
    is_held = action is FilterDefault.QUARANTINE
    assert judged.hold == ("unix:/milter could not be asked: it hung up" if is_held else None)
    assert session.warnings == ["warning: unix:/milter: it hung up"]
    assert script.told[-1] == "close"


async def test_a_filter_that_failed_is_tried_anew_for_the_next_message() -> None:
    script = ScriptedFilter(at_mail=Failed("down"))
    of_test = Session(script)
    session = of_test.session
    assert (await session.begin(MAIL)).answer == UNAVAILABLE
    assert of_test.chain.failures == {"scripted": "down"}
    script.at_mail = Passed()
    assert (await session.begin(MAIL)).answer == Passed()
    assert of_test.chain.failures == {}
    assert (await session.judge(make_message())).answer == Passed()
    assert script.told.count("client 192.0.2.7 outside") == 2


async def test_an_edit_that_is_nonsense_is_a_failure() -> None:
    session = Session(ScriptedFilter(judgement=Judgement(edits=(AppendField("a b", b"x"),))))
    await session.session.begin(MAIL)
    assert (await session.session.judge(make_message())).answer == UNAVAILABLE
    assert "not the name of a header field" in session.warnings[0]


async def test_a_header_that_edits_make_too_long_is_a_failure() -> None:
    edits = (AppendField("X-Long", b" " + b"x" * 60_000),) * 5
    session = Session(ScriptedFilter(judgement=Judgement(edits=edits)))
    await session.session.begin(MAIL)
    assert (await session.session.judge(make_message())).answer == UNAVAILABLE


async def test_an_address_that_is_none_is_told_of_and_left_out() -> None:
    judgement = Judgement(sender="a b", added=("@", "carol@EXAMPLE.org"), removed=("nobody",))
    session = Session(ScriptedFilter(judgement=judgement))
    await session.session.begin(MAIL)
    judged = await session.session.judge(make_message())
    envelope = judged.message.envelope
    assert envelope.sender == "alice@example.net"
    assert [each.address for each in envelope.recipients] == [
        "bob@example.org",
        "carol@example.org",
    ]
    assert len(session.warnings) == 3


async def test_a_recipient_added_twice_keeps_what_was_asked_for_it() -> None:
    asked = Recipient("bob@example.org", frozenset({Notify.NEVER}))
    message = replace(make_message(), envelope=Envelope("", (asked,)))
    session = Session(ScriptedFilter(judgement=Judgement(added=("bob@example.org",)))).session
    await session.begin(MAIL)
    assert (await session.judge(message)).message.envelope.recipients == (asked,)


async def test_quarantine_holds_whatever_the_others_say() -> None:
    first = ScriptedFilter(judgement=Judgement(quarantine="looks odd"))
    session = Session(first, ScriptedFilter()).session
    await session.begin(MAIL)
    assert (await session.judge(make_message())).hold == "looks odd"


def test_only_filters_that_want_its_mail_see_a_client() -> None:
    script = ScriptedFilter()
    chain = FilterChain([ChainedFilter(script, frozenset({FilteredMail.LOCAL}))], lambda _: None)
    assert chain.begin(CLIENT) is None
    assert script.told == []


class EndlessFilter(ScriptedFilter):
    """One that is always still at work, as a milter may say for hours."""

    def begin(self, client: FilterClient) -> ScriptedFiltering:
        super().begin(client)
        return EndlessFiltering(self)


class EndlessFiltering(ScriptedFiltering):
    async def judge(self, message: FilterMessage) -> Judgement:
        await asyncio.Event().wait()
        return await super().judge(message)


@pytest.mark.parametrize(
    ("action", "answer"), [(FilterDefault.TEMPFAIL, UNAVAILABLE), (FilterDefault.ACCEPT, Passed())]
)
async def test_no_message_takes_longer_than_its_client_waits(
    action: FilterDefault, answer: Passed | Refused
) -> None:
    """RFC 5321 §4.5.3.2.6: who got no reply in 10 minutes sends it again, and again."""
    told: list[str] = []
    chained = ChainedFilter(EndlessFilter("endless", told=told), ALL, action)
    warnings: list[str] = []
    session = FilterChain([chained], warnings.append, seconds=0.01).begin(CLIENT)
    assert session is not None
    await session.begin(MAIL)
    assert (await session.judge(make_message())).answer == answer
    assert warnings == ["warning: endless: the time that all filters have for one message was over"]
    assert told[-1] == "close"
    # The next one begins anew.
    assert (await session.begin(MAIL)).answer == Passed()
    assert told[-2:] == ["client 192.0.2.7 outside", "mail alice@example.net"]
