"""RFC 8460 §5.4: who may post a report, what is said of it, and what is kept."""

import asyncio
import gzip
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from letterlock.base.config.choices import Redaction
from letterlock.base.domains import Domain
from letterlock.base.log import Service
from letterlock.base.redaction import Redactor
from letterlock.network.http_server import HttpAsked
from letterlock.network.post_server import PostAnswer
from letterlock.protocols.http.posts import PostHead
from letterlock.services.intake.group_keeping import GroupKeeper
from letterlock.services.intake.post_paths import PostPaths, make_path
from letterlock.services.intake.posts import OCTETS_OF_ONE, RETRY_SECONDS, PostIntake, PostRules
from letterlock.storage.queue import StoreUnavailable
from letterlock.storage.received_reports import ReceivedReport, Standing, Way
from letterlock.storage.sqlite.node import NodeDatabase
from letterlock.storage.sqlite.received_reports import SqliteReceived
from tests.fakes import FakeClock, FakeLog
from tests.protocols.tlsrpt.corpus import encode, make_document, make_mail, make_result

KEY = b"k" * 32
DOMAIN = Domain("company-y.example")
HOST = Domain("mx.hosting.example")
PATH = make_path(KEY, DOMAIN)
NOW = datetime(2026, 4, 2, 12, tzinfo=UTC)
CLIENT = "192.0.2.1"
HEAD = PostHead(PATH, "mx.example", "application/tlsrpt+json", "", 1, False, False)  # noqa: FBT003
ASKED = HttpAsked("mx.example", PATH)
GOOD = encode(make_document())


class Keeper:
    """Keeps in memory."""

    def __init__(self) -> None:
        self.kept: list[ReceivedReport] = []
        self.fault: Exception | None = None

    async def keep(self, reports: Sequence[ReceivedReport]) -> list[bool]:
        if self.fault is not None:
            raise self.fault
        octets = [each.octets for each in self.kept]
        self.kept += reports
        return [each.octets not in octets for each in reports]


class Desk:
    """An intake and what came of it."""

    def __init__(self, keeper: Any = None, **changes: Any) -> None:
        rules = PostRules(PostPaths((KEY,), (DOMAIN,)), {HOST}, 10, 20, timedelta(days=30))
        self.clock, self.log, self.keeper = FakeClock(NOW), FakeLog(), Keeper()
        self.intake = PostIntake(
            replace(rules, **changes),
            keeper or self.keeper,  # type: ignore[arg-type]
            self.clock,
            self.log,
        )

    async def post(
        self, body: bytes, client: str = CLIENT, path: str = PATH, **changes: Any
    ) -> PostAnswer:
        asked = HttpAsked("mx.example", path)
        head = msgspec.structs.replace(HEAD, target=path, **changes)
        begun = self.intake.begin(asked, head, client)
        return begun if isinstance(begun, PostAnswer) else await begun(body)


@pytest.fixture
def desk() -> Desk:
    return Desk()


async def test_a_report_is_kept_and_counts_as_posted(desk: Desk) -> None:
    answer = await desk.post(GOOD)
    assert (answer.status, answer.text) == (200, "kept")
    (report,) = desk.keeper.kept
    assert (report.way, report.standing) == (Way.HTTPS, Standing.COUNTED)
    assert (report.received, report.octets, report.repairs) == (NOW, GOOD, ())
    assert report.told_submitter == "company-x.example (posted)"
    (text,) = desk.log.texts
    assert text == (
        "report by https: to=company-y.example, client=192.0.2.1, "
        "from=company-x.example, day=2026-04-01, policies=1, counted"
    )


async def test_who_posts_is_a_client_that_the_log_can_hide(monkeypatch: pytest.MonkeyPatch) -> None:
    redactor = Redactor(KEY, Redaction.NONE, hides_clients=True)
    desk = Desk()
    write = desk.log.write

    def hide(service: Service, text: str, **fields: object) -> None:
        write(service, redactor.redact(text, fields)[0])

    monkeypatch.setattr(desk.log, "write", hide)
    await desk.post(GOOD)
    (text,) = desk.log.texts
    assert "client=192.0.2.0, " in text
    assert CLIENT not in text


async def test_a_copy_is_taken_again(desk: Desk) -> None:
    await desk.post(GOOD)
    answer = await desk.post(GOOD)
    assert (answer.status, answer.text) == (200, "kept before")
    assert "kept before" in desk.log.texts[-1]


@pytest.mark.parametrize(
    ("body", "changes", "repairs"),
    [
        (gzip.compress(GOOD), {"media_type": "application/tlsrpt+gzip"}, 0),
        # What it is is told by its octets, as in `tlsrpt show`.
        (gzip.compress(GOOD), {"content_encoding": "gzip"}, 0),
        (GOOD, {"media_type": "application/tlsrpt+gzip"}, 0),
        (GOOD, {"media_type": "application/json"}, 1),
        (GOOD, {"media_type": ""}, 1),
        (make_mail(GOOD), {"media_type": "message/rfc822"}, 1),
        (b"\xef\xbb\xbf" + GOOD, {}, 1),
    ],
)
async def test_what_deviates_is_repaired(
    desk: Desk, body: bytes, changes: dict[str, str], repairs: int
) -> None:
    assert (await desk.post(body, **changes)).status == 200
    (report,) = desk.keeper.kept
    assert len(report.repairs) >= repairs
    assert bool(report.repairs) == bool(repairs)


@pytest.mark.parametrize(
    ("body", "status", "text"),
    [
        (b"", 400, "no report"),
        (b"{}", 400, "not a TLS report"),
        (b"{", 400, "not JSON"),
        (gzip.compress(GOOD)[:-9], 400, "damaged"),
        (gzip.compress(b" " * (21 << 20)), 413, "too large"),
        (encode(make_document(policies=[make_result({"policy-domain": "evil.example"})])), 422, ""),
        (
            encode(
                make_document(policies=[make_result(), make_result({"policy-domain": "a.example"})])
            ),
            422,
            "about other domains than company-y.example",
        ),
    ],
)
async def test_what_is_refused_says_why_and_is_not_kept(
    desk: Desk, body: bytes, status: int, text: str
) -> None:
    answer = await desk.post(body)
    assert answer.status == status
    assert text in answer.text
    assert "evil" not in answer.text
    assert desk.keeper.kept == []
    assert "refused: " in desk.log.texts[-1]


@pytest.mark.parametrize("name", ["company-y.example", "mx.company-y.example", HOST, ...])
async def test_what_is_ours_is_taken(desk: Desk, name: object) -> None:
    """RFC 8460 §1.1: with DANE the Policy Domain is an MX host."""
    policy = make_result({"policy-domain": name})
    assert (await desk.post(encode(make_document(policies=[policy])))).status == 200


@pytest.mark.parametrize(("day", "status"), [(-31, 422), (-30, 200), (1, 200), (2, 422)])
async def test_days_that_nothing_is_kept_of_are_refused(desk: Desk, day: int, status: int) -> None:
    start = date(2026, 4, 2) + timedelta(day)
    dates = {"start-datetime": f"{start}T00:00:00Z", "end-datetime": f"{start}T23:59:59Z"}
    answer = await desk.post(encode(make_document(**{"date-range": dates})))
    assert answer.status == status


@pytest.mark.parametrize(
    ("path", "changes", "status"),
    [
        ("/", {}, 404),
        (PATH[:-1] + "x", {}, 404),
        (make_path(KEY, Domain("company-x.example")), {}, 404),
        (PATH, {"content_encoding": "br"}, 415),
    ],
)
async def test_what_is_refused_before_it_comes(
    desk: Desk, path: str, changes: dict[str, str], status: int
) -> None:
    assert (await desk.post(GOOD, path=path, **changes)).status == status
    assert desk.log.texts == []


async def test_a_client_has_a_limit_and_so_has_a_domain(desk: Desk) -> None:
    """429, with when to come again. What is refused counts as well."""
    for _ in range(10):
        assert (await desk.post(b"{}")).status == 400
    answer = await desk.post(GOOD)
    assert (answer.status, answer.retry_after) == (429, 360)
    for _ in range(10):
        assert (await desk.post(GOOD, "2001:db8::1")).status == 200
    # All of one /64 are one client.
    assert (await desk.post(GOOD, "2001:db8::2")).status == 429
    answer = await desk.post(GOOD, "192.0.2.2")
    assert (answer.status, answer.retry_after) == (429, 180)
    desk.clock.move(timedelta(minutes=6))
    assert (await desk.post(GOOD)).status == 200


async def test_a_large_report_counts_more_than_once(desk: Desk) -> None:
    large = encode(make_document(**{"x-padding": "x" * 9 * OCTETS_OF_ONE}))
    assert (await desk.post(gzip.compress(large))).status == 200
    assert (await desk.post(GOOD)).status == 429


async def test_while_nothing_can_be_kept_all_are_asked_to_come_again(desk: Desk) -> None:
    """RFC 9110 §15.6.4, rule 261. It is told once."""
    desk.keeper.fault = StoreUnavailable("disk full")
    for _ in range(2):
        answer = await desk.post(GOOD)
        assert (answer.status, answer.retry_after) == (503, RETRY_SECONDS)
        assert "disk" not in answer.text
    assert desk.log.texts == ["warning: reports that are posted cannot be kept now: disk full"]
    desk.keeper.fault = None
    assert (await desk.post(GOOD)).status == 200


async def test_a_fault_of_ours_is_told(desk: Desk) -> None:
    desk.keeper.fault = ValueError("oh")
    assert (await desk.post(GOOD)).status == 500
    assert "error: ValueError('oh')" in desk.log.texts[-1]


async def test_nothing_of_a_report_changes_the_structure_of_the_log(desk: Desk) -> None:
    document = make_document(**{"contact-info": "a@b\r\nx, from=c"})
    await desk.post(encode(document), media_type="a\x1bb")
    assert "\n" not in desk.log.texts[-1]
    (report,) = desk.keeper.kept
    assert report.repairs[0].isprintable()


@asynccontextmanager
async def ticking() -> AsyncIterator[list[int]]:
    """Count how often the event loop gets on."""
    ticks = [0]

    async def tick() -> None:
        while True:
            await asyncio.sleep(0)
            ticks[0] += 1

    task = asyncio.ensure_future(tick())
    try:
        yield ticks
    finally:
        task.cancel()


async def test_a_large_report_keeps_nobody_waiting(desk: Desk) -> None:
    large = encode(make_document(policies=[make_result()] * 2000))
    async with ticking() as ticks:
        assert (await desk.post(large)).status == 200
    assert ticks[0] > 2


async def test_a_database_that_is_away_and_comes_back(tmp_path: Path) -> None:
    """Nothing is said to be kept that is not: rule 261. With a real store."""
    folder = tmp_path / "away"
    folder.write_text("no folder")
    store = SqliteReceived(NodeDatabase(folder / "node.sqlite", FakeClock(NOW)))
    keeper = GroupKeeper(store, FakeClock(NOW), timedelta(days=30))
    desk = Desk(keeper=keeper)
    running = asyncio.ensure_future(keeper.run())
    answer = await desk.post(GOOD)
    assert (answer.status, answer.retry_after) == (503, RETRY_SECONDS)
    folder.unlink()
    assert (await desk.post(GOOD)).text == "kept"
    assert (await desk.post(GOOD)).text == "kept before"
    running.cancel()
    await asyncio.wait([running])
