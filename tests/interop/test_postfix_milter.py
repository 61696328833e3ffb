"""The same milter behind Postfix and behind a node: what it is told, what its changes come to."""

import re
import smtplib
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.free_ports import free_port
from tests.interop.background import in_background
from tests.interop.postfix_instance import (
    PostfixInstance,
    postfix_files,
    require_root,
    running_postfix,
)
from tests.journeys.running_node import PATIENCE, NodeFiles, RunningNode, running
from tests.milter_server import Conduct, MilterServer, Told, running_milter

pytestmark = pytest.mark.peer("postfix")
POSTFIX = "127.0.81.1"
USER = "alice@example.org"
TEXT = (
    "Received: from far.example\n by other.example; Sun, 22 Nov 2026 10:00:00 +0000\n"
    "From: Bob <bob@example.net>\nTo: alice@example.org\nSubject:  two  spaces\n"
    "Message-ID: <1@example.net>\nDate: Sun, 22 Nov 2026 10:00:00 +0000\n"
    "X-Long: folded\n\tand more\nX-Gone: 1\nX-Gone: 2\nX-Empty:\n\nhello\n.dot\n\nend\n"
)


@dataclass(frozen=True, slots=True)
class Both:
    milter: MilterServer
    postfix: int
    """Its port."""
    server: PostfixInstance
    node: RunningNode


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    require_root()
    folder = tmp_path_factory.mktemp("milter")
    port = free_port("127.0.0.1")
    files = NodeFiles(folder / "node")
    with (
        in_background(running_milter(Conduct())) as milter,
        postfix_files(mailboxes=(USER, "bob@example.org")) as postfix,
    ):
        postfix.settings |= {"smtpd_milters": milter.address, "myhostname": files.hostname}
        postfix.add_server("127.0.0.1", port)
        files.change("filter", milters=[{"address": milter.address}])
        files.change("local", mailboxes=["alice", "bob", "postmaster"])
        with running_postfix(postfix) as server, running(files) as node:
            yield Both(milter, port, server, node)


def send(port: int, *recipients: str, text: str = TEXT) -> list[tuple[int, bytes]]:
    """Send a message; gives the replies from RCPT on."""
    with smtplib.SMTP("127.0.0.1", port, "client.example", timeout=PATIENCE) as client:
        client.ehlo()
        client.mail("bob@example.net", ["SIZE=500", "BODY=8BITMIME"])
        replies = [client.rcpt(each) for each in recipients]
        if any(code == 250 for code, _ in replies):
            replies.append(client.data(text))
    return replies


def tell(both: Both, port: int, conduct: Conduct, *recipients: str) -> Told:
    """Send a message by one of the two; gives what the milter was told."""
    milter = both.milter
    milter.conduct.steps, milter.conduct.answers = conduct.steps, conduct.answers
    milter.conduct.of_recipients = conduct.of_recipients
    milter.connections.clear()
    send(port, *recipients)
    return milter.told


@pytest.mark.parametrize("steps", [0, 0x100000], ids=["plain", "leading space"])
def test_a_milter_is_told_the_same(both: Both, steps: int) -> None:
    conduct = Conduct(steps=steps)
    theirs, ours = (
        tell(both, port, conduct, USER, "bob@example.org")
        for port in (both.postfix, both.node.port)
    )
    # But for what is offered (O), the port in C, and how they end.
    for told in (ours, theirs):
        del told.packets[told.kinds.index("E") + 1 :]
    assert ours.kinds == theirs.kinds
    told_of_both = zip(ours.packets, theirs.packets, strict=True)
    assert [our for our, their in told_of_both if our != their and our[0] not in b"OC"] == []
    assert _hide_port(ours.contents(b"C")[0]) == _hide_port(theirs.contents(b"C")[0])


def _hide_port(connect: bytes) -> bytes:
    return re.sub(rb"(?s)\x004..", b"\x004", connect)


def test_macros_are_those_that_postfix_has(both: Both) -> None:
    theirs, ours = (tell(both, port, Conduct(), USER) for port in (both.postfix, both.node.port))
    hidden = {"i", "v", "{mail_mailer}", "{rcpt_mailer}"}
    for kind, macros in theirs.macros.items():
        if kind in b"LB":
            continue  # where we have none, and they only `i`
        # Where it listens we leave out.
        wanted = {name: text for name, text in macros.items() if name not in hidden}
        wanted.pop("{daemon_addr}", None)
        assert wanted.items() <= ours.macros[kind].items()
        assert ("i" in ours.macros[kind]) >= ("i" in macros)


EDITS = {
    "one at the top": (b"i\0\0\0\0X-New\0v\0",),
    "one below Received": (b"i\0\0\0\x01X-New\0v\0",),
    "one below the first": (b"i\0\0\0\x02X-New\0v\0",),
    "one in the midst": (b"i\0\0\0\x05X-New\0v\0",),
    "one far below": (b"i\0\0\x01\0X-New\0v\0",),
    "two at one place": (b"i\0\0\0\x01X-A\0v\0", b"i\0\0\0\x01X-B\0v\0"),
    "added at the end": (b"hX-A\0v\0", b"hX-B\0folded\n\tand more\0"),
    # Postfix has the name in the case that the milter gave, we in that of the message.
    "changed": (b"m\0\0\0\x01Subject\0new\0",),
    "the second changed": (b"m\0\0\0\x02X-Gone\0new\0",),
    "a third changed": (b"m\0\0\0\x03X-Gone\0new\0",),
    "one changed that is not there": (b"m\0\0\0\x01X-None\0new\0",),
    "removed": (b"m\0\0\0\x01X-Gone\0\0",),
    "the second removed": (b"m\0\0\0\x02X-Gone\0\0",),
    "one removed that is not there": (b"m\0\0\0\x01X-None\0\0",),
    "removed and added": (b"m\0\0\0\x01X-Gone\0\0", b"m\0\0\0\x01X-Gone\0\0", b"hX-Gone\0again\0"),
    "another body": (b"bnew\r\n", b"bbody\r\n"),
    "nothing": (),
}


def test_changes_come_to_the_same(both: Both) -> None:
    milter, node = both.milter, both.node
    milter.conduct.steps = 0
    for wanted in EDITS.values():
        milter.conduct.answers = {b"E": (*wanted, b"c")}
        for port in (both.postfix, node.port):
            assert [code for code, _ in send(port, USER)] == [250, 250]
    count = len(EDITS)
    node.wait_for(lambda: len(node.files.mails()) >= count, "our mails")
    node.wait_for(lambda: len(both.server.files.mails(USER)) >= count, "Postfix's mails")
    ours = sorted(map(_strip, node.files.mails()))
    theirs = sorted(_strip(mail.decode()) for mail in both.server.files.mails(USER))
    # Each lies in one file of either: what differs would be there once only.
    assert sorted(set(ours) ^ set(theirs)) == []
    assert len(set(ours)) == count - 2, "two of them change nothing"


def _strip(mail: str) -> str:
    """Leave out what is each server's own: all down to the end of its Received field."""
    return re.split(r"\n\t\w{3}, \d\d? .*\n|; \w{3}, .* \(UTC\)\n", mail, maxsplit=1)[-1]
