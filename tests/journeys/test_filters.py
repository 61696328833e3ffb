"""A node with a milter: what it refuses, changes and breaks; and mail while it is down."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from tests.interop.background import in_background
from tests.journeys.running_node import NodeFiles, RunningNode, running
from tests.milter_server import REJECT, Act, Conduct, MilterServer, running_milter
from tests.send.sending import run_send

ADDED = (b"hX-Seen\0by the filter\0", b"c")
MESSAGE = "Subject: hello\n\nhello\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("filters")


@pytest.fixture(scope="module")
def node(folder: Path) -> Iterator[RunningNode]:
    files = NodeFiles(folder / "node")
    files.change("filter", milters=[{"address": f"unix:{folder}/m"}], exempt=["127.0.0.9"])
    files.set("send", origin="example.org")
    with running(files) as running_node:
        running_node.wait_log("mail is handed in at")
        yield running_node


def milter(folder: Path, conduct: Conduct) -> AbstractContextManager[MilterServer]:
    """Run the milter, which is down where nothing of this is entered."""
    (folder / "m").unlink(missing_ok=True)
    return in_background(running_milter(conduct, folder / "m"))


def refuse(node: RunningNode) -> str:
    """Give the reply to the sender."""
    with node.client() as client:
        client.ehlo()
        code, text = client.mail("bob@example.net")
    return f"{code} {text.decode()}"


def test_nothing_passes_unfiltered_while_the_filter_is_down(
    node: RunningNode, folder: Path
) -> None:
    """The client is told to come again, and is served when the filter is back: none is lost."""
    before = len(node.files.mails())
    (folder / "m").unlink(missing_ok=True)
    assert refuse(node) == "451 4.7.1 Service unavailable - try again later"
    node.wait_log(rf"warning: unix:{folder}/m: cannot connect: No such file or directory")
    node.wait_log(r"NOQUEUE: milter-reject: MAIL from \S+\[127.0.0.1\]: 451 4.7.1 Service unav")
    status = node.files.command("status")
    assert status.code == 1
    assert f"filter unix:{folder}/m fails: cannot connect" in status.output
    assert "that a filter failed" in status.output
    with milter(folder, Conduct(answers={b"E": ADDED})) as server:
        node.wait_delivered(node.send(MESSAGE))
        assert len(server.connections) == 1
    mail = node.files.mails()[before]
    assert "\nSubject: hello\nX-Seen: by the filter\n\nhello\n" in mail


@pytest.mark.parametrize(
    ("kind", "said"),
    [(b"M", Act.CLOSE), (b"R", Act.CLOSE), (b"B", Act.CLOSE), (b"E", (b"!garbage here",))],
)
def test_a_filter_that_breaks_in_a_message_lets_none_pass(
    kind: bytes, said: tuple[bytes, ...] | Act, node: RunningNode, folder: Path
) -> None:
    with milter(folder, Conduct(answers={kind: said})) as server, node.client() as client:
        client.ehlo()
        client.mail("bob@example.net")
        client.rcpt("alice@example.org")
        code, _ = client.data(MESSAGE) if kind in b"BE" else client.docmd("DATA")
        assert code == (451 if kind in b"BE" else 503 if kind == b"M" else 554)
        client.rset()
        # The same client, the next moment.
        server.conduct.answers = {}
        client.deliver("bob@example.net", ["alice@example.org"], MESSAGE)


def test_what_a_milter_refuses(node: RunningNode, folder: Path) -> None:
    conduct = Conduct(of_recipients={b"postmaster": (b"y550 5.7.1 not with us\0",)})
    with milter(folder, conduct), node.client() as client:
        client.ehlo()
        client.mail("bob@example.net")
        assert client.rcpt("alice@example.org")[0] == 250
        assert client.rcpt("postmaster@example.org") == (550, b"5.7.1 not with us")
        node.wait_log(
            r"NOQUEUE: milter-reject: RCPT from \S+: 550 5.7.1 not with us; "
            r"from=<bob@example.net> to=<postmaster@example.org> proto=ESMTP"
        )
        conduct.answers = {b"E": REJECT}
        assert client.data(MESSAGE) == (550, b"5.7.1 Command rejected")


def test_who_is_exempt_is_not_filtered(node: RunningNode, folder: Path) -> None:
    (folder / "m").unlink(missing_ok=True)
    with node.client(source="127.0.0.9") as client:
        client.deliver("bob@example.net", ["alice@example.org"], MESSAGE)


def test_mail_of_programs_waits_for_the_filter_and_is_filtered(
    node: RunningNode, folder: Path
) -> None:
    """It stays in the drop folder: the program was told that its mail is taken."""
    (folder / "m").unlink(missing_ok=True)
    since = len(node.lines)
    config = str(node.files.config)
    assert run_send("-C", config, "alice", text=b"Subject: cron\n\nran\n").returncode == 0
    node.wait_log(rf"warning: unix:{folder}/m: cannot connect", since=since)
    with milter(folder, Conduct(answers={b"E": ADDED})) as server:
        # Another program's mail rings: nobody waits for the next look by the clock.
        assert run_send("-C", config, "alice", text=b"Subject: bell\n\nran\n").returncode == 0
        node.wait_for(lambda: len(find_mails(node, "cron", "bell")) == 2, "both")
        macros = server.connections[0].macros[b"C"]
    assert macros["_"] == "localhost [127.0.0.1]"
    (mail,) = find_mails(node, "cron")
    assert "X-Seen: by the filter" in mail


def find_mails(node: RunningNode, *subjects: str) -> list[str]:
    lines = [f"Subject: {subject}\n" for subject in subjects]
    return [mail for mail in node.files.mails() if any(line in mail for line in lines)]


def test_a_config_with_a_wrong_milter_is_told_of(tmp_path: Path) -> None:
    files = NodeFiles(tmp_path)
    files.change("filter", milters=[{"address": "inet:8891@localhost", "mail": []}])
    files.write()
    answer = files.command("config", "check")
    assert answer.code == 2
    assert "filter.milters" in answer.output + answer.error
    assert 'an address such as "unix:/run/rspamd/milter.sock"' in answer.output + answer.error
