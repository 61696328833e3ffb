"""What changed is told by mail and by a program; nothing that others wrote is more than text."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

from letterlock.protocols.check.findings import Severity
from letterlock.services.check.telling import (
    MAX_LISTED,
    CommandTeller,
    MailTeller,
    fold,
    format_line,
    format_text,
    make_subject,
    rank_changes,
)
from letterlock.services.check.watching import Change, Event
from tests.fakes import START

MAIL, HOOK = Path("/usr/sbin/sendmail"), Path("/opt/hook")
TIME = "2026-03-01T12:00:00Z"
MX = "mx.example.org[192.0.2.1]"
BEGUN = Change(
    "example.org", TIME, Event.BEGINS, "certificate-expired", MX,
    Severity.CRITICAL, None, "critical", "ended yesterday", "renew it",
)  # fmt: skip
ENDED = Change(
    "example.net", TIME, Event.ENDS, "host-unreachable", "mx.example.net[192.0.2.2]",
    Severity.CRITICAL, "critical", None, "timed out",
)  # fmt: skip
FARES = Change(
    "example.org", TIME, Event.CHANGES, "mta-sts", "", Severity.WARNING, "encrypted", "clear",
    "no STARTTLS",
)  # fmt: skip
WORSE = Change(
    "example.com", TIME, Event.CHANGES, "tlsa-fragile", "example.com", Severity.WARNING, "notice",
    "warning",
)  # fmt: skip


@dataclass
class Programs:
    """Notes what was run; `fault` is what comes of it."""

    fault: str | None = None
    runs: list[tuple[Path, list[str], dict[str, str], bytes]] = field(default_factory=list)

    async def run(
        self,
        program: Path,
        arguments: Sequence[str],
        variables: Mapping[str, str],
        limit: timedelta,
        given: bytes,
    ) -> str | None:
        assert limit > timedelta(0)
        self.runs.append((program, [*arguments], dict(variables), given))
        return self.fault


def mail(programs: Programs, sender: str = "watch@example.net") -> MailTeller:
    return MailTeller(
        MAIL,
        "postmaster@example.net",
        sender,
        "mx.example.net",
        programs.run,
        lambda: "token",
        {"HOME": "/home/x"},
    )


def test_a_line_for_each_kind_of_change() -> None:
    assert [format_line(each) for each in (BEGUN, ENDED, FARES, WORSE)] == [
        f"{TIME} example.org: critical: certificate-expired began at {MX}: ended yesterday",
        f"{TIME} example.net: host-unreachable ended at mx.example.net[192.0.2.2]: timed out",
        f"{TIME} example.org: warning: mail of mta-sts: encrypted -> clear: no STARTTLS",
        f"{TIME} example.com: warning: tlsa-fragile: notice -> warning at example.com",
    ]


def test_the_worst_is_first_and_what_ended_last() -> None:
    assert rank_changes((ENDED, WORSE, BEGUN)) == [BEGUN, WORSE, ENDED]
    assert make_subject((ENDED,)) == "ended: host-unreachable at example.net"
    assert make_subject((ENDED, BEGUN, FARES, WORSE)) == (
        "critical: certificate-expired began at example.org and 2 more"
    )


def fares(sender: str, before: str, now: str, reason: str = "no STARTTLS") -> Change:
    severity = Severity.NOTICE if now == "encrypted" else Severity.CRITICAL
    return Change(
        "example.org", TIME, Event.CHANGES, sender, "", severity, before, now, reason
    )  # fmt: skip


def test_kinds_of_sender_that_fare_the_same_are_one_line() -> None:
    """One fault of a host is the fault of up to nine verdicts."""
    verified = [fares(name, "authenticated", "defer") for name in ("mta-sts", "dane-only")]
    tried = fares("opportunistic", "encrypted", "defer")
    elsewhere = replace(verified[0], domain="example.net")
    folded = fold((BEGUN, verified[0], tried, verified[1], elsewhere, ENDED))
    assert [(each.domain, each.what) for each in folded] == [
        ("example.org", "certificate-expired"),
        ("example.org", "mta-sts, dane-only"),
        ("example.org", "opportunistic"),
        ("example.net", "mta-sts"),
        ("example.net", "host-unreachable"),
    ]
    assert format_line(folded[1]) == (
        f"{TIME} example.org: critical: mail of mta-sts, dane-only: authenticated -> defer: "
        "no STARTTLS"
    )
    text = format_text((*verified, tried))
    assert text.splitlines()[:2] == [format_line(folded[1]), format_line(tried)]
    assert make_subject(verified) == (
        "critical: mail of 2 senders: authenticated -> defer at example.org"
    )
    assert make_subject((*verified, tried)) == make_subject(verified)
    assert make_subject((BEGUN, *verified)) == (
        "critical: certificate-expired began at example.org (2 changes)"
    )


def test_the_reasons_of_senders_that_fare_the_same_are_all_known() -> None:
    many = [fares(str(number), "clear", "defer", f"reason {number % 4}") for number in range(9)]
    (one,) = fold(many)
    assert one.evidence == "reason 0; reason 1; and 2 more reasons"
    (one,) = fold([replace(each, evidence="") for each in many])
    assert one.evidence == ""


async def test_good_news_is_no_alarm() -> None:
    """Whoever is woken by `critical` sleeps on when it is over."""
    better = [fares(name, "defer", "encrypted") for name in ("a", "b")]
    assert make_subject((ENDED, *better)) == "notice: example.org and 1 more (2 changes)"
    assert make_subject(better) == "notice: mail of 2 senders: defer -> encrypted at example.org"
    ended = replace(ENDED, domain=f"{'d' * 60}.example")
    assert make_subject((ended,)).startswith("ended: ddd")
    assert make_subject((ENDED, replace(ENDED, domain="example.com"))) == (
        "ended: host-unreachable at example.net and 1 more (2 changes)"
    )
    programs = Programs()
    await CommandTeller(HOOK, programs.run).tell((ENDED,), START)
    assert programs.runs[0][2]["LETTERLOCK_SEVERITY"] == "info"


def test_a_subject_is_one_line_however_long_the_names_are() -> None:
    """RFC 5322 §2.1.1."""
    for length in range(1, 250):
        domain = f"{'d' * length}.example"
        for changes in ((BEGUN,), (BEGUN, ENDED), (FARES, FARES)):
            first = replace(changes[0], domain=domain)
            subject = make_subject((first, *changes[1:]))
            assert len(subject) <= 68
            assert subject.startswith(f"{first.severity}: ")


async def test_mail_goes_to_a_program_as_sendmail_takes_it() -> None:
    """RFC 3834 §5: nobody's program answers a mail of a program."""
    programs = Programs()
    assert await mail(programs).tell((ENDED, BEGUN), START) is None
    ((program, arguments, variables, content),) = programs.runs
    assert program == MAIL
    assert arguments == ["-i", "-f", "watch@example.net", "--", "postmaster@example.net"]
    assert variables == {"HOME": "/home/x"}
    assert b"\r" not in content
    message = message_from_bytes(content, policy=policy.default)
    assert message["From"] == "watch@example.net"
    assert message["To"] == "postmaster@example.net"
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["Message-ID"] == "<token@mx.example.net>"
    assert message["Subject"] == make_subject((BEGUN, ENDED))
    lines = message.get_content().splitlines()
    assert lines[:3] == [format_line(BEGUN), "    to do: renew it", format_line(ENDED)]


async def test_without_a_contact_the_program_knows_the_sender() -> None:
    programs = Programs(fault="it is full")
    assert await mail(programs, "").tell((BEGUN,), START) == "it is full"
    ((_, arguments, _, content),) = programs.runs
    assert arguments == ["-i", "--", "postmaster@example.net"]
    assert b"From: postmaster@example.net" in content


async def test_a_mail_of_thousands_of_changes_is_one_that_can_be_read() -> None:
    programs = Programs()
    await mail(programs).tell((BEGUN,) * 5000, START)
    message = message_from_bytes(programs.runs[0][3], policy=policy.default)
    text = message.get_content()
    assert text.count("certificate-expired") == MAX_LISTED
    assert "and 4800 more" in text


async def test_a_program_gets_all_of_it_as_json_and_in_short_as_variables() -> None:
    programs = Programs()
    assert await CommandTeller(HOOK, programs.run).tell((ENDED, BEGUN), START) is None
    ((program, arguments, variables, given),) = programs.runs
    assert (program, arguments) == (HOOK, [])
    assert variables == {
        "LETTERLOCK_SUBJECT": make_subject((BEGUN, ENDED)),
        "LETTERLOCK_SEVERITY": "critical",
        "LETTERLOCK_CHANGES": "2",
    }
    changes: list[dict[str, Any]] = json.loads(given)["changes"]
    assert changes[1] == {
        "domain": "example.org",
        "time": TIME,
        "event": "begins",
        "what": "certificate-expired",
        "where": "mx.example.org[192.0.2.1]",
        "severity": "critical",
        "before": None,
        "now": "critical",
        "evidence": "ended yesterday",
        "fix": "renew it",
    }


async def test_what_hosts_say_is_text_and_no_header_or_line() -> None:
    evil = "\r\nBcc: x@example.com\r\n\r\n\x1b[31m$(id)\x00\u2028"
    change = Change(
        "example.org", TIME, Event.BEGINS, evil, evil, Severity.WARNING, None, "warning", evil, evil
    )
    assert format_line(change).isprintable()
    programs = Programs()
    await mail(programs).tell((change,), START)
    await CommandTeller(HOOK, programs.run).tell((change,), START)
    message = message_from_bytes(programs.runs[0][3], policy=policy.default)
    assert message["Bcc"] is None
    assert programs.runs[1][2]["LETTERLOCK_SUBJECT"].isprintable()
    assert len(message.get_content().splitlines()) == 4
