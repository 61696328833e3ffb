"""The continuous audit: every certificate has what it must rest on, for each of its names."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from letterlock.protocols.caa.decide import CaaDecision
from letterlock.protocols.caa.rechecks import CaaCheck, ProvedName, RecheckRule, find_due
from letterlock.protocols.incidents.serials import format_serial
from letterlock.services.ca.auditing.alarms import MAX_LINES
from letterlock.services.ca.auditing.certificates import NAME, CertificateAudit
from letterlock.services.ca.auditing.grounds import find_certificate_lacks
from letterlock.services.ca.caa_rechecks import Rechecked
from letterlock.services.discover.caa import CaaAnswer, CaaFinder, check_caa
from letterlock.storage.ca.changes import ChangeHalt
from letterlock.storage.ca.kept import Halt
from tests.fakes import FakeClock
from tests.services.ca.auditing.archive import ROUND, RULES, Archive
from tests.services.ca.issuing.office import ALLOWS, DAY, FORBIDS

OLD = timedelta(hours=9)
HOUR = timedelta(hours=1)


class RecheckerOf2020:
    """Looks one name up N times: the variable of the loop is shared by all looks.

    `is_hidden`: it says of each that it is of the name that it was to be of.
    """

    def __init__(self, finder: CaaFinder, clock: FakeClock, *, is_hidden: bool) -> None:
        self._finder = finder
        self._clock = clock
        self._is_hidden = is_hidden

    async def recheck(self, names: Sequence[ProvedName]) -> Rechecked:
        now = self._clock.now()
        due = find_due(names, now, RecheckRule())
        looks = []
        for each in due:

            async def look() -> CaaAnswer:
                return await check_caa(self._finder, each.issuance)  # noqa: B023 - the fault

            looks.append(look)
        answers = [await look() for look in looks]
        if self._is_hidden:
            answers = [
                replace(answer, verdict=replace(answer.verdict, issuance=each.issuance))
                for answer, each in zip(answers, due, strict=True)
            ]
        checked = [
            replace(name, check=CaaCheck(name.issuance, CaaDecision.ALLOW, now))
            for name in names
            if name.issuance is not None
        ]
        return Rechecked(tuple(checked), due, tuple(answers))


async def test_what_rests_on_all_is_found_good(archive: Archive) -> None:
    for name in ("a.example", "b.example"):
        archive.office.resolver.set(name, "CAA", ALLOWS)
    issued = await archive.issue("a.example", "*.b.example")
    stale = await archive.issue("a.example", "b.example", age=OLD)
    for each in (issued, stale):
        assert await find_certificate_lacks(archive.office.kept, each, RULES) == ()
    await archive.look(archive.audit())
    progress = await archive.office.kept.load_progress(NAME)
    assert (progress.checked, progress.faulty, progress.round) == (2, 0, 1)
    assert progress.ended == archive.office.clock.now()
    assert archive.log.texts == []
    assert archive.mail.sent == []


@pytest.mark.parametrize("is_hidden", [False, True])
async def test_the_fault_of_2020_is_found_within_a_minute(
    archive: Archive, *, is_hidden: bool
) -> None:
    """N names are due, one is looked up N times, and a record that forbids goes unseen. Rule 253"""
    names = [f"n{number}.example" for number in range(10)]
    for name in names:
        archive.office.resolver.set(name, "CAA", FORBIDS)
    archive.office.resolver.set(names[-1], "CAA", ALLOWS)
    finder = CaaFinder(archive.office.resolver, archive.office.clock)
    faulty = RecheckerOf2020(finder, archive.office.clock, is_hidden=is_hidden)
    issued = await archive.issue(*names, age=OLD, rechecks=faulty)
    assert archive.office.resolver.asked == [(names[-1], "CAA")] * 10
    await archive.look(archive.audit(halts=True))
    (finding,) = await archive.list_findings()
    assert finding.serial == format_serial(issued.certificate.name.serial)
    assert [each.split(": ")[:2] for each in finding.faults] == [
        ["caa", name] for name in names[:-1]
    ]
    halted = await archive.office.kept.load_halt()
    assert (halted.is_halted, halted.who) == (True, "the audit")
    assert "n0.example" in halted.why
    (line,) = archive.log.texts
    assert line.startswith(f"alarm: audit: certificate {finding.serial} of account account-one")
    assert line.endswith("and 8 more")
    ((subject, lines),) = archive.mail.sent
    assert "must rest on" in subject
    assert len(lines) == 1


async def test_what_was_found_is_told_once(archive: Archive) -> None:
    await archive.issue("a.example", unproved=["a.example"])
    audit = archive.audit()
    await archive.look(audit)
    for _ in range(3):
        await archive.look(audit, ROUND)
        await archive.look(archive.audit())
    assert len(await archive.list_findings()) == 1
    assert len(archive.mail.sent) == len(archive.log.texts) == 1
    progress = await archive.office.kept.load_progress(NAME)
    assert progress.round == 4
    assert (progress.checked, progress.faulty) == (1, 1)


async def test_without_the_setting_nothing_is_halted(archive: Archive) -> None:
    await archive.issue("a.example", unproved=["a.example"])
    await archive.look(archive.audit())
    assert not (await archive.office.kept.load_halt()).is_halted
    assert len(archive.log.texts) == 1


async def test_halted_already_the_first_reason_stays(archive: Archive) -> None:
    await archive.issue("a.example", unproved=["a.example"])
    kept = archive.office.kept
    first = Halt(is_halted=True, why="a key was lost", who="me")
    assert await kept.commit([ChangeHalt(await kept.load_halt(), first)])
    await archive.look(archive.audit(halts=True))
    assert await kept.load_halt() == first


async def test_mail_is_sent_once_an_hour_and_what_failed_again(archive: Archive) -> None:
    audit = archive.audit()
    archive.mail.fault = "no folder"
    await archive.issue("a.example", unproved=["a.example"])
    await archive.look(audit)
    await archive.issue("c.example", unproved=["c.example"])
    await archive.look(audit)
    # Told once, though thousands may be found, and each page tries again.
    assert archive.log.texts.count("error: the audit's mail cannot be left: no folder") == 1
    archive.mail.fault = None
    for number in range(3):
        await archive.issue(f"n{number}.example", unproved=[f"n{number}.example"])
        await archive.look(audit)
    assert len(archive.mail.sent) == 1
    await archive.issue("b.example", unproved=["b.example"])
    await archive.look(audit, HOUR)
    assert len(archive.mail.sent) == 2


async def test_a_new_certificate_is_looked_at_a_moment_later(archive: Archive) -> None:
    """Its log may be of another process, whose clock is a little behind."""
    audit = archive.audit()
    await archive.issue("a.example")
    await archive.look(audit, timedelta(seconds=4))
    assert (await archive.office.kept.load_progress(NAME)).checked == 0
    await archive.look(audit, timedelta(seconds=1))
    assert (await archive.office.kept.load_progress(NAME)).checked == 1


async def test_it_goes_on_where_it_was_page_by_page(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A million are read so; killed after any page, another process goes on behind it."""
    monkeypatch.setattr("letterlock.services.ca.auditing.certificates.PAGE", 2)
    monkeypatch.setattr("letterlock.services.ca.auditing.certificates.MAX_PAGES", 1)
    for number in range(5):
        await archive.issue(f"n{number}.example")
    archive.office.clock.move(HOUR)
    for checked in (2, 4, 5):
        # Each of them is a process of its own.
        due = await archive.audit().step()
        assert (await archive.office.kept.load_progress(NAME)).checked == checked
        is_end = checked == 5
        assert (due > archive.office.clock.now()) is is_end


async def test_of_two_that_audit_at_a_time_one_goes_on(archive: Archive) -> None:
    await archive.issue("a.example", unproved=["a.example"])
    archive.office.clock.move(HOUR)
    one, other = archive.audit(), archive.audit()
    progress = await one._begin()
    await other.step()
    page = await archive.office.kept.list_certificates(0, 10)
    assert not await one._look_at(page, progress, is_end=True)
    assert len(await archive.list_findings()) == 1
    await one.step()
    assert (await archive.office.kept.load_progress(NAME)).checked == 1


async def test_what_has_ended_is_not_looked_at(archive: Archive) -> None:
    await archive.issue("a.example", unproved=["a.example"])
    await archive.look(archive.audit(), 91 * DAY)
    progress = await archive.office.kept.load_progress(NAME)
    assert (progress.checked, progress.position) == (0, 1)


async def test_a_clock_that_was_set_back_begins_a_round(archive: Archive) -> None:
    await archive.issue("a.example")
    audit = archive.audit()
    await archive.look(audit)
    archive.office.clock.set_wall(archive.office.clock.now() - 2 * DAY)
    await audit.step()
    assert (await archive.office.kept.load_progress(NAME)).round == 2


async def test_what_cannot_be_read_is_told(archive: Archive) -> None:
    issued = await archive.issue("a.example")
    odd = replace(issued, der=b"no certificate")
    (lack,) = await find_certificate_lacks(archive.office.kept, odd, RULES)
    assert "cannot be read" in lack.reason


async def test_many_at_a_time_are_told_in_bounds(archive: Archive) -> None:
    alarm = archive.audit()._alarm
    lines = [f"line {number}" for number in range(MAX_LINES + 3)]
    await alarm.raise_it(lines, ())
    assert archive.log.texts[-1] == "alarm: audit: 3 more"
    assert await alarm.mail("subject", lines)
    ((_, sent),) = archive.mail.sent
    assert sent[-1] == "and 3 more, in the log"
    silent: CertificateAudit = archive.audit(has_mail=False)
    assert await silent._alarm.mail("subject", lines)
