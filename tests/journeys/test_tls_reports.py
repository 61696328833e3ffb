"""Two nodes: what one counted on a day arrives at the other as a report, the day after."""

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from letterlock.base.clock import SystemClock
from letterlock.base.domains import Domain
from letterlock.protocols.tlsrpt.finding import read_file
from letterlock.protocols.tlsrpt.report import ReadReport
from letterlock.services.collect.journal import Batch, Journal
from letterlock.services.sign.keys import KeyPlan, make_missing_key
from letterlock.storage.day_files import DayFiles
from letterlock.storage.dkim_keys import DkimKeyFiles
from tests.interop.background import in_background, zones
from tests.journeys.running_node import (
    Answer,
    NodeFiles,
    RunningNode,
    mx_certificate,
    running,
    started,
)
from tests.journeys.test_clock import NODE_WITH_CLOCK, SetClock
from tests.network.certificates import authority
from tests.policy_host import Conduct, policy_host, respond
from tests.protocols.tlsrpt.datagrams import make_datagram

POSTGRES = pytest.param("postgres", marks=[pytest.mark.peer("postgresql"), pytest.mark.proof])
ABOUT = "example.org"
SENDER = "example.net"


def make_keys(files: NodeFiles) -> dict[str, str]:
    """Make the sender's DKIM keys; gives the lines of its zone that publish them."""
    lines = []
    keys = DkimKeyFiles(files.data / "dkim")
    for which in KeyPlan((Domain(SENDER),), "relay").list_all():
        key = make_missing_key(keys, which)
        assert key is not None
        texts = [key.record[at : at + 200] for at in range(0, len(key.record), 200)]
        quoted = " ".join(f'"{text}"' for text in texts)
        lines.append(f"{which.selector}._domainkey TXT {quoted}")
    return {
        SENDER: "\n".join(lines),
        ABOUT: """
            @ MX 10 mx
            mx A 127.0.0.2
            _smtp._tls TXT "v=TLSRPTv1; rua=mailto:alice@example.org"
        """,
    }


@dataclass
class Sender:
    """A sending node, run again and again under a clock that is set."""

    files: NodeFiles
    clock: SetClock

    @contextmanager
    def running(self) -> Iterator[RunningNode]:
        with started(self.files, self.make_command("serve")) as node:
            yield node

    def make_command(self, *arguments: str) -> list[str]:
        program = [sys.executable, "-c", NODE_WITH_CLOCK, str(self.clock.file)]
        return [*program, *arguments, "--config", str(self.files.config)]

    def set_noon(self, day: date) -> None:
        noon = datetime(day.year, day.month, day.day, 12, tzinfo=UTC)
        self.clock.set(noon - SystemClock().now())


@pytest.fixture(params=["sqlite", POSTGRES])
def engine(request: pytest.FixtureRequest) -> str | None:
    if request.param == "sqlite":
        return None
    schema: str = request.getfixturevalue("postgres").create_schema()
    return schema


@dataclass
class Told:
    """What was there on both sides, and what the sender's commands said of it."""

    day: date
    planned: Answer
    refused: Answer
    sent: Answer
    counted_after: Answer
    mails: list[str]
    received: Answer
    summed_up: Answer


def send_a_days_report(folder: Path, engine: str | None) -> Told:
    """Let a node send three mails on a day, and be started again on the next one."""
    receiver = NodeFiles(folder / "receiver", host="127.0.0.2")
    receiver.add_certificate(mx_certificate())
    receiver.set("publishing", tls_reports=["mailto:alice@example.org"])
    files = NodeFiles(folder / "sender", hostname="relay.example.net", domains=(SENDER,))
    if engine is not None:
        files.change("queue", engine="postgres", url=engine)
    with ExitStack() as stack:
        resolver = stack.enter_context(zones(make_keys(files)))
        receiver.change("dns", resolver=resolver)
        receiving = stack.enter_context(running(receiver))
        trust = files.folder / "ca.pem"
        trust.write_bytes(authority().pem)
        files.change("dns", resolver=resolver)
        files.change("policy", trust_files=[str(trust)])
        files.change("deliver", port=receiving.port, idle_connection="0s")
        files.change("tlsrpt", send_within="0s")
        files.write()
        sender = Sender(files, SetClock(folder / "offset"))
        day = SystemClock().now().date() + timedelta(days=1)
        sender.set_noon(day)
        with sender.running() as node:
            send_mails(node, 3)
            planned = files.command("tlsrpt", "send", "--dry-run", "--day", str(day), "--json")
            refused = files.command("tlsrpt", "send", "--day", str(day))
        following = day + timedelta(days=1)
        sender.set_noon(following)
        with sender.running() as node:
            node.wait_log(r"the report about example\.org on .* was sent to mailto:alice@example")
            node.wait_log(r"to=<alice@example.org>.*status=sent")
        sent = files.command("tlsrpt", "send", "--json")
        preview = ("tlsrpt", "send", "--dry-run", "--day", str(following), "--json")
        counted = files.command(*preview)
        receiving.wait_log(r"report by mail: from=example\.net, .* counted")
        mails = wait_reports(receiving)
        received = receiver.command("tlsrpt", "list", "--json")
        summed_up = receiver.command("tlsrpt", "summary", ABOUT, "--json")
        assert "Traceback" not in node.log + receiving.log
    return Told(day, planned, refused, sent, counted, mails, received, summed_up)


def send_mails(node: RunningNode, count: int) -> None:
    """Send mails; what was seen of their sessions is saved then."""
    for _ in range(count):
        queue_id = node.send(to="alice@example.org")
        node.wait_delivered(queue_id)
        node.wait_settled(queue_id)


def wait_reports(node: RunningNode) -> list[str]:
    """Give the mails with reports: what was in them is logged before they are delivered."""

    def list_mails() -> list[str]:
        return [text for text in node.files.mails() if "TLS-Report-Domain" in text]

    node.wait_for(lambda: bool(list_mails()), "the report's mail")
    return list_mails()


def test_a_days_report_arrives_and_agrees_with_what_was_counted(
    engine: str | None, tmp_path: Path
) -> None:
    """RFC 8460 §3, §4, §5.3; rules 200, 201, 202 and 203. No report tells of reports."""
    told = send_a_days_report(tmp_path, engine)
    assert told.planned.code == 0, told.planned.error
    (expected,) = told.planned.document["reports"]
    assert (expected["domain"], expected["state"]) == (ABOUT, "planned")
    assert [each["uri"] for each in expected["destinations"]] == ["mailto:alice@example.org"]
    assert (told.refused.code, "is not over in UTC" in told.refused.error) == (2, True)
    (mail,) = told.mails
    assert "DKIM-Signature:" in mail
    (read,) = read_file(mail.encode())
    assert isinstance(read, ReadReport)
    assert read.repairs == ()
    report = read.report
    assert report.report_id == expected["report_id"]
    assert report.contact_info == "postmaster@example.net"
    assert report.start is not None
    assert report.start.date() == told.day
    (policy,) = report.policies
    assert (policy.type, policy.domain) == ("no-policy-found", ABOUT)
    assert (policy.successful, policy.failed) == (3, 0)
    counts = expected["policies"][0]
    assert (counts["successful"], counts["failed"]) == (3, 0)
    (sent,) = told.sent.document["reports"]
    assert (told.sent.code, sent["state"], sent["destinations"][0]["tries"]) == (0, "sent", 1)
    # RFC 8460 §3: the report's own session is not counted.
    assert told.counted_after.document["reports"] == []
    (kept,) = told.received.document["reports"]
    assert (kept["report_id"], kept["standing"], kept["submitter"]) == (
        report.report_id, "counted", SENDER
    )  # fmt: skip
    (total,) = told.summed_up.document["totals"]
    assert (told.summed_up.code, total["successful"], total["failed"]) == (0, 3, 0)


def make_collected(files: NodeFiles, record: str) -> None:
    """Leave five sessions of three days ago, as `tlsrpt collect` keeps them."""
    folder = files.data / "tlsrpt"
    folder.mkdir(parents=True)
    journal = Journal(DayFiles(folder), SystemClock().now().date() - timedelta(days=3))
    journal.count(Batch({make_datagram(ABOUT, pr=record): 5}))
    journal.close()


def test_without_a_node_the_command_hands_over_what_was_collected(tmp_path: Path) -> None:
    """A Postfix keeps port 25; `tlsrpt collect` counts, and its sendmail sends.

    RFC 8460 §3, §5.4: each place that is named gets it; rules 200, 204 and 240.
    """
    files = NodeFiles(tmp_path / "sender", hostname="relay.example.net", domains=(SENDER,))
    program, trust = tmp_path / "sendmail", tmp_path / "ca.pem"
    program.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/calls; cat >> {tmp_path}/mail\n')
    program.chmod(0o755)
    trust.write_bytes(authority().pem)
    files.change("policy", trust_files=[str(trust)])
    records = make_keys(files)
    records[ABOUT] = "r A 127.0.0.1\n"
    certificate = mx_certificate("r.example.org")
    with (
        zones(records) as resolver,
        in_background(policy_host(certificate, Conduct([respond(b"")]))) as good,
        in_background(policy_host(certificate, Conduct([respond(b"", status="503 Oh")]))) as bad,
    ):
        posted = [f"https://r.example.org:{each.port}/a" for each in (good, bad)]
        uris = ("mailto:alice@example.org", *posted)
        record = f"v=TLSRPTv1; rua={','.join(uris)}"
        make_collected(files, record)
        files.change("dns", resolver=resolver)
        files.change("tlsrpt", mail_program=str(program), private_addresses=True)
        files.write()
        first = files.command("tlsrpt", "send", "--json")
        again = files.command("tlsrpt", "send")
        assert (good.connections, bad.connections) == (1, 1)
        head, _, body = good.requests[0].partition(b"\r\n\r\n")
    (report,) = first.document["reports"]
    assert (report["domain"], report["record"], report["state"]) == (ABOUT, record, "waiting")
    assert [each["uri"] for each in report["destinations"]] == list(uris)
    assert [each["state"] for each in report["destinations"]] == ["sent", "sent", "waiting"]
    assert report["destinations"][2]["reason"] == "r.example.org: HTTP status 503"
    calls = (tmp_path / "calls").read_text().splitlines()
    assert calls == ["-i -f postmaster@example.net -- alice@example.org"]
    assert head.startswith(b"POST /a HTTP/1.1\r\n")
    for octets in ((tmp_path / "mail").read_bytes(), body):
        (read,) = read_file(octets)
        assert isinstance(read, ReadReport)
        assert (read.report.policies[0].successful, read.repairs) == (5, ())
        assert read.report.report_id == report["report_id"]
    assert "1 report, and 0 domains or hosts that get none" in again.output
    assert f"waiting {uris[2]}, again " in again.output


def test_a_report_that_bounces_in_the_queue_is_told_as_failed(
    engine: str | None, tmp_path: Path
) -> None:
    """RFC 8460 §5.5: nobody is told by mail, so what is kept of the report tells it; rule 264."""
    files = NodeFiles(tmp_path / "sender", hostname="relay.example.net", domains=(SENDER,))
    if engine is not None:
        files.change("queue", engine="postgres", url=engine)
    with zones(make_keys(files)) as resolver:
        make_collected(files, "v=TLSRPTv1; rua=mailto:gone@example.net")
        files.change("dns", resolver=resolver)
        files.change("tlsrpt", send_within="0s")
        with running(files) as node:
            node.wait_log(r"to=<gone@example\.net>.*status=bounced")
            told = node.wait_log(r"warning: the report (\S+) is given up: (.*)")
            # Sent is what the report is once all that were worked on with it are settled.
            answers: list[Answer] = []

            def is_failed() -> bool:
                answers.append(files.command("tlsrpt", "send", "--json"))
                (report,) = answers[-1].document["reports"]
                return bool(report["state"] == "failed")

            node.wait_for(is_failed, "the report is failed")
    (report,) = answers[-1].document["reports"]
    (destination,) = report["destinations"]
    assert (answers[-1].code, report["report_id"]) == (1, told[1])
    assert (destination["uri"], destination["state"]) == ("mailto:gone@example.net", "failed")
    assert destination["reason"] == told[2]
    assert "the mail to <gone@example.net> bounced: " in destination["reason"]
