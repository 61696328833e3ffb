"""Bare line feeds at a real node: refused, but for the clients that the operator listed."""

from collections.abc import Iterator

import pytest

from tests.journeys.running_node import NodeFiles, RunningNode, running

LISTED = "127.0.0.7"
NEIGHBOUR = "127.0.0.8"
TEXT = b"Subject: unix\n\n%s\n.\nMAIL FROM:<mallory@example.net>\nRCPT TO:<alice@example.org>\n"


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningNode]:
    files = NodeFiles(tmp_path_factory.mktemp("node"))
    files.set("receive", bare_newline_exceptions=[LISTED], relay_from=["127.0.0.0/8"])
    with running(files) as node:
        yield node


def _send(node: RunningNode, source: str, text: bytes) -> tuple[int, bytes]:
    with node.client(source=source) as client:
        client.begin("bob@example.net", ["alice@example.org"])
        assert client.docmd("DATA")[0] == 354
        client.send(text + b"\r\n.\r\n")
        return client.getreply()


def test_a_client_that_may_relay_is_no_exception(node: RunningNode) -> None:
    """RFC 5321 §2.3.8: never for all networks of ours, silently. Rule 21."""
    code, reply = _send(node, NEIGHBOUR, TEXT % b"refused")
    assert (code, reply) == (550, b"5.5.2 Message refused: bare <LF> received")
    assert not any("refused" in mail for mail in node.files.mails())


def test_a_listed_client_s_line_feeds_end_lines_and_never_the_message(node: RunningNode) -> None:
    """RFC 5321 §4.1.1.4: what stands behind a lone dot is text, and no second message."""
    code, reply = _send(node, LISTED, TEXT % b"taken")
    assert code == 250, reply
    node.wait_delivered(reply.decode().rpartition(" ")[2])
    (mail,) = [mail for mail in node.files.mails() if "taken" in mail]
    assert mail.partition("\n\n")[2].startswith("taken\n\nMAIL FROM:<mallory@example.net>\n")
    assert node.log.count("(queue active)") == 1


def test_a_listed_client_s_commands_may_end_with_a_line_feed(node: RunningNode) -> None:
    with node.client(source=LISTED) as client:
        client.send(b"NOOP\n")
        assert client.getreply()[0] == 250
    with node.client(source=NEIGHBOUR) as client:
        for _ in range(2):
            client.send(b"NOOP\n")
            assert client.getreply() == (550, b"5.5.2 Command refused: bare <LF> received")
        # What `quit` says stands behind the LF, and is no command.
        client.close()
