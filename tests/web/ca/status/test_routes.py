"""The status page over ASGI, of an authority put together from its settings."""

from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from pathlib import Path

import pytest
from starlette.routing import Router

from letterlock.node.ca.caring import make_evidence_rules
from letterlock.protocols.audit.heads import is_signed, parse_head
from letterlock.protocols.pki.issuance.revocation_lists import Reason
from letterlock.services.ca.halting import halt
from letterlock.services.ca.incidents.changing import NewIncident, create, enable
from letterlock.services.ca.incidents.choosing import Choice, choose
from letterlock.services.ca.incidents.public import KEPT, StatusKeeper
from letterlock.storage.ca.changes import AddCertificate, AddSerial
from letterlock.storage.queue import StoreUnavailable
from letterlock.web.ca.status.checking import HostChecker
from letterlock.web.ca.status.pages import HEADERS, Pages
from letterlock.web.ca.status.routes import StatusRoutes
from tests.authority_running import InnerAuthority, InnerSettings, inner_authority
from tests.fakes import FakeClock
from tests.storage.authorities import make_issued, reserve
from tests.web.ca.status.asgi import ask


@pytest.fixture
async def inner(tmp_path: Path) -> AsyncIterator[InnerAuthority]:
    async with inner_authority(tmp_path) as found:
        yield found


async def test_the_status_is_there_for_everybody(inner: InnerAuthority) -> None:
    answer = await ask(inner.application, "GET", "/status")
    assert answer.status == 200
    assert "Certificates are issued." in answer.text
    for name, value in HEADERS:
        assert answer.headers[name.lower()] == value
    await halt(inner.store, "a <key> was lost", "me", inner.clock.now())
    inner.clock.move(KEPT)
    answer = await ask(inner.application, "GET", "/status")
    assert "a &lt;key&gt; was lost" in answer.text


async def test_an_incident_has_its_page_while_it_is_one(inner: InnerAuthority) -> None:
    assert await inner.store.commit([AddSerial(reserve(1)), AddCertificate(make_issued(1))])
    now = inner.clock.now()
    until = now + timedelta(days=1)
    page = "https://ca.example/status/incident/{id}"
    new = NewIncident("CAA was missed", page, until, Reason.SUPERSEDED, "all", "me")
    pages = choose(inner.store, Choice(), make_evidence_rules(inner.config), now)
    incident = await create(inner.store, new, pages, now, lambda _: None)
    path = f"/status/incident/{incident.id}"
    assert incident.page.endswith(path)
    assert (await ask(inner.application, "GET", path)).status == 404
    await enable(inner.store, incident.id, "me", now)
    inner.clock.move(KEPT)
    answer = await ask(inner.application, "GET", path)
    assert answer.status == 200
    assert "CAA was missed" in answer.text
    assert incident.id in (await ask(inner.application, "GET", "/status")).text
    assert (await ask(inner.application, "GET", "/status/incident/other")).status == 404


async def test_the_head_of_the_log_is_published(inner: InnerAuthority) -> None:
    missing = await ask(inner.application, "GET", "/status/audit-head")
    assert missing.status in (200, 404)
    await halt(inner.store, "x", "me", inner.clock.now())
    while (await inner.store.load_last_signed_head()) is None:
        inner.clock.move(timedelta(minutes=1))
        await inner.assembled.care.audit._steps["log"]()  # type: ignore[union-attr]
    inner.clock.move(KEPT)
    answer = await ask(inner.application, "GET", "/status/audit-head")
    assert answer.headers["content-type"] == "application/json"
    head = parse_head(answer.body.strip())
    assert is_signed(head, inner.assembled.issuers[0].authority.issuer.key)


async def test_the_form_asks_for_a_host(inner: InnerAuthority) -> None:
    answer = await ask(inner.application, "POST", "/status/host", b"host=10.0.0.1%3A443")
    assert answer.status == 200
    assert "may be affected or not" in answer.text
    assert "10.0.0.1:443" in answer.text
    bad = await ask(inner.application, "POST", "/status/host", b"host=%3Cscript%3E")
    assert bad.status == 400
    assert "<script" not in bad.text
    assert (await ask(inner.application, "GET", "/status/host")).status == 405


async def test_what_is_no_form_of_ours_is_refused(inner: InnerAuthority) -> None:
    for body, status in (
        (b"x" * 3000, 413),
        (b"", 400),
        (b"\xff\xfe", 400),
        (b"a=1&b=2&c=3&d=4&e=5&f=6", 400),
    ):
        assert (await ask(inner.application, "POST", "/status/host", body)).status == status
    headers = {"Sec-Fetch-Site": "cross-site"}
    body = b"host=10.0.0.1"
    refused = await ask(inner.application, "POST", "/status/host", body, headers=headers)
    assert refused.status == 403


async def test_what_is_switched_off_is_not_there(tmp_path: Path) -> None:
    settings = InnerSettings(sections={"ca.status": {"host_checks": False}})
    async with inner_authority(tmp_path / "one", settings) as inner:
        assert "<form" not in (await ask(inner.application, "GET", "/status")).text
        assert (await ask(inner.application, "POST", "/status/host", b"host=a")).status == 404
    settings = InnerSettings(sections={"ca.status": {"page": False}})
    async with inner_authority(tmp_path / "two", settings) as inner:
        assert (await ask(inner.application, "GET", "/status")).status == 404


class AwayStore:
    """A store whose database is away; counts how often it is asked."""

    def __init__(self) -> None:
        self.asked = 0

    async def list_incidents(self) -> Sequence[object]:
        self.asked += 1
        raise StoreUnavailable("gone")

    async def commit(self, *_: object) -> bool:
        raise StoreUnavailable("gone")


async def test_without_a_database_nothing_is_said_to_be_well() -> None:
    store, clock = AwayStore(), FakeClock()
    reader = StatusKeeper(store, clock)  # type: ignore[arg-type]
    checker = HostChecker(store, None, clock)  # type: ignore[arg-type]
    pages = Pages("CA", "https://ca.example", has_form=True)
    router = Router([*StatusRoutes(pages, reader, checker).list_routes("")])
    for method, path in (("GET", "/status"), ("POST", "/status/host")):
        answer = await ask(router, method, path, b"host=a.example", client=None)
        assert answer.status == 503
        assert "not known now" in answer.text


async def test_how_it_stands_is_counted_once_in_a_while(inner: InnerAuthority) -> None:
    reader = StatusKeeper(inner.store, inner.clock)
    first = await reader.read()
    assert await reader.read() is first
    inner.clock.move(KEPT)
    assert await reader.read() is not first
    inner.clock.set_wall(inner.clock.now() - timedelta(days=1))
    assert (await reader.read()).moment == inner.clock.now()
