"""`letterlock tlsrpt send`: exit codes, the documents, the lines for people."""

import asyncio
import json
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from letterlock.base.clock import SystemClock
from letterlock.cli.root import main
from letterlock.cli.tlsrpt_send import SEND_KEYS
from letterlock.services.collect.journal import Batch, Journal
from letterlock.storage.day_files import DayFiles
from letterlock.storage.own_reports import (
    DeliveryState,
    OwnReport,
    ReportDelivery,
    ReportKey,
)
from letterlock.storage.sqlite.node import NodeDatabase
from letterlock.storage.sqlite.own_reports import SqliteOwnReports
from tests.protocols.tlsrpt.datagrams import make_datagram

WANTED = "v=TLSRPTv1; rua=mailto:tls@a.example,https://r.a.example/"


@dataclass
class Desk:
    """A configuration, and what was collected beside it."""

    folder: Path
    capsys: pytest.CaptureFixture[str]

    def write(self, extra: str = "") -> None:
        (self.folder / "letterlock.toml").write_text(
            'hostname = "mx1.example.org"\ndomains = ["example.org"]\n'
            f'contact = "postmaster@example.org"\ndata_dir = "{self.folder}/data"\n'
            f'[dns]\nresolver = "127.0.0.1:9"\nattempts = 1\ntimeout = "1s"\n[tlsrpt]\n{extra}'
        )

    def run(self, *arguments: str) -> tuple[int, str]:
        """Gives the exit code, and what was said."""
        code = main(["tlsrpt", "send", *arguments, "--config", f"{self.folder}/letterlock.toml"])
        out, err = self.capsys.readouterr()
        return code, out + err

    def ask(self, *arguments: str) -> dict[str, Any]:
        code, text = self.run(*arguments, "--json")
        assert code == 0, text
        found: dict[str, Any] = json.loads(text)
        return found

    def count(self, day: date, domain: str = "a.example", record: str = WANTED) -> None:
        folder = self.folder / "data" / "tlsrpt"
        folder.mkdir(parents=True, exist_ok=True)
        journal = Journal(DayFiles(folder), day)
        journal.count(Batch({make_datagram(domain, pr=record): 3}))
        journal.close()

    def keep(self, day: date, *deliveries: ReportDelivery, note: str = "") -> None:
        """Let a report have come so far."""
        asyncio.run(self._keep(day, deliveries, note))

    async def _keep(self, day: date, deliveries: tuple[ReportDelivery, ...], note: str) -> None:
        clock = SystemClock()
        store = SqliteOwnReports(NodeDatabase(self.folder / "data" / "node.sqlite", clock))
        await store.open()
        key = ReportKey("queue", day, "k.example")
        planned = OwnReport(key, "1@example.org", clock.now() - timedelta(days=1), note)
        await store.plan("queue", day, [planned])
        for lease in await store.claim(["queue"], clock.now(), clock.now(), limit=9):
            kept = OwnReport(key, "1@example.org", None, note, deliveries)
            await store.settle([(lease, kept)])
        await store.close()


@pytest.fixture
def desk(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Desk:
    desk = Desk(tmp_path, capsys)
    desk.write()
    return desk


@pytest.fixture
def today() -> date:
    return SystemClock().now().date()


def test_a_dry_run_shows_what_would_go_where(desk: Desk, today: date) -> None:
    """RFC 8460 §3; nothing is kept of it."""
    before = today - timedelta(days=2)
    desk.count(before)
    desk.count(before, "b.example", "v=TLSRPTv1; rua=ftp://b.example/")
    document = desk.ask("--dry-run")
    assert document["submitter"] == {
        "organization": "example.org", "contact": "postmaster@example.org"
    }  # fmt: skip
    wanted, unwanted = document["reports"]
    assert (wanted["day"], wanted["state"], wanted["reason"]) == (str(before), "planned", None)
    assert [each["uri"] for each in wanted["destinations"]] == [
        "mailto:tls@a.example", "https://r.a.example/"
    ]  # fmt: skip
    assert wanted["policies"][0]["successful"] == 3
    assert 200 < wanted["octets"] < 600
    assert (unwanted["state"], unwanted["reason"]) == (
        "unwanted", "none of its rua is mailto or https"
    )  # fmt: skip
    told = {key.split(".")[0].removesuffix("[]") for key in SEND_KEYS}
    assert set(document) == told
    assert set(wanted) == {
        key.split(".")[1].removesuffix("[]") for key in SEND_KEYS if key.startswith("reports")
    }
    assert not (desk.folder / "data" / "node.sqlite").exists()
    code, text = desk.run("--dry-run")
    assert code == 0
    assert text.splitlines() == [
        f"{before} a.example: planned",
        "    planned mailto:tls@a.example",
        "    planned https://r.a.example/",
        "1 report, and 1 domain or host that gets none",
    ]


def test_where_nobody_can_be_asked_it_is_not_known_who_wants_one(desk: Desk, today: date) -> None:
    """RFC 8460 §3: who has a record, and could not be asked, is not one without."""
    desk.count(today - timedelta(days=2), record="")
    code, text = desk.run("--dry-run", "--json")
    (report,) = json.loads(text)["reports"]
    assert (code, report["state"], report["destinations"]) == (3, "planned", [])
    assert report["reason"]
    code, text = desk.run("--dry-run")
    assert code == 3
    assert text.splitlines() == [
        f"{report['day']} a.example: planned {report['reason']}",
        "1 report, and 0 domains or hosts that get none",
    ]


def test_a_day_that_goes_on_can_be_looked_at_and_not_sent(desk: Desk, today: date) -> None:
    desk.count(today)
    assert desk.ask("--dry-run")["reports"] == []
    assert len(desk.ask("--dry-run", "--day", str(today))["reports"]) == 1
    code, text = desk.run("--day", str(today))
    assert code == 2
    assert "is not over in UTC: --dry-run shows" in text


def test_without_a_program_the_node_sends(desk: Desk, today: date) -> None:
    desk.count(today - timedelta(days=2))
    code, text = desk.run("--day", str(today - timedelta(days=2)))
    assert code == 0
    assert text.splitlines()[0].endswith(" a.example: planned")
    assert text.splitlines()[-1].startswith("no node runs here: they are sent when one does")


def test_how_far_each_is_has_its_words(desk: Desk, today: date) -> None:
    again = SystemClock().now().replace(microsecond=0)
    failed = ReportDelivery(
        "https://k.example/\x1b", DeliveryState.FAILED, 9, again, None, "HTTP status 500"
    )
    waiting = ReportDelivery("https://w.example/", DeliveryState.WAITING, 2, again, again, "late")
    sent = ReportDelivery("mailto:a@k.example", DeliveryState.SENT, 1, again)
    for days, deliveries in enumerate([(failed,), (sent, failed), (waiting, sent), ()], 2):
        desk.keep(today - timedelta(days=days), *deliveries, note="" if deliveries else "none")
    code, text = desk.run("--json")
    reports = json.loads(text)["reports"]
    assert code == 1
    assert [each["state"] for each in reports] == ["unwanted", "waiting", "sent", "failed"]
    assert reports[0]["reason"] == "none"
    assert reports[1]["destinations"][0]["next"] == again.strftime("%Y-%m-%dT%H:%M:%SZ")
    code, text = desk.run()
    assert code == 1
    assert "\x1b" not in text
    assert "waiting https://w.example/, again " in text
    assert "3 reports, and 1 domain or host that gets none" in text


def test_reports_that_are_switched_off_are_not_sent(desk: Desk) -> None:
    desk.write("reports = false\n")
    code, text = desk.run()
    assert (code, "tlsrpt.reports is false" in text) == (3, True)


def test_counts_that_cannot_be_read_are_one_line(desk: Desk, today: date) -> None:
    before = today - timedelta(days=2)
    desk.count(before)
    damaged = desk.folder / "data" / "tlsrpt" / f"{before}.1.counts"
    damaged.write_bytes(b"no counts")
    code, text = desk.run("--dry-run")
    assert code == 3
    assert text.startswith("letterlock: reports cannot be sent now: ")
    assert len(text.splitlines()) == 1


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ('contact = "é@example.org"\n', "tlsrpt.contact"),
        ('contact = "nobody"\n', "tlsrpt.contact"),
        ('organization = " "\n', "tlsrpt.organization"),
        ('organization = "a\\nb"\n', "tlsrpt.organization"),
        ('send_within = "13h"\n', "tlsrpt.send_within"),
    ],
)
def test_settings_that_reports_cannot_have_are_refused(
    settings: str, told: str, desk: Desk
) -> None:
    desk.write(settings)
    code, text = desk.run("--dry-run")
    assert code == 2
    assert told.partition(".")[2] in text
