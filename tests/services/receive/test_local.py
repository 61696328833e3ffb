"""Dropped messages become stored ones: RFC 5321 §4.4, §6.3; RFC 3461 §4."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from io import BytesIO
from pathlib import Path

import pytest

from letterlock.base.clock import SystemClock
from letterlock.base.config.filters import FilteredMail
from letterlock.base.domains import Domain
from letterlock.base.shared_counters import SharedCounters
from letterlock.protocols.smtp.envelope import BodyType, Notify, Ret, TlsDemand
from letterlock.protocols.smtp.field_edits import AppendField
from letterlock.protocols.smtp.replies import reply
from letterlock.protocols.tables.aliases import parse_aliases
from letterlock.protocols.tables.expansion import AddressTables
from letterlock.services.filter.chain import FilterChain
from letterlock.services.filter.contract import Failed, Judgement, Passed, Refused
from letterlock.services.filter.link import ChainedFilter
from letterlock.services.queue.directory import LocalDirectory
from letterlock.services.queue.notices import NoticeMaker
from letterlock.services.queue.schedule import Schedule
from letterlock.services.receive.clients import ClientLimits, Clients
from letterlock.services.receive.dropped import LocalUser
from letterlock.services.receive.filtered import Filters
from letterlock.services.receive.local import LocalSettings, LocalSubmissions, Taken
from letterlock.services.receive.names import ClientNames
from letterlock.services.receive.recipients import RelayClients
from letterlock.services.receive.session import Receiver
from letterlock.services.redirect.tables import FixedTables, Tables
from letterlock.storage.drop import DropEnvelope, DropError, format_envelope
from letterlock.storage.ids import QueueIds
from letterlock.storage.queue import BodyWriter, NewMessage, StoreUnavailable
from letterlock.storage.sqlite.queue import SqliteQueue
from tests.fakes import FakeLog, FixtureResolver
from tests.services.filter.scripted import ScriptedFilter

NOW = SystemClock().now().timestamp()
USER = LocalUser(1000, "jo", "Jo Doe")


@dataclass
class Intake:
    """What takes messages, and where they are then."""

    store: SqliteQueue
    log: FakeLog
    receiver: Receiver
    settings: LocalSettings
    woken: list[str] = field(default_factory=list)
    saved: list[NewMessage] = field(default_factory=list)

    async def take(
        self, message: bytes, *recipients: str, user: LocalUser = USER, **facts: str
    ) -> Taken:
        octets = format_envelope(DropEnvelope(recipients or ("al@far.example",), facts)) + message
        return await self.take_file(octets, user)

    async def take_file(self, octets: bytes, user: LocalUser = USER, dropped: float = 0.0) -> Taken:
        submissions = LocalSubmissions(self.receiver, self.settings)
        return await submissions.take(BytesIO(octets), user, dropped or NOW)

    def with_store(self, store: object) -> "Intake":
        receiver = replace(self.receiver, store=store)  # type: ignore[arg-type]
        return Intake(self.store, self.log, receiver, self.settings)

    async def read(self, number: int = -1) -> str:
        """Give a message that was stored."""
        queue_id = self.saved[number].queue_id
        return b"".join([piece async for piece in self.store.read_body(queue_id)]).decode()


@dataclass
class _Recorder:
    """The store, and what was saved in it."""

    store: SqliteQueue
    saved: list[NewMessage]

    def write_body(self) -> BodyWriter:
        return self.store.write_body()

    async def save(self, message: NewMessage) -> None:
        await self.store.save(message)
        self.saved.append(message)


@pytest.fixture
async def intake(tmp_path: Path) -> AsyncIterator[Intake]:
    clock, log = SystemClock(), FakeLog()
    store = SqliteQueue(tmp_path / "queue" / "shard-000.db", clock)
    await store.open()
    host, domain = Domain("mx.example.org"), Domain("example.org")
    woken: list[str] = []
    saved: list[NewMessage] = []
    receiver = Receiver(
        hostname=host,
        directory=LocalDirectory(host, frozenset({domain}), frozenset(), "postmaster"),
        relay=RelayClients(()),
        clients=Clients(ClientLimits(), SharedCounters(1, b"x", slots=64), 0, clock),
        store=_Recorder(store, saved),
        schedule=Schedule(),
        names=ClientNames(FixtureResolver(), clock),
        max_hops=5,
        clock=clock,
        log=log,
        make_id=QueueIds(clock).make,
        count=lambda _: None,
        wake=woken.extend,
    )
    notices = NoticeMaker(
        host,
        receiver.schedule,
        clock,
        receiver.make_id,
        lambda: "abcdefgh12",
    )
    settings = LocalSettings(domain, 50_000, 3, lambda: "abcdefgh12", notices)
    try:
        yield Intake(store, log, receiver, settings, woken, saved)
    finally:
        await store.close()


async def test_a_message_is_stored_with_who_dropped_it(intake: Intake) -> None:
    assert await intake.take(b"Subject: x\n\nhello\n", "al@far.example", "root") is Taken.DONE
    (message,) = intake.saved
    assert message.envelope.sender == "jo@example.org"
    addresses = [item.address for item in message.envelope.recipients]
    assert addresses == ["al@far.example", "root@example.org"]
    assert intake.woken == list(message.destinations) == ["far.example", "example.org"]
    assert message.origin == {
        "client": "local",
        "helo": "mx.example.org",
        "tls": "",
        "user": "jo",
    }
    text = await intake.read()
    begin = "Received: by mx.example.org (Letterlock, from userid 1000) id "
    assert text.startswith(begin + message.queue_id)
    assert "\r\nFrom: Jo Doe <jo@example.org>\r\n" in text
    assert "\r\nMessage-ID: <" in text
    assert text.endswith("\r\n\r\nhello\r\n")
    assert "client=local[uid 1000, jo]" in str(intake.log.texts)


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (b"Subject: x\n\nb\n", "Subject: x\r\n*\r\nb\r\n"),
        (b"Subject: x\r\n\r\nb\r\n", "Subject: x\r\n*\r\nb\r\n"),
        (b"Subject: x\n\na\rb\0c", "Subject: x\r\n*\r\na b c\r\n"),
        (b"Subject: x\nno field\n", "Subject: x\r\n*\r\nno field\r\n"),
        (b"no field\n", "*\r\nno field\r\n"),
        (b"", "*\r\n"),
        (b"From jo Mon\nSubject: x\n\n.\n", "Subject: x\r\n*\r\n.\r\n"),
        (b"To: a\nBcc: b\n\n", "To: a@example.org\r\n*\r\n"),
        (b"X: y\n\n" + b"z" * 40_000, "X: y\r\n*\r\n" + "z" * 40_000 + "\r\n"),
    ],
    ids=range(9),
)
async def test_lines_end_in_crlf_and_the_header_section_is_whole(
    intake: Intake, message: bytes, expected: str
) -> None:
    """RFC 5321 §2.3.8, RFC 5322 §2.1. The star stands for From, Date and Message-ID."""
    assert await intake.take(message) is Taken.DONE
    lines = (await intake.read()).split("\r\n")[2:]
    added = ("From:", "Date:", "Message-ID:")
    first = next(number for number, line in enumerate(lines) if line.startswith("From:"))
    kept = [line for line in lines if not line.startswith(added)]
    kept.insert(first, "*")
    assert "\r\n".join(kept) == expected.replace("*\r\n", "*\r\n\r\n")


async def test_what_was_asked_for_it_is_in_the_envelope(intake: Intake) -> None:
    """RFC 3461 §4; RFC 6152 §2; RFC 6531 §3.4; RFC 8689 §4.1."""
    message = "TLS-Required: No\nSubject: ö\n\nö\n".encode()
    assert (
        await intake.take(message, notify="SUCCESS,DELAY", ret="HDRS", envid="a+b c", sender="")
        is Taken.DONE
    )
    envelope = intake.saved[0].envelope
    assert (envelope.sender, envelope.ret, envelope.envid) == ("", Ret.HEADERS, "a+2Bb+20c")
    assert envelope.recipients[0].notify == {Notify.SUCCESS, Notify.DELAY}
    assert (envelope.body_type, envelope.smtputf8) == (BodyType.EIGHT_BIT, True)
    assert envelope.tls_demand is TlsDemand.TLS_REQUIRED_NO
    text = await intake.read()
    assert "From: Mail Delivery System <MAILER-DAEMON@example.org>" in text


async def test_eight_bits_in_the_body_ask_for_no_more_than_8bitmime(intake: Intake) -> None:
    assert await intake.take(b"Subject: x\n\n\xff\n", envid="\u00e9") is Taken.DONE
    envelope = intake.saved[0].envelope
    assert (envelope.body_type, envelope.smtputf8) == (BodyType.EIGHT_BIT, False)
    assert envelope.envid is None


@pytest.mark.parametrize(
    ("user", "named", "sender"),
    [
        (USER, "me", "me@example.org"),
        (USER, "me@far.example", "me@far.example"),
        (USER, "no address@", "jo@example.org"),
        (LocalUser(7, "j o"), "..", "uid7@example.org"),
    ],
)
async def test_the_sender_is_who_was_named_or_the_user(
    intake: Intake, user: LocalUser, named: str, sender: str
) -> None:
    assert await intake.take(b"\n", user=user, sender=named) is Taken.DONE
    assert intake.saved[0].envelope.sender == sender


async def test_what_is_no_address_comes_back_and_the_others_get_it(intake: Intake) -> None:
    """No mail ends without a word."""
    recipients = ("al@far.example", "al@far.example", "b..c@far.example")
    assert await intake.take(b"Subject: x\n\nhello\n", *recipients) is Taken.DONE
    message, notice = intake.saved
    assert [item.address for item in message.envelope.recipients] == ["al@far.example"]
    assert notice.envelope.sender == ""
    assert [item.address for item in notice.envelope.recipients] == ["jo@example.org"]
    text = await intake.read()
    assert "b..c@far.example" in text
    assert "5.1.3" in text
    assert "Subject: x" in text


@pytest.mark.parametrize(
    ("message", "recipients", "status"),
    [
        (b"x" * 50_001, ["a"], "5.3.4"),
        (b"X: " + b"y" * 49_000, ["a", "b", "c", "d"], "5.5.3"),
        (b"Received: x\n" * 6 + b"\n", ["a"], "5.4.6"),
        (b"", ["..a"], "5.1.3"),
    ],
)
async def test_what_is_refused_comes_back(
    intake: Intake, message: bytes, recipients: list[str], status: str
) -> None:
    """As a client is refused: size, recipients, and RFC 5321 §6.3 for a loop."""
    assert await intake.take(message, *recipients) is Taken.DONE
    (notice,) = intake.saved
    assert notice.envelope.sender == ""
    assert status in await intake.read()


async def test_a_header_that_does_not_end_comes_back(intake: Intake) -> None:
    big = Intake(intake.store, intake.log, intake.receiver, replace(
        intake.settings, max_message_bytes=1_000_000), saved=intake.saved)  # fmt: skip
    assert await big.take(b"X: y\n" * 60_000) is Taken.DONE
    assert "header is longer" in await big.read()
    assert await big.take(b"X: y\n\n" + b"z" * 400_000) is Taken.DONE
    assert intake.saved[1].body.size > 400_000


async def test_the_null_sender_is_told_nothing(intake: Intake) -> None:
    """RFC 5321 §6.1."""
    assert await intake.take(b"", "..a", sender="") is Taken.DONE
    assert intake.saved == []
    assert "refused: " in str(intake.log.texts)


@pytest.mark.parametrize(
    "octets", [b"", b"x\n\n", format_envelope(DropEnvelope(("a",), {"notify": "SOMETIMES"})),
        format_envelope(DropEnvelope(("a",), {"notify": "NEVER,DELAY"})),
        format_envelope(DropEnvelope(("a",), {"ret": "x"}))],
)  # fmt: skip
async def test_what_is_no_dropped_message_is_an_error(intake: Intake, octets: bytes) -> None:
    with pytest.raises(DropError):
        await intake.take_file(octets)


async def test_a_time_to_come_is_not_believed(intake: Intake) -> None:
    octets = format_envelope(DropEnvelope(("a",), {}))
    for dropped in (NOW + 1e6, 1e300, float("nan")):
        assert await intake.take_file(octets, dropped=dropped) is Taken.DONE
    year = str(SystemClock().now().year)
    for number in range(3):
        date = next(line for line in (await intake.read(number)).split("\r\n") if "Date" in line)
        assert year in date


class _Full:
    def __init__(self, store: SqliteQueue, *, is_at_begin: bool) -> None:
        self._store = store
        self._is_at_begin = is_at_begin

    def write_body(self) -> BodyWriter:
        if self._is_at_begin:
            raise StoreUnavailable("full", is_full=True)
        return self._store.write_body()

    async def save(self, message: NewMessage) -> None:
        raise StoreUnavailable(f"full: {message.queue_id}", is_full=True)


@pytest.mark.parametrize("is_at_begin", [True, False])
@pytest.mark.parametrize("recipient", ["al@far.example", "..a"])
async def test_a_queue_that_is_away_leaves_it_for_later(
    intake: Intake, recipient: str, *, is_at_begin: bool
) -> None:
    away = intake.with_store(_Full(intake.store, is_at_begin=is_at_begin))
    assert await away.take(b"\n", recipient) is Taken.LATER


def with_aliases(intake: Intake, text: bytes) -> Intake:
    addresses = AddressTables(
        "example.org", {"example.org"}.__contains__, aliases=parse_aliases(text, "aliases")
    )
    changed = replace(intake.receiver, tables=FixedTables(Tables(addresses)))
    return Intake(intake.store, intake.log, changed, intake.settings, saved=intake.saved)


CIRCLE = b"one: two\ntwo: one\n"


async def test_an_alias_that_leads_in_a_circle_keeps_nobody_else_waiting(intake: Intake) -> None:
    circling = with_aliases(intake, CIRCLE)
    assert await circling.take(b"Subject: x\n\nhello\n", "al@far.example", "one") is Taken.DONE
    mail, notice = intake.saved
    assert [each.address for each in mail.envelope.recipients] == ["al@far.example"]
    assert [each.address for each in notice.envelope.recipients] == ["jo@example.org"]
    text = " ".join((await intake.read()).split())
    assert "aliases go in a circle: one@example.org -> two@example.org" in text
    assert " Status: 5.3.5 " in text


async def test_nobody_is_told_while_the_message_waits(intake: Intake) -> None:
    """It is tried again every ten seconds: so often its sender would be told of `b..c`."""
    circling = with_aliases(intake, CIRCLE)
    assert await circling.take(b"\n", "one", "b..c@far.example") is Taken.LATER
    assert intake.saved == []


async def test_what_waited_as_long_as_mail_may_comes_back(intake: Intake) -> None:
    """RFC 5321 §4.5.4.1; no mail ends without a word."""
    circling = with_aliases(intake, CIRCLE)
    octets = format_envelope(DropEnvelope(("one", "b..c@far.example"), {})) + b"Subject: x\n\n"
    lifetime = intake.receiver.schedule.lifetime.total_seconds()
    assert await circling.take_file(octets, dropped=NOW - lifetime + 600) is Taken.LATER
    assert await circling.take_file(octets, dropped=NOW - lifetime - 1) is Taken.DONE
    assert len(intake.saved) == 2
    assert "5.1.3" in await intake.read(0)
    assert "4.4.7" in await intake.read(1)


def with_filter(intake: Intake, script: ScriptedFilter, folder: Path) -> Intake:
    chain = FilterChain([ChainedFilter(script, frozenset(FilteredMail))], lambda _: None)
    receiver = intake.receiver
    filters = Filters(chain, RelayClients(()), folder, receiver.make_id, receiver.count)
    changed = replace(receiver, filters=filters)
    return Intake(intake.store, intake.log, changed, intake.settings, saved=intake.saved)


async def test_mail_of_programs_is_filtered_as_from_this_machine(
    intake: Intake, tmp_path: Path
) -> None:
    edits = (AppendField("X-Seen", b" yes"),)
    script = ScriptedFilter(judgement=Judgement(edits=edits))
    taken = await with_filter(intake, script, tmp_path).take(b"Subject: x\n\nhello\n")
    assert taken is Taken.DONE
    (client,) = script.clients
    assert (client.source, client.ip, client.name) == (FilteredMail.LOCAL, "127.0.0.1", "localhost")
    assert (client.login, client.may_relay) == ("jo", True)
    assert script.told[1:] == [
        *("mail jo@example.org", "rcpt al@far.example"),
        *("judge", "abort", "close"),
    ]
    assert "\r\nX-Seen: yes\r\n\r\nhello\r\n" in await intake.read()


async def test_whom_a_filter_refuses_is_told_of_when_the_others_have_theirs(
    intake: Intake, tmp_path: Path
) -> None:
    refused = Refused(reply(550, "5.7.1", "not for bob"))
    filtered = with_filter(intake, ScriptedFilter(at_rcpt=(refused, Passed())), tmp_path)
    taken = await filtered.take(b"Subject: x\n\nhello\n", "bob@far.example", "al@far.example")
    assert taken is Taken.DONE
    mail, notice = intake.saved
    assert [each.address for each in mail.envelope.recipients] == ["al@far.example"]
    assert [each.address for each in notice.envelope.recipients] == ["jo@example.org"]
    assert "not for bob" in await intake.read()


@pytest.mark.parametrize("at", ["mail", "rcpt", "judge"])
async def test_what_a_filter_refuses_comes_back(intake: Intake, at: str, tmp_path: Path) -> None:
    answer = Refused(reply(550, "5.7.1", "not this"))
    script = ScriptedFilter(
        at_mail=answer if at == "mail" else Passed(),
        at_rcpt=(answer,) if at == "rcpt" else (),
        judgement=Judgement(answer if at == "judge" else Passed()),
    )
    filtered = with_filter(intake, script, tmp_path)
    assert await filtered.take(b"Subject: x\n\nhello\n") is Taken.DONE
    (notice,) = intake.saved
    assert notice.envelope.sender == ""
    assert "not this" in await intake.read()
    assert any("milter-reject" in text for text in intake.log.texts)


@pytest.mark.parametrize("at", ["mail", "rcpt", "judge"])
async def test_what_a_filter_cannot_say_now_waits(intake: Intake, at: str, tmp_path: Path) -> None:
    script = ScriptedFilter(
        at_mail=Failed("down") if at == "mail" else Passed(),
        at_rcpt=(Failed("down"),) if at == "rcpt" else (),
        judgement=Judgement(Failed("down") if at == "judge" else Passed()),
    )
    filtered = with_filter(intake, script, tmp_path)
    assert await filtered.take(b"Subject: x\n\nhello\n", "al@far.example") is Taken.LATER
    assert intake.saved == []
