"""Our bounces beside Postfix's, about the same refusals: what machines read agrees.

RFC 3464 §2.2, §2.3.
"""

import socketserver
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from email import message_from_bytes, policy
from typing import Any

import pytest

from tests.free_ports import free_port
from tests.interop.postfix_instance import (
    postfix_files,
    require_root,
    running_postfix,
    submit,
)
from tests.journeys.running_node import NodeFiles, running

pytestmark = pytest.mark.peer("postfix")

WRITER = "writer@writer.example"
REPLIES = {
    "nobody": b"550 5.1.1 no such user\r\n",
    "full": b"552 5.2.2 <full@refusing.example>: over quota\r\n",
    "policy": b"554-5.7.1 Not wanted here:\r\n554 5.7.1 ask (us)\r\n",
    "plain": b"550 go away\r\n",
}
COMPARED = (
    *("action", "status", "remote-mta", "diagnostic-code"),
    *("final-recipient", "original-recipient", "original-envelope-id"),
)

Fields = dict[str, str]


class _Refusing(socketserver.StreamRequestHandler):
    """An SMTP server that refuses each recipient as its name says."""

    def handle(self) -> None:
        self.wfile.write(b"220 mx.refusing.example ESMTP\r\n")
        for line in self.rfile:
            name = line.partition(b"<")[2].partition(b"@")[0].decode()
            verb = line[:4].upper()
            answer = {b"QUIT": b"221 Bye\r\n", b"RCPT": REPLIES.get(name, b"250 Ok\r\n")}
            self.wfile.write(answer.get(verb, b"250 Ok\r\n"))
            if verb == b"QUIT":
                return


@contextmanager
def refusing() -> Iterator[int]:
    """Run that server; gives its port."""
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Refusing) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


def read_fields(mails: list[bytes]) -> Mapping[str, Fields]:
    """Give the fields of each bounce, by the local part that it is about."""
    found: dict[str, Fields] = {}
    for octets in mails:
        message = message_from_bytes(octets, policy=policy.default)
        parts: Any = message.get_payload()
        assert [part.get_content_type() for part in parts] == [
            "text/plain",
            "message/delivery-status",
            "message/rfc822",
        ]
        groups = [dict(group.items()) for group in parts[1].get_payload()]
        fields = {name.lower(): str(value) for group in groups for name, value in group.items()}
        name = fields["final-recipient"].partition("; ")[2].partition("@")[0]
        # A space behind the semicolon means nothing.
        found[name] = {key: fields[key].replace("; ", ";") for key in COMPARED if key in fields}
    return found


def test_machines_read_the_same(tmp_path_factory: pytest.TempPathFactory) -> None:
    """No such user, a full mailbox, two lines, no enhanced code; ENVID and ORCPT."""
    require_root()
    port = free_port("127.0.0.1")
    files = NodeFiles(tmp_path_factory.mktemp("bounces"))
    with refusing() as peer, postfix_files(mailboxes=(WRITER,)) as theirs:
        theirs.settings["default_transport"] = f"smtp:[127.0.0.1]:{peer}"
        theirs.add_server("127.0.0.1", port)
        files.change("local", mailboxes=["alice", "postmaster"])
        files.change("deliver", routes={"refusing.example": f"[127.0.0.1]:{peer}"})
        with running_postfix(theirs) as postfix, running(files) as node:
            for name in REPLIES:
                to, parameters = f"{name}@refusing.example", ["ORCPT=rfc822;first@x.example"]
                submit(port, to, sender=WRITER, mail=["ENVID=a+2Bb"], rcpt=parameters)
                with node.client() as client:
                    client.ehlo()
                    client.mail("alice@example.org", ["ENVID=a+2Bb"])
                    client.rcpt(to, parameters)
                    client.data(b"Subject: x\r\n\r\nhello\r\n")
            node.wait_for(lambda: len(node.files.mails("alice")) == len(REPLIES), "ours")
            postfix.wait_log(r"relay=virtual, .*status=sent", count=len(REPLIES))
            ours = read_fields([mail.encode() for mail in node.files.mails("alice")])
            others = read_fields(theirs.mails(WRITER))
    for name in REPLIES:
        assert ours[name] == others[name]
    assert ours["plain"]["status"] == "5.0.0"
    assert ours["policy"]["original-recipient"] == "rfc822;first@x.example"
