"""The name server is away: mail that needs it waits, with the reason, and goes as it is back."""

from contextlib import ExitStack
from pathlib import Path

from tests.interop.background import zones
from tests.journeys.running_node import NodeFiles, RunningNode, running

NAMES = ("before.example", "one.example", "two.example")
ZONES = dict.fromkeys(NAMES, "@ MX 10 mx\nmx A 127.0.0.2")
HOST = "127.0.7.53"
"""An address of its own, so that the port is still free when the server is back."""


def make_relay(folder: Path, receiver: RunningNode, resolver: str) -> NodeFiles:
    files = NodeFiles(folder, hostname="relay.example.net", domains=("example.net",))
    files.change("dns", resolver=resolver)
    files.change("deliver", port=receiver.port)
    files.change("queue", retry_min="1s", retry_max="1s")
    return files


def test_mail_waits_for_the_name_server_and_goes_when_it_is_back(tmp_path: Path) -> None:
    """RFC 5321 §5.1 (a lookup that fails for now), RFC 3463 §3.5 (4.4.3)."""
    receiving = NodeFiles(tmp_path / "receiver", domains=NAMES, host="127.0.0.2")
    with running(receiving) as receiver, ExitStack() as stack:
        resolver = stack.enter_context(zones(ZONES, HOST))
        with running(make_relay(tmp_path / "relay", receiver, resolver)) as node:
            node.wait_delivered(node.send(to="alice@before.example"))
            stack.close()
            waiting = [node.send(to=f"alice@{name}") for name in NAMES[1:]]
            for queue_id in waiting:
                # Tried again and again, and the log says why.
                reason = r"dsn=4\.4\.3, status=deferred \(.*\b(one|two)\.example\b.*\)"
                node.wait_log(rf"{queue_id}: to=<.*{reason}", count=2)
            # What needs no DNS is delivered meanwhile.
            node.wait_delivered(node.send(to="alice@example.net"))
            stack.enter_context(zones(ZONES, HOST, int(resolver.rpartition(":")[2])))
            for queue_id in waiting:
                node.wait_delivered(queue_id)
        assert [len(receiving.mails(domain=name)) for name in NAMES] == [1, 1, 1]
