"""A node tells its postmaster once that a report says something is wrong, and when it is over."""

import json
from datetime import timedelta
from pathlib import Path

from letterlock.base.clock import SystemClock
from tests.journeys.running_node import NodeFiles, running
from tests.protocols.tlsrpt.corpus import encode, make_document, make_failure, make_result


def make_report(days_ago: int, *, is_failing: bool) -> bytes:
    day = SystemClock().now().date() - timedelta(days_ago)
    details = make_failure(**{"result-type": "certificate-expired", "failed-session-count": 7})
    return encode(
        make_document(
            **{
                "report-id": f"{day}",
                "contact-info": "tls@x.example",
                "date-range": {
                    "start-datetime": f"{day}T00:00:00Z",
                    "end-datetime": f"{day}T23:59:59Z",
                },
            },
            policies=[
                make_result(
                    {"policy-domain": "example.org"},
                    {"total-failure-session-count": 7 * is_failing},
                    failure_details=[details] if is_failing else [],
                )
            ],
        )
    )


def take_in(files: NodeFiles, octets: bytes) -> None:
    path = files.folder / "report.json"
    path.write_bytes(octets)
    answer = files.command("tlsrpt", "import", str(path))
    assert answer.code == 0, answer.error
    assert "1 report is new" in answer.output, answer.output


def test_an_alert_is_told_once_over_a_restart_and_when_it_is_over(tmp_path: Path) -> None:
    """A3, by mail and by a command; what is told of nothing else is in the mailbox."""
    files = NodeFiles(tmp_path)
    calls, program = tmp_path / "calls", tmp_path / "tell"
    program.write_text(f'#!/bin/sh\nprintf "%s\\n" "$LETTERLOCK_ALERTS" >> {calls}\n')
    program.chmod(0o755)
    alerts = {"every": "1s", "mail": ["postmaster@example.org"], "command": str(program)}
    files.change("tlsrpt", alerts=alerts)
    files.write()

    def list_mails() -> list[str]:
        return [text for text in files.mails("postmaster") if "TLS alert" in text]

    with running(files) as node:
        take_in(files, make_report(2, is_failing=True))
        node.wait_for(lambda: len(list_mails()) == 1 and calls.exists(), "the alert")
        (mail,) = list_mails()
        listed = files.command("tlsrpt", "alerts", "--json")
        shown = files.command("tlsrpt", "alerts")
    assert "Subject: TLS alert: example.org: certificate-expired at mx1.mail.company" in mail
    assert (listed.code, shown.code) == (1, 1)
    (alert,) = listed.document["alerts"]
    assert (alert["rule"], alert["domain"]) == ("A3", "example.org")
    assert "7 sessions under MTA-STS" in alert["evidence"][0]
    assert "certificate-expired at mx1.mail.company-y.example" in shown.output

    with running(files) as node:
        # It has looked, and said nothing, before it is told what is new.
        take_in(files, make_report(1, is_failing=False))
        node.wait_log("alert ended: A3: example.org")
        node.wait_for(lambda: len(list_mails()) == 2, "that it is over")
        node.wait_for(lambda: len(calls.read_text().splitlines()) == 2, "the command")
        after = files.command("tlsrpt", "alerts")
        assert "Traceback" not in node.log
    over = [text for text in list_mails() if "TLS alert: over: " in text]
    assert len(over) == 1
    assert "x.example met the policy in 5326 sessions" in over[0]
    assert (after.code, after.output) == (0, "No alerts are open.\n")
    turns = [json.loads(line)["alerts"][0]["turn"] for line in calls.read_text().splitlines()]
    assert turns == ["began", "ended"]
