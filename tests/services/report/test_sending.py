"""Reports are planned, sent and tried again; of what is known nothing is sent twice."""

import asyncio
import json
from datetime import timedelta
from pathlib import Path

import pytest

from letterlock.protocols.tlsrpt.destinations import HttpsDestination, MailDestination
from letterlock.protocols.tlsrpt.findings import PolicyType
from letterlock.protocols.tlsrpt.sessions import AppliedPolicy, Outcome, Session
from letterlock.services.collect.aggregate import DayCounts
from letterlock.services.report.carrying import NotTaken
from letterlock.services.report.sending import Sending, find_next_try
from letterlock.storage.postgres.node import NodeDatabase
from letterlock.storage.postgres.own_reports import PostgresOwnReports
from letterlock.storage.queue import StoreUnavailable
from tests.fakes import START
from tests.journeys.running_node import PATIENCE
from tests.services.report.scene import DAY, Scene, scene_in, states
from tests.storage.postgres_server import PostgresServer

HOUR = timedelta(hours=1)
MIDNIGHT = START.replace(hour=0)
TWO = ("mailto:tls@a.example", "https://r.a.example/tls")


async def test_a_report_goes_to_each_place_that_its_domain_names(tmp_path: Path) -> None:
    """RFC 8460 §3, §4.1; rules 180, 201."""
    async with scene_in(tmp_path) as scene:
        scene.counts.add("a.example", count=7)
        scene.publish("a.example", *TWO)
        await scene.send()
        ((mailed, address),), ((posted, server),) = scene.mail.taken, scene.https.taken
        report = await scene.find("a.example")
    assert (address, server) == (
        MailDestination("tls@a.example"),
        HttpsDestination("r.a.example", 443, "/tls"),
    )
    assert mailed == posted
    assert (mailed.domain, mailed.day, mailed.report_id) == ("a.example", DAY, report.report_id)
    document = json.loads(mailed.octets)
    assert document["report-id"] == report.report_id
    assert document["policies"][0]["summary"]["total-successful-session-count"] == 7
    assert (states(report), report.due) == (["sent", "sent"], None)
    assert sum("was sent to" in text for text in scene.log.texts) == 2


async def test_what_was_sent_is_not_sent_again(tmp_path: Path) -> None:
    async with scene_in(tmp_path, "a.example") as scene:
        await scene.send()
        scene.clock.move(HOUR)
        await scene.send()
        assert scene.mail.tried == 1


async def test_who_asks_for_nothing_gets_nothing(tmp_path: Path) -> None:
    """RFC 8460 §3; rule 181."""
    async with scene_in(tmp_path) as scene:
        scene.counts.add("a.example")
        await scene.send()
        report = await scene.find("a.example")
        assert (scene.mail.tried, scene.https.tried) == (0, 0)
    assert (report.deliveries, report.due) == ((), None)
    assert report.note == "a.example has no TLSRPT record"


async def test_a_day_leaves_at_a_random_moment_after_its_end(tmp_path: Path) -> None:
    """RFC 8460 §4.1; rule 201."""
    async with scene_in(tmp_path, "a.example") as scene:
        scene.clock.set_wall(MIDNIGHT + timedelta(minutes=1))
        await scene.send()
        assert await scene.list_reports() == []
        scene.clock.set_wall(MIDNIGHT + timedelta(minutes=6))
        scene.chance = 0.5
        await scene.send()
        assert (await scene.find("a.example")).due == MIDNIGHT + 2 * HOUR
        assert scene.mail.tried == 0
        scene.clock.set_wall(MIDNIGHT + 2 * HOUR)
        await scene.send()
        assert scene.mail.tried == 1


async def test_today_and_what_is_too_old_are_not_reported(tmp_path: Path) -> None:
    async with scene_in(tmp_path) as scene:
        for days in (0, 11):
            scene.counts.add("a.example", day=START.date() - timedelta(days=days))
        await scene.send()
        assert await scene.store.list_planned_days("queue") == []


async def test_days_that_are_left_go_out_with_their_own_dates(tmp_path: Path) -> None:
    """RFC 8460 §4.1; the node was down; rule 201."""
    async with scene_in(tmp_path, "a.example") as scene:
        before = DAY - timedelta(days=2)
        scene.counts.add("a.example", day=before)
        await scene.send()
        days = [
            json.loads(each.octets)["date-range"]["start-datetime"] for each, _ in scene.mail.taken
        ]
    assert sorted(days) == [f"{before}T00:00:00Z", f"{DAY}T00:00:00Z"]


async def test_what_is_not_taken_is_tried_again_at_that_place_only(tmp_path: Path) -> None:
    """RFC 8460 §5.5: exponential back-off; the identifier stays; rule 204."""
    async with scene_in(tmp_path) as scene:
        scene.counts.add("a.example")
        scene.publish("a.example", *TWO)
        scene.https.answers = ["HTTP status 500", "HTTP status 503"]
        await scene.send()
        report = await scene.find("a.example")
        assert states(report) == ["sent", "waiting"]
        assert report.deliveries[1].note == "HTTP status 500"
        assert report.due == START + timedelta(minutes=5)
        scene.clock.move(timedelta(minutes=4))
        await scene.send()
        assert scene.https.tried == 1
        scene.clock.move(timedelta(minutes=1))
        await scene.send()
        report = await scene.find("a.example")
        assert report.due == scene.clock.now() + timedelta(minutes=10)
        scene.clock.move(timedelta(minutes=10))
        await scene.send()
        report = await scene.find("a.example")
        assert (states(report), report.due) == (["sent", "sent"], None)
        assert (scene.mail.tried, scene.https.tried) == (1, 3)
    (mailed, _), (posted, _) = scene.mail.taken[0], scene.https.taken[0]
    assert mailed == posted


async def test_it_is_given_up_a_day_after_the_first_try(tmp_path: Path) -> None:
    """RFC 8460 §5.5: up to 24 hours; rule 204."""
    async with scene_in(tmp_path) as scene:
        scene.counts.add("a.example")
        scene.publish("a.example", "https://r.a.example/")
        scene.https.answers = ["HTTP status 500"] * 100
        await scene.send()
        while (report := await scene.find("a.example")).due is not None:
            scene.clock.move(report.due - scene.clock.now())
            await scene.send()
        assert scene.clock.now() == START + timedelta(hours=24)
    assert states(report) == ["failed"]
    assert 7 <= scene.https.tried <= 12
    assert "is given up for https://r.a.example/: HTTP status 500" in scene.log.texts[-1]


async def test_a_uri_that_leads_nowhere_is_no_reason_to_wait(tmp_path: Path) -> None:
    async with scene_in(tmp_path) as scene:
        scene.counts.add("a.example")
        scene.publish("a.example", "https://user@r.a.example/", "mailto:tls@a.example")
        await scene.send()
        report = await scene.find("a.example")
    assert states(report) == ["failed", "sent"]
    assert (report.deliveries[0].note, report.due) == ("it has a user in it", None)


async def test_where_dns_does_not_answer_it_is_asked_again_and_then_given_up(
    tmp_path: Path,
) -> None:
    async with scene_in(tmp_path) as scene:
        scene.counts.add("a.example")
        scene.resolver.fail("_smtp._tls.a.example", "TXT")
        await scene.send()
        report = await scene.find("a.example")
        assert report.due == START + HOUR
        assert "no answer" in report.note
        scene.clock.move(timedelta(days=2))
        await scene.send()
        assert (await scene.find("a.example")).due is None


async def test_of_a_day_that_is_long_over_dns_is_asked_again_too(tmp_path: Path) -> None:
    """A machine that was off for days sends before its resolver answers."""
    async with scene_in(tmp_path) as scene:
        for domain in ("a.example", "b.example"):
            scene.counts.add(domain, day=DAY - timedelta(days=5))
            scene.resolver.fail(f"_smtp._tls.{domain}", "TXT")
        await scene.send()
        scene.publish("a.example", "mailto:tls@a.example")
        scene.clock.move(HOUR)
        await scene.send()
        assert scene.mail.tried == 1
        reports = await scene.store.list_reports("queue", DAY - timedelta(days=5))
        assert [(len(each.deliveries), each.due) for each in reports] == [(1, None), (0, None)]


async def test_a_queue_that_is_away_is_tried_again(tmp_path: Path) -> None:
    """Nothing is lost, and what was posted is not posted again."""
    async with scene_in(tmp_path) as scene:
        scene.counts.add("a.example")
        scene.publish("a.example", *TWO)
        scene.mail.answers = [StoreUnavailable("the disk is full")]
        await scene.send()
        report = await scene.find("a.example")
        assert states(report) == ["waiting", "sent"]
        assert "the disk is full" in report.deliveries[0].note
        scene.clock.move(timedelta(minutes=5))
        await scene.send()
        assert (scene.mail.tried, scene.https.tried) == (2, 1)


async def test_a_report_that_breaks_keeps_no_other_one(tmp_path: Path) -> None:
    async with scene_in(tmp_path, "a.example", "b.example") as scene:
        scene.mail.answers = [RuntimeError("a fault of ours")]
        await scene.send()
        found = await scene.list_reports()
        assert len(scene.mail.taken) == 1
    assert sorted(each.due or START for each in found) == [START, START + HOUR]
    assert any("broke: RuntimeError" in text for text in scene.log.texts)


async def test_a_host_is_told_what_no_domain_told_the_same_place(tmp_path: Path) -> None:
    """RFC 8460 §1.1."""
    async with scene_in(tmp_path) as scene:
        counts = scene.counts.days[DAY] = DayCounts()
        policy = AppliedPolicy(PolicyType.TLSA, "mx.host.example", ("3 1 1 00",))
        for domain in ("a.example", "b.example"):
            counts.add(Session(domain, "", (Outcome(policy, is_failed=False),)))
        scene.publish("a.example", "mailto:tls@host.example")
        scene.publish("mx.host.example", "mailto:tls@host.example")
        await scene.send()
        told = {report.domain: json.loads(report.octets) for report, _ in scene.mail.taken}
        assert set(told) == {"a.example", "mx.host.example"}
        (about_host,) = told["mx.host.example"]["policies"]
        assert about_host["summary"]["total-successful-session-count"] == 1
        scene.publish("b.example", "mailto:tls@host.example")
    async with scene_in(tmp_path / "again") as again:
        again.counts.days[DAY] = counts
        again.resolver = scene.resolver
        await again.send()
        report = await again.find("mx.host.example")
    assert report.note == "told in the reports of its domains"


async def test_of_two_nodes_each_sends_a_part_and_none_twice(tmp_path: Path) -> None:
    domains = [f"d{number}.example" for number in range(250)]
    async with scene_in(tmp_path, *domains) as scene:
        one, two = scene.make_sending(), scene.make_sending()
        await asyncio.gather(one.plan(), two.plan())
        worked = [0, 0]
        while any(done := [await one.work(), await two.work()]):
            worked = [count + is_done for count, is_done in zip(worked, done, strict=True)]
        assert sorted(report.domain for report, _ in scene.mail.taken) == sorted(domains)
    assert worked == [2, 1]


async def test_what_a_dead_process_had_is_sent_when_its_lease_is_over(tmp_path: Path) -> None:
    """Once more, perhaps, and under the same identifier."""
    async with scene_in(tmp_path, "a.example") as scene:
        await scene.make_sending().plan()
        dead = await scene.store.claim(["queue"], START, START + HOUR / 2, limit=1)
        await scene.send()
        assert scene.mail.tried == 0
        scene.clock.move(HOUR / 2)
        await scene.send()
        ((report, _),) = scene.mail.taken
    assert report.report_id == dead[0].report.report_id


async def test_what_is_planned_can_be_sent_now(tmp_path: Path) -> None:
    """`tlsrpt send`."""
    async with scene_in(tmp_path, "a.example") as scene:
        scene.clock.set_wall(MIDNIGHT + timedelta(minutes=6))
        scene.chance = 1.0
        other = DAY - timedelta(days=1)
        scene.counts.add("a.example", day=other)
        sending = scene.make_sending()
        await sending.plan()
        # A day that was over long before is late already.
        assert (await sending.work(), await sending.work()) == (True, False)
        await sending.hurry(only=other)
        assert not await sending.work()
        await sending.hurry(only=DAY)
        assert await sending.work()
        assert [each.day for each, _ in scene.mail.taken] == [other, DAY]


async def test_a_day_that_is_planned_in_a_hurry_is_due_at_once(tmp_path: Path) -> None:
    async with scene_in(tmp_path, "a.example") as scene:
        scene.clock.set_wall(MIDNIGHT + timedelta(minutes=6))
        scene.chance = 1.0
        scene.counts.add("a.example", day=DAY - timedelta(days=1))
        sending = scene.make_sending()
        await sending.plan(only=DAY, is_hurried=True)
        assert await scene.store.list_planned_days("queue") == [DAY]
        assert await sending.work()
        assert scene.mail.tried == 1


async def test_old_days_are_forgotten_and_not_reported_anew(tmp_path: Path) -> None:
    async with scene_in(tmp_path, "a.example") as scene:
        await scene.send()
        scene.clock.move(timedelta(days=12))
        await scene.send()
        assert await scene.store.list_planned_days("queue") == [DAY]
        scene.clock.move(timedelta(days=10))
        await scene.send()
        assert await scene.store.list_planned_days("queue") == []
        assert scene.mail.tried == 1


async def run_until_sent(scene: Scene) -> Sending:
    """Run until the first report was handed over; gives what ran."""
    sending = scene.make_sending()
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(sending.run())
        async with asyncio.timeout(PATIENCE):
            await scene.mail.asked.wait()
        running.cancel()
    return sending


async def test_counts_that_cannot_be_read_are_told_once_and_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("letterlock.services.report.sending.ROUND_SECONDS", 0.001)
    async with scene_in(tmp_path, "a.example") as scene:
        scene.counts.faults = ["the disk is gone"] * 3
        await run_until_sent(scene)
        assert scene.mail.tried == 1
    assert scene.log.texts.count("warning: reports cannot be sent now: the disk is gone") == 1


async def test_who_is_told_to_sends_what_is_due_at_once(tmp_path: Path) -> None:
    """`tlsrpt send` beside a node, which looks by itself only now and then."""
    async with scene_in(tmp_path, "a.example") as scene:
        scene.clock.set_wall(MIDNIGHT + timedelta(minutes=6))
        scene.chance = 1.0
        sending = scene.make_sending()
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(sending.run())
            async with asyncio.timeout(PATIENCE):
                # The day is planned, and nothing is due.
                await scene.log.written.wait()
                await sending.hurry()
                sending.wake()
                await scene.mail.asked.wait()
            running.cancel()
        assert scene.mail.tried == 1


async def test_a_day_is_loaded_once_for_all_its_reports(tmp_path: Path) -> None:
    async with scene_in(tmp_path, *(f"d{number}.example" for number in range(250))) as scene:
        await scene.send()
        assert scene.counts.loads == 1


@pytest.mark.parametrize(
    ("tries", "minutes"), [(1, 5), (2, 10), (3, 20), (4, 40), (7, 320), (8, 360), (50, 360)]
)
def test_the_delay_doubles_up_to_six_hours(tries: int, minutes: int) -> None:
    """RFC 8460 §5.5; rule 204."""
    assert find_next_try(START, tries, START) == START + timedelta(minutes=minutes)


@pytest.mark.parametrize(
    ("minutes", "wait"), [(5, 1), (5, 5), (60, 60), (12 * 60, 12 * 60), (24 * 60, 48 * 60)]
)
def test_who_asks_for_time_gets_it_up_to_the_last_try(minutes: int, wait: int) -> None:
    """RFC 9110 §10.2.3, within the day of RFC 8460 §5.5; rule 204."""
    due = find_next_try(START, 1, START, timedelta(minutes=wait))
    assert due == START + timedelta(minutes=minutes)


async def test_a_server_that_says_when_is_left_until_then(tmp_path: Path) -> None:
    """RFC 9110 §10.2.3."""
    async with scene_in(tmp_path) as scene:
        scene.counts.add("a.example")
        scene.publish("a.example", "https://r.a.example/")
        scene.https.answers = [NotTaken("HTTP status 503", 3 * HOUR)]
        await scene.send()
        assert (await scene.find("a.example")).due == START + 3 * HOUR


def test_the_last_try_is_a_day_after_the_first() -> None:
    """RFC 8460 §5.5."""
    end = START + timedelta(hours=24)
    assert find_next_try(START, 9, end - HOUR) == end
    assert find_next_try(START, 10, end) is None


@pytest.mark.proof
@pytest.mark.peer("postgresql")
async def test_nodes_that_work_at_the_same_time_share_a_database(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    """Each has connections of its own; every report is sent once."""
    dsn = postgres.create_schema()
    domains = [f"d{number}.example" for number in range(400)]
    async with scene_in(tmp_path, *domains) as scene:
        stores = [
            PostgresOwnReports(NodeDatabase(dsn, f"node{number}", scene.clock))
            for number in range(3)
        ]
        for store in stores:
            await store.open()
        nodes = []
        for store in stores:
            scene.store = store
            nodes.append(scene.make_sending())
        await asyncio.gather(*(node.plan() for node in nodes))
        worked = await asyncio.gather(*map(work_on_all, nodes))
        for store in stores:
            await store.close()
        assert sorted(report.domain for report, _ in scene.mail.taken) == sorted(domains)
    assert sum(worked) >= 4
    assert min(worked) > 0


async def work_on_all(sending: Sending) -> int:
    """Work until nothing is due; gives how often there was something."""
    count = 0
    while await sending.work():
        count += 1
    return count
