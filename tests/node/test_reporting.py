"""A worker sends reports by itself, as soon as there is a store to keep them in."""

import asyncio
import contextlib
from pathlib import Path

import pytest

from letterlock.base.config.load import find_config
from letterlock.base.config.sections import Config
from letterlock.node import reporting
from letterlock.node.reporting import ReportBuilder, Reporting
from letterlock.protocols.pki.anchors import TrustAnchors
from letterlock.protocols.tlsrpt.destinations import MailDestination
from letterlock.services.redirect.tables import NO_TABLES
from letterlock.services.report.carrying import QueueCarrier
from letterlock.services.report.program import ProgramCarrier
from letterlock.storage.ids import QueueIds
from letterlock.storage.sqlite.queue import SqliteQueue
from tests.fakes import FakeClock, FakeLog, FixtureResolver
from tests.journeys.running_node import PATIENCE
from tests.node.test_report_sources import load, settle
from tests.services.report.scene import Carrier, NotingLog
from tests.services.report.test_carrying import TO, Box, make_report
from tests.storage.test_tls_sessions import GOOD


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    monkeypatch.setattr(reporting, "START_SECONDS", 0.0)
    monkeypatch.setattr(reporting, "REOPEN_SECONDS", 0.01)
    return load(tmp_path, 'send_within = "0s"\nkeep = "365d"\n')


def make_clock() -> FakeClock:
    """The day after the sessions."""
    clock = FakeClock()
    clock.set_wall(clock.now().replace(day=2))
    return clock


async def wait_for(condition: asyncio.Event) -> None:
    async with asyncio.timeout(PATIENCE):
        await condition.wait()


class Noting(Carrier):
    """Has its answers."""

    def __init__(self, *answers: str | None) -> None:
        super().__init__(list(answers))


async def run_until_asked(config: Config, mail: Noting, log: FakeLog) -> Reporting:
    """Run what sends until it has tried; `mail` takes the report or not."""
    resolver = FixtureResolver()
    resolver.set("_smtp._tls.a.example", "TXT", b"v=TLSRPTv1; rua=mailto:tls@a.example")
    await settle(config.queue_dir / "shard-000.db", GOOD)
    one = Reporting(ReportBuilder(config, make_clock(), log), "one")
    assert one.problem is None
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(one.run(resolver, lambda: TrustAnchors(()), mail))
        await wait_for(mail.asked)
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
    return one


async def test_it_sends_what_is_left_and_has_no_problem(config: Config) -> None:
    """RFC 8460 §4.1; rule 201."""
    mail = Noting(None)
    one = await run_until_asked(config, mail, FakeLog())
    ((report, destination),) = mail.taken
    assert (report.domain, destination) == ("a.example", MailDestination("tls@a.example"))
    assert one.problem is None


async def test_what_keeps_mail_waiting_is_a_problem_of_the_node(config: Config) -> None:
    """`letterlock status` tells it."""
    one = await run_until_asked(config, Noting("nobody signs mail of example.org"), FakeLog())
    assert one.problem == "TLS reports by mail wait: nobody signs mail of example.org"


async def test_a_database_that_is_away_is_told_once_and_tried_again(config: Config) -> None:
    config.data_dir.mkdir(parents=True)
    config.node_database.mkdir()
    log, mail = NotingLog(), Noting(None)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(run_until_asked(config, mail, log))
        await wait_for(log.written)
        config.node_database.rmdir()
        await wait_for(mail.asked)
        await running
    away = [text for text in log.texts if text.startswith("warning: TLS reports cannot be sent")]
    assert len(away) == 1


async def test_mail_goes_into_the_queue_or_to_the_program_that_is_set(
    config: Config, tmp_path: Path
) -> None:
    clock, log = FakeClock(), FakeLog()
    queue = SqliteQueue(tmp_path / "own" / "shard-000.db", clock)
    ids = QueueIds(clock)
    make = (FixtureResolver(), Box(queue), ids.make, NO_TABLES)
    carrier = ReportBuilder(config, clock, log).make_mail_carrier(*make)
    assert isinstance(carrier, QueueCarrier)
    # Keys are made at the first mail; that nothing is published of them is told.
    answer = await carrier.send(make_report(), TO, 0)
    assert "no key of example.org that is published is good for it" in str(answer)
    other = load(tmp_path, 'mail_program = "/usr/sbin/sendmail"\n')
    assert isinstance(ReportBuilder(other, clock, log).make_mail_carrier(*make), ProgramCarrier)
    off = find_config(tmp_path / "letterlock.toml")
    off.path.write_text(off.path.read_text() + "[dkim]\nenabled = false\n")
    unsigned = ReportBuilder(off.load(), clock, log).make_mail_carrier(*make)
    assert "nobody signs mail of example.org" in str(await unsigned.send(make_report(), TO, 0))
