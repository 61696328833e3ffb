"""The round of alerts: kept before it is told, told at least once, and by one process."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from email import message_from_bytes
from email.message import Message
from pathlib import Path

import pytest

from letterlock.protocols.smtp.envelope import Notify, TlsDemand
from letterlock.services.alert.alerting import GIVEN_UP_AFTER, HOLD, Alerting, AlertTools
from letterlock.services.alert.conditions import Condition, Found, make_text
from letterlock.services.alert.telling import MAX_VARIABLE_OCTETS, CommandTeller, MailTeller, Teller
from letterlock.services.alert.wording import MAX_TOLD, Letter
from letterlock.storage.alerts import AlertKey, AlertState, KeptAlerts, Notice, Rule
from letterlock.storage.queue import StoreUnavailable
from tests.fakes import START, FakeClock, FakeLog
from tests.services.alert.outbox import FakeOutbox

SILENCE = timedelta(days=7)
KEY = AlertKey(Rule.SEVERE, "example.org", "tlsa-invalid mx.example.org")


def wrong(key: AlertKey = KEY) -> Condition:
    text = make_text("tlsa-invalid at mx\u00e9", START, ["seen by x.example"], "mend it")
    return Condition(key, text)


@dataclass
class MemoryAlerts:
    """Fulfils `storage.alerts.AlertStore`. Of the next saves some find that others were faster."""

    kept: KeptAlerts = field(default_factory=KeptAlerts)
    too_late: int = 0
    fault: str = ""

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    async def load(self) -> KeptAlerts:
        if self.fault:
            raise StoreUnavailable(self.fault)
        return self.kept

    async def save(self, version: int, state: AlertState) -> bool:
        if self.too_late:
            self.too_late -= 1
            self.kept = KeptAlerts(self.kept.version + 1, self.kept.state)
            return False
        if version != self.kept.version:
            return False
        self.kept = KeptAlerts(version + 1, state)
        return True


@dataclass
class Teller_:  # noqa: N801 - one that is asked in tests
    """Takes notices, or says why not. What it is told after `dies_at` takes the process with it."""

    name: str = "mail"
    reason: str | None = None
    told: list[Notice] = field(default_factory=list)
    is_dying: bool = False
    is_store_away: bool = False

    async def tell(self, notice: Notice) -> str | None:
        if self.is_store_away:
            raise StoreUnavailable("disk full")
        self.told.append(notice)
        if self.is_dying:
            raise asyncio.CancelledError
        return self.reason


@dataclass
class Desk:
    """One or more processes that look."""

    clock: FakeClock = field(default_factory=FakeClock)
    log: FakeLog = field(default_factory=FakeLog)
    store: MemoryAlerts = field(default_factory=MemoryAlerts)
    found: Found | Exception = field(default_factory=Found)
    made: int = 0

    async def find(self) -> Found:
        if isinstance(self.found, Exception):
            raise self.found
        return self.found

    def make_id(self) -> str:
        self.made += 1
        return f"n{self.made}"

    def start(self, *tellers: Teller, node: str = "node1") -> Alerting:
        tools = AlertTools(
            *(node, self.store, self, tellers, self.clock, self.log),
            *(SILENCE, timedelta(minutes=10), self.make_id),
        )
        return Alerting(tools)


@pytest.fixture
def desk() -> Desk:
    return Desk(found=Found((wrong(),)))


async def test_what_begins_is_told_by_each_way_and_logged(desk: Desk) -> None:
    mail, command = Teller_(), Teller_("command")
    alerting = desk.start(mail, command)
    await alerting.look_around()
    await alerting.look_around()
    assert len(mail.told) == len(command.told) == 1
    assert desk.store.kept.state.notices == ()
    version = desk.store.kept.version
    await alerting.look_around()
    assert desk.store.kept.version == version
    assert desk.log.texts == ["alert began: A2: example.org: tlsa-invalid mx.example.org"]


async def test_words_of_others_are_no_part_of_a_log_line(desk: Desk) -> None:
    subject = "x mx, status=sent (250 <ok>)"
    desk.found = Found((wrong(AlertKey(Rule.FIRST_SEEN, "example.org", subject)),))
    await desk.start(Teller_()).look_around()
    (line,) = desk.log.texts
    assert line == "alert began: A5: example.org: x mx? status?sent ?250 ?ok??"


async def test_a_restart_neither_repeats_nor_forgets(desk: Desk) -> None:
    mail = Teller_()
    await desk.start(mail).look_around()
    await desk.start(mail).look_around()
    assert len(mail.told) == 1
    desk.found = Found((), {KEY: "it is mended"})
    await desk.start(mail).look_around()
    assert mail.told[1].told[0].note == "it is mended"
    await desk.start(mail).look_around()
    assert len(mail.told) == 2


async def test_who_dies_while_telling_leaves_it_to_the_next_under_the_same_id(desk: Desk) -> None:
    dying, mail = Teller_(is_dying=True), Teller_()
    with pytest.raises(asyncio.CancelledError):
        await desk.start(dying).look_around()
    await desk.start(mail).look_around()
    assert mail.told == []
    desk.clock.move(HOLD)
    await desk.start(mail).look_around()
    assert [each.id for each in mail.told] == [dying.told[0].id]


async def test_a_clock_that_is_set_back_holds_no_notice_for_long(desk: Desk) -> None:
    dying, mail = Teller_(is_dying=True), Teller_()
    with pytest.raises(asyncio.CancelledError):
        await desk.start(dying).look_around()
    desk.clock.move(-timedelta(days=100))
    await desk.start(mail).look_around()
    assert len(mail.told) == 1


async def test_a_way_that_fails_is_tried_again_and_the_other_is_not_repeated(desk: Desk) -> None:
    mail, command = Teller_(), Teller_("command", "it ended with status 1")
    alerting = desk.start(mail, command)
    for _ in range(3):
        await alerting.look_around()
    assert (len(mail.told), len(command.told)) == (1, 3)
    assert alerting.problem == "TLS alerts wait: it ended with status 1"
    fault = "warning: alerts cannot be told now: it ended with status 1"
    assert desk.log.texts.count(fault) == 1
    command.reason = None
    await alerting.look_around()
    await alerting.look_around()
    assert (len(mail.told), len(command.told)) == (1, 4)
    assert [alerting.problem] == [None]


async def test_a_way_that_fails_for_days_is_given_up_with_a_word(desk: Desk) -> None:
    command = Teller_("command", "no")
    alerting = desk.start(command)
    await alerting.look_around()
    desk.clock.move(GIVEN_UP_AFTER)
    await alerting.look_around()
    assert desk.store.kept.state.notices == ()
    assert desk.log.texts[-1] == "warning: alerts of 2026-03-01 are given up: no"
    assert alerting.problem is None


async def test_a_queue_that_is_away_has_alerts_wait(desk: Desk) -> None:
    mail, command = Teller_(is_store_away=True), Teller_("command")
    alerting = desk.start(mail, command)
    await alerting.look_around()
    assert alerting.problem == "TLS alerts wait: the queue cannot be used now: disk full"
    mail.is_store_away = False
    await alerting.look_around()
    assert (len(mail.told), len(command.told)) == (1, 1)


async def test_a_database_that_is_away_is_one_line_and_nothing_is_told_or_lost(desk: Desk) -> None:
    mail = Teller_()
    alerting = desk.start(mail)
    desk.found = StoreUnavailable("no route")
    for _ in range(3):
        await alerting.look_around()
    assert desk.log.texts == ["warning: alerts cannot be looked for now: no route"]
    desk.found, desk.store.fault = Found((wrong(),)), "gone"
    await alerting.look_around()
    assert desk.log.texts[-1] == "warning: alerts cannot be looked for now: gone"
    desk.store.fault = ""
    await alerting.look_around()
    assert len(mail.told) == 1


async def test_a_defect_takes_nothing_with_it(desk: Desk) -> None:
    desk.found = RuntimeError("oh")
    await desk.start(Teller_()).look_around()
    assert desk.log.texts == ["warning: a defect of letterlock, RuntimeError: oh"]


async def test_of_two_processes_one_decides_and_tells(desk: Desk) -> None:
    one, two = Teller_(), Teller_()
    first, second = desk.start(one), desk.start(two, node="node2")
    await asyncio.gather(first.look_around(), second.look_around())
    assert len(one.told) + len(two.told) == 1


async def test_who_was_too_late_decides_again_on_what_is_there(desk: Desk) -> None:
    desk.store.too_late = 3
    mail = Teller_()
    await desk.start(mail).look_around()
    assert len(mail.told) == 1
    desk.store.too_late = 100
    desk.found = Found()
    await desk.start(mail).look_around()
    assert desk.log.texts[-1].endswith("alerts are changed by others all the time")


async def test_a_way_that_is_not_set_up_any_more_is_over(desk: Desk) -> None:
    await desk.start(Teller_("command", "no")).look_around()
    mail = Teller_()
    await desk.start(mail).look_around()
    assert (mail.told, desk.store.kept.state.notices) == ([], ())


LETTER = Letter(
    "tls@example.org", ("pm@example.org", "p\u00e9@example.net"), "mx1.example.org", SILENCE
)


def mail_teller(outbox: FakeOutbox, clock: FakeClock, letter: Letter = LETTER) -> MailTeller:
    return MailTeller(
        letter,
        outbox,
        clock,
        outbox.make_id,
        timedelta(days=5),
        sign=lambda text: b"Signed: 1\r\n" + text,
    )


async def read_mail(desk: Desk, outbox: FakeOutbox) -> Message:
    await desk.start(mail_teller(outbox, desk.clock)).look_around()
    return message_from_bytes(outbox.bodies[-1])


async def test_the_mail_is_signed_and_answers_nobody(desk: Desk) -> None:
    """RFC 3834 §5; RFC 8689 §5: what tells that TLS is broken goes in spite of it."""
    outbox = FakeOutbox()
    mail = await read_mail(desk, outbox)
    assert (mail["Signed"], mail["Auto-Submitted"], mail["TLS-Required"]) == (
        "1", "auto-generated", "No"
    )  # fmt: skip
    assert mail["Message-ID"] == "<n1.alert@mx1.example.org>"
    assert mail["Subject"] == "TLS alert: example.org: tlsa-invalid at mx\\xe9"
    text = mail.get_payload()
    assert isinstance(text, str)
    assert "new: example.org: tlsa-invalid at mx\\xe9 [A2]\r\n" in text
    assert "  evidence  seen by x.example\r\n  do        mend it\r\n" in text
    (message,) = outbox.messages
    envelope = message.envelope
    assert (envelope.sender, envelope.smtputf8) == ("tls@example.org", True)
    assert envelope.tls_demand is TlsDemand.TLS_REQUIRED_NO
    assert [each.notify for each in envelope.recipients] == [frozenset({Notify.NEVER})] * 2
    assert message.destinations == ("example.org", "example.net")
    assert outbox.woken == {"example.org", "example.net"}


async def test_many_alerts_are_one_mail_of_bounded_length(desk: Desk) -> None:
    keys = [
        AlertKey(rule, f"{name}.example", "x")
        for rule in Rule
        for name in ("a", "b", "c", "d", "e", "f", "g")
    ]
    desk.found = Found(tuple(map(wrong, keys)))
    outbox = FakeOutbox()
    mail = await read_mail(desk, outbox)
    assert len(outbox.messages) == 1
    assert mail["Subject"] == "TLS alerts: 70 new: a.example, b.example, c.example, ..."
    assert f"and {70 - MAX_TOLD} more\r\n" in str(mail.get_payload())
    assert all(len(line) < 100 for line in outbox.bodies[0].splitlines())


async def test_that_it_is_over_is_told_with_the_proof(desk: Desk) -> None:
    outbox = FakeOutbox()
    await read_mail(desk, outbox)
    desk.found = Found((), {KEY: "x.example met the policy"})
    mail = await read_mail(desk, outbox)
    assert mail["Subject"] == "TLS alert: over: example.org: tlsa-invalid at mx\\xe9"
    assert "  now       x.example met the policy\r\n" in str(mail.get_payload())


async def test_a_command_gets_the_subject_and_all_as_json(desk: Desk) -> None:
    calls: list[tuple[Path, Sequence[str], str]] = []

    async def run(
        program: Path, arguments: Sequence[str], variables: Mapping[str, str], limit: timedelta
    ) -> None:
        assert limit > timedelta(0)
        calls.append((program, arguments, variables["LETTERLOCK_ALERTS"]))

    desk.found = Found((wrong(), wrong(AlertKey(Rule.EXPIRY, "", "c", "node1"))))
    program = Path("/bin/tell")
    await desk.start(CommandTeller(program, run)).look_around()
    ((path, arguments, text),) = calls
    assert (path, list(arguments)) == (program, ["TLS alerts: 2 new: example.org"])
    document = json.loads(text)
    assert [each["turn"] for each in document["alerts"]] == ["began", "began"]
    assert document["alerts"][1] == {
        "turn": "began",
        "note": "",
        "rule": "A3",
        "domain": None,
        "subject": "c",
        "node": "node1",
        "what": "tlsa-invalid at mx\u00e9",
        "since": "2026-03-01T12:00:00Z",
        "evidence": ["seen by x.example"],
        "do": "mend it",
    }


async def test_what_a_variable_cannot_hold_is_left_out(desk: Desk) -> None:
    texts: list[str] = []

    async def run(
        program: Path, arguments: Sequence[str], variables: Mapping[str, str], limit: timedelta
    ) -> None:
        del program, arguments, limit
        texts.append(variables["LETTERLOCK_ALERTS"])

    long = make_text("\u00e9" * 300, START, ["\u00e9" * 300] * 6, "\u00e9" * 300)
    keys = [AlertKey(rule, f"{n}.example", "x") for rule in Rule for n in range(9)]
    desk.found = Found(tuple(Condition(key, long) for key in keys))
    await desk.start(CommandTeller(Path("/x"), run)).look_around()
    assert len(texts[0]) <= MAX_VARIABLE_OCTETS
    assert json.loads(texts[0])["alerts"] != []
