"""A worker tells of alerts by itself: to whom the settings name, as soon as there is a store."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from letterlock.base.config.sections import Config
from letterlock.network.server_certificates import ServerCertificates
from letterlock.node import alerting
from letterlock.node.alerting import (
    AlertParts,
    AlertService,
    find_watched_domains,
    make_alert_stores,
)
from letterlock.services.redirect.tables import NO_TABLES
from letterlock.storage.alerts import AlertState
from tests.fakes import FakeClock, FakeLog
from tests.journeys.running_node import PATIENCE
from tests.network.certificates import NOW, authority, make_chooser
from tests.node.test_report_sources import load
from tests.services.alert.outbox import FakeOutbox
from tests.services.report.scene import NotingLog
from tests.storage.postgres_server import PostgresServer

ENDED = authority().issue(("mx.example.org",), now=NOW)
"""By the clock of the tests it is far from its end; moved ahead, that is over."""


class WakingOutbox(FakeOutbox):
    """Says when it has a message."""

    def __init__(self) -> None:
        super().__init__()
        self.has_mail = asyncio.Event()

    def wake(self, destinations: object) -> None:
        del destinations
        self.has_mail.set()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alerting, "START_SECONDS", 0.0)
    monkeypatch.setattr(alerting, "REOPEN_SECONDS", 0.01)


def make(
    config: Config,
    outbox: FakeOutbox,
    log: FakeLog,
    certificates: ServerCertificates | None,
) -> AlertService:
    clock = FakeClock()
    clock.set_wall(ENDED.certificate.not_valid_after_utc)
    parts = AlertParts(outbox, outbox.make_id, NO_TABLES, certificates)
    return AlertService(config, "one", parts, clock, log)


@contextlib.asynccontextmanager
async def running(service: AlertService) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(service.run())
        async with asyncio.timeout(PATIENCE):
            yield
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def load_alerts(folder: Path, settings: str = "") -> Config:
    folder.joinpath("data").mkdir(exist_ok=True)
    return load(folder, f"[tlsrpt.alerts]\n{settings}")


async def test_the_contact_hears_of_a_certificate_in_use_that_has_expired(tmp_path: Path) -> None:
    """A3."""
    config, outbox = load_alerts(tmp_path), WakingOutbox()
    service = make(config, outbox, FakeLog(), make_chooser(tmp_path, ENDED))
    async with running(service):
        await outbox.has_mail.wait()
    (body,), (message,) = outbox.bodies, outbox.messages
    assert b"Subject: TLS alert: the certificate for mx.example.org has expired\r\n" in body
    assert [each.address for each in message.envelope.recipients] == [config.contact]
    assert service.problem is None


async def test_a_database_that_is_away_is_told_once_and_tried_again(tmp_path: Path) -> None:
    config, outbox, log = load_alerts(tmp_path), WakingOutbox(), NotingLog()
    config.node_database.mkdir()
    service = make(config, outbox, log, make_chooser(tmp_path, ENDED))
    async with running(service):
        await log.written.wait()
        config.node_database.rmdir()
        await outbox.has_mail.wait()
    faults = [text for text in log.texts if "alerts cannot be looked for now" in text]
    assert len(faults) == 1


@pytest.mark.parametrize(
    ("settings", "ways"),
    [
        ("", ["mail"]),
        ('command = "/bin/tell"', ["command"]),
        ('command = "/bin/tell"\nmail = ["a@example.org"]', ["mail", "command"]),
    ],
)
def test_who_is_told(tmp_path: Path, settings: str, ways: list[str]) -> None:
    service = make(load_alerts(tmp_path, settings), FakeOutbox(), FakeLog(), None)
    assert [each.name for each in service._list_tellers()] == ways
    assert service._list_used() == ()


@pytest.mark.peer("postgresql")
async def test_nodes_that_share_a_database_share_their_alerts(
    tmp_path: Path, postgres: PostgresServer
) -> None:
    url = postgres.create_schema()
    config = load_alerts(tmp_path, f'[queue]\nengine = "postgres"\nurl = "{url}"')
    one, two = (make_alert_stores(config, name, FakeClock()) for name in ("one", "two"))
    for stores in (one, two):
        await stores.alerts.open()
    assert await one.alerts.save(0, AlertState())
    assert (await two.alerts.load()).version == 1
    assert await two.received.list_unproved(FakeClock().now(), limit=1) == []
    assert await two.own.list_planned_days("queue") == []
    assert await two.served.list_served(config.hostname, FakeClock().now()) == []
    for stores in (one, two):
        await stores.alerts.close()


def test_our_domains_and_mx_hosts_are_watched_unless_others_are_named(tmp_path: Path) -> None:
    """RFC 8460 §4.2: of DANE the policy domain is the MX host."""
    config = load_alerts(tmp_path, '[publishing]\nmx_hosts = ["mx1.example.org", "in.example.org"]')
    watched = find_watched_domains(config)
    assert set(watched) == {*config.domains, config.hostname, "in.example.org"}
    assert len(watched) == len(set(watched))
    named = load_alerts(tmp_path, 'domains = ["example.com"]')
    assert find_watched_domains(named) == ("example.com",)
