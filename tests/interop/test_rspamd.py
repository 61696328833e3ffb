"""rspamd asked over HTTP by a node, and as a milter by another: both give the same mail."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.free_ports import free_port
from tests.interop.rspamd_server import GTUBE, Rspamd
from tests.journeys.running_node import NodeFiles, RunningNode, running

pytestmark = pytest.mark.peer("rspamd")
SENDER = "bob@example.net"
FIELDS = (
    "X-First: 1\nX-First: 2\nX-Gone: 1\nx-gone: 2\nX-Last: 1\nX-Last: 2\nX-Spam: no\n"
    "Subject: hello\nX-Folded: a\n b\n"
)


@dataclass(frozen=True, slots=True)
class Ways:
    """Two nodes that ask the same rspamd."""

    http: RunningNode
    milter: RunningNode


@pytest.fixture(scope="module")
def ways(rspamd: Rspamd, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ways]:
    folder = tmp_path_factory.mktemp("ways")
    http, milter = NodeFiles(folder / "http"), NodeFiles(folder / "milter")
    http.set("filter", rspamd=[{"url": f"http://127.0.0.1:{rspamd.http_port}"}])
    milter.set("filter", milters=[{"address": f"inet:127.0.0.1:{rspamd.milter_port}"}])
    for files in (http, milter):
        files.set("dkim", verify=True)
    with running(http) as one, running(milter) as other:
        yield Ways(one, other)


def make(test: str, body: str = "hello") -> str:
    own = f"From: {SENDER}\nDate: Sun, 01 Mar 2026 10:00:00 +0000\nMessage-ID: <1@example.net>"
    return f"{own}\nX-Test: {test}\n{FIELDS}\n{body}\n"


def offer(node: RunningNode, text: str) -> str:
    """Send a message; gives the reply, without the queue's id."""
    with node.client() as client:
        client.begin(SENDER, ["alice@example.org"])
        code, answer = client.data(text)
    return re.sub(r"queued as \w+", "queued", f"{code} {answer.decode()}")


def receive(node: RunningNode, text: str) -> str:
    """Send a message; gives what lies in the mailbox then, from our Received field on."""
    before = set(node.files.mails())
    node.wait_delivered(node.send(text, sender=SENDER))
    (mail,) = set(node.files.mails()) - before
    return re.sub(r"\A.*?\n(Received:.*?\n)(?=\S)", "Received:\n", mail, flags=re.DOTALL)


@pytest.mark.parametrize(
    ("test", "body", "expected"),
    [
        ("", "hello", "250 2.0.0 Ok: queued"),
        ("", GTUBE["no action"], "250 2.0.0 Ok: queued"),
        ("", GTUBE["reject"], "554 5.7.1 Gtube pattern"),
        ("reject", "hello", "554 5.7.1 not this one"),
        ("soft", "hello", "451 4.7.1 come again later"),
        ("discard", "hello", "250 2.0.0 Ok: queued"),
    ],
)
def test_both_ways_give_the_same_reply(ways: Ways, test: str, body: str, expected: str) -> None:
    text = make(test, body)
    assert [offer(ways.http, text), offer(ways.milter, text)] == [expected, expected]


@pytest.mark.parametrize(
    ("test", "body"),
    [("headers", "hello"), ("", GTUBE["add header"]), ("", GTUBE["rewrite subject"])],
)
def test_both_ways_give_the_same_mail(ways: Ways, test: str, body: str) -> None:
    """What is added, removed and changed, and in which place."""
    text = make(test, body)
    mail = receive(ways.http, text)
    lines = mail.splitlines()
    # The milter of rspamd 3.4 leaves out fields that have several values.
    common = [line for line in lines if not line.startswith("X-Two: ")]
    assert sorted(common) == sorted(receive(ways.milter, text).splitlines())
    if test:
        assert lines[:2] == ["Received:", "X-Top: top"]
        assert {"X-One: one", "X-Two: first", "X-Two: second"} <= set(lines)
        assert "x-gone" not in mail.lower()
        assert [line for line in lines if line.startswith(("X-First", "X-Last"))] == [
            *("X-First: 2", "X-Last: 1")
        ]
        assert "X-Folded: a\n b\n" in mail
    elif body == GTUBE["add header"]:
        assert re.findall(r"(?m)^X-Spam: (.*)$", mail) == ["Yes"]
    else:
        assert re.findall(r"(?m)^Subject: (.*)$", mail) == ["[spam] hello"]


def test_what_is_quarantined_is_held(ways: Ways) -> None:
    for node, reason in ((ways.http, "kept back"), (ways.milter, "")):
        queue_id = node.send(make("quarantine"), sender=SENDER)
        shown = node.files.command("queue", "show", queue_id)
        assert "held" in shown.output
        assert reason in shown.output


def test_it_is_told_who_gives_the_message(ways: Ways) -> None:
    (line,) = re.findall(r"(?m)^X-Facts: (.*)$", receive(ways.http, make("facts")))
    ip, helo, _, user, sender, recipients, queue_id, *_ = line.split("|")
    assert (ip, helo, user, sender) == ("127.0.0.1", "client.example", "", SENDER)
    assert recipients == "alice@example.org"
    ways.http.wait_log(rf"{queue_id}: rspamd: no action \[1.00/[0-9.]+\] \[TEST_RULE\(1.00\)\]")


def test_forged_results_are_gone_before_it_looks_and_its_own_are_kept(ways: Ways) -> None:
    """RFC 8601 §5."""
    forged = "Authentication-Results: (x) MX.example.org; dkim=pass\n"
    other = "Authentication-Results: other.example; none\n"
    for node in (ways.http, ways.milter):
        mail = receive(node, forged + other + make("results"))
        lines = mail.splitlines()
        assert lines[:2] == ["Received:", "Authentication-Results: mx.example.org; spf=pass"]
        assert "Authentication-Results: other.example; none" in lines
        # Our own verification is made before it looks.
        assert "Authentication-Results: mx.example.org; dkim=none" in lines
        assert "X-Seen: 2" in lines
        assert "dkim=pass" not in mail


def test_while_it_is_down_clients_come_again(tmp_path: Path) -> None:
    """What is stated in docs/guide/filters.md: 451, unless `default_action` says otherwise."""
    port = free_port("127.0.0.1")
    files = NodeFiles(tmp_path / "node")
    files.set("filter", rspamd=[{"url": f"http://127.0.0.1:{port}"}])
    with running(files) as node:
        assert offer(node, make("")).startswith("451 4.7.1 ")
        node.wait_log(rf"warning: .*http://127.0.0.1:{port}: .*Connection refused")
        assert files.mails() == []
