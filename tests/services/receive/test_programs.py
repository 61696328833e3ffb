"""Mail of programs on this machine: RFC 5321 §6.4, RFC 5322 §3.6."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from letterlock.base.domains import Domain
from letterlock.services.receive.programs import format_missing
from tests.fakes import FakeClock
from tests.services.receive.test_receiving import receiving, talk
from tests.services.receive.test_signed_mail import read_stored

HOST = Domain("mx.example.org")
NOW = datetime(2026, 3, 1, 10, tzinfo=UTC)
FROM, DATE, ID = (
    b"From: app@example.org\r\n",
    b"Date: Sun, 01 Mar 2026 10:00:00 +0000\r\n",
    b"Message-ID: <20260301100000.T0@mx.example.org>\r\n",
)
THIS_MACHINE = "127.0.0.0/8"
STEPS = (
    b"EHLO client.example\r\n",
    b"MAIL FROM:<app@example.org>\r\n",
    b"RCPT TO:<alice@example.org>\r\n",
    b"DATA\r\n",
    b"Subject: x\r\n\r\nhello\r\n.\r\n",
)


@pytest.mark.parametrize(
    ("header", "missing"),
    [
        (b"", FROM + DATE + ID),
        (
            b"Subject: from: date:\r\n date: 1\r\nX-Date: 1\r\nResent-From: a@b\r\n",
            FROM + DATE + ID,
        ),
        (b"FROM: a@b\r\nmessage-id:\r\n", DATE),
        (b"From: a@b\r\nFrom: c@d\r\nDate : then\r\n", ID),
        (b"From: a@b\r\nDate: then\r\nMessage-Id: <1@b>\r\n", b""),
        # RFC 6376 §5.4: h= may name fields that are not there, and must not be.
        (b"DKIM-Signature: v=1; h=from:date:date\r\nFrom: a@b\r\n", b""),
    ],
)
def test_what_a_message_lacks(header: bytes, missing: bytes) -> None:
    clock = FakeClock(NOW)
    assert format_missing("app@example.org", "T0", HOST, clock, header) == missing


def test_mail_of_nobody_has_an_author_who_can_be_written_to() -> None:
    found = format_missing("", "T0", HOST, FakeClock(NOW), DATE + ID)
    assert found == b"From: MAILER-DAEMON@mx.example.org\r\n"


async def test_a_program_of_this_machine_may_leave_them_out(tmp_path: Path) -> None:
    """A large receiver would refuse it: no From, no Message-ID."""
    async with receiving(tmp_path, relay_from=THIS_MACHINE) as node:
        assert (await talk(node.port, *STEPS))[-1].startswith(b"250 ")
        stored = await read_stored(node)
    above, _, rest = stored.partition(b"From: app@example.org\r\nDate: ")
    assert above.startswith(b"Received: from client.example ")
    names = [line.partition(b":")[0] for line in rest.split(b"\r\n")[1:]]
    assert names == [b"Message-ID", b"Subject", b"", b"hello", b""]


@pytest.mark.parametrize(
    ("relay_from", "proxies", "first"),
    [
        ("192.0.2.0/24", "192.0.2.0/24", b"NOOP\r\n"),
        (THIS_MACHINE, THIS_MACHINE, b"XFORWARD ADDR=192.0.2.1\r\n"),
    ],
)
async def test_mail_on_its_way_is_left_as_it_is(
    relay_from: str, proxies: str, first: bytes, tmp_path: Path
) -> None:
    """RFC 5321 §6.4: anybody's, and what comes back from a filter (XFORWARD)."""
    async with receiving(tmp_path, relay_from=relay_from, xclient_from=proxies) as node:
        answers = await talk(node.port, STEPS[0], first, *STEPS[1:])
        assert [answer[:1] for answer in answers] == [b"2", b"2", b"2", b"2", b"2", b"3", b"2"]
        received, _, rest = (await read_stored(node)).partition(b"Subject: ")
    assert b"Subject: " + rest == STEPS[-1].removesuffix(b".\r\n")
    assert b"Message-ID" not in received
