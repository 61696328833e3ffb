"""RFC 8689 from the client to the mailbox, or back: REQUIRETLS and TLS-Required over real nodes.

`relay` sends for us; `mx.example.org` offers REQUIRETLS, `mx.second.example` does not.
"""

import email
import email.policy
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest

from tests.journeys.running_node import (
    Client,
    NodeFiles,
    RunningNode,
    mx_certificate,
    running,
)
from tests.network.certificates import authority, issue

ALICE = "alice@example.net"
TEXT = "Subject: in confidence\n\nfor nobody else\n"


@dataclass
class Nodes:
    relay: RunningNode
    offering: RunningNode
    silent: RunningNode

    def send(self, to: str, text: str = TEXT, *, requiretls: bool = True) -> str:
        """Hand a message to the relay under TLS; gives its queue id."""
        with self.relay.client() as client:
            client.start("relay.example.net")
            return deliver(client, to, text, ["REQUIRETLS"] if requiretls else [])


def deliver(client: Client, to: str, text: str, parameters: list[str]) -> str:
    client.ehlo()
    for code, reply in (client.mail(ALICE, parameters), client.rcpt(to)):
        assert code == 250, reply
    code, reply = client.data(text)
    assert code == 250, reply
    return reply.decode().rpartition(" ")[2]


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory, resolver: str) -> Iterator[Nodes]:
    folder = tmp_path_factory.mktemp("requiretls")
    offering = NodeFiles(folder / "offering", host="127.0.0.2")
    offering.add_certificate(mx_certificate())
    silent = NodeFiles(folder / "silent", host="127.0.0.3", domains=("second.example",))
    silent.add_certificate(issue(("mx.second.example",)))
    with running(offering) as first:
        silent.change("receive", listen=[f"127.0.0.3:{first.port}"], requiretls=False)
        relay = make_relay(folder / "relay", first.port, resolver)
        with running(silent) as second, running(relay) as sender:
            yield Nodes(sender, first, second)


def make_relay(folder: Path, port: int, resolver: str) -> NodeFiles:
    files = NodeFiles(folder, hostname="relay.example.net", domains=("example.net",))
    files.add_certificate(issue(("relay.example.net",)))
    trust = files.folder / "ca.pem"
    trust.write_bytes(authority().pem)
    files.change("dns", resolver=resolver)
    files.change("deliver", port=port)
    # These zones are not signed: it is the operator who says which hosts are the domains'.
    hops = {
        domain: {"level": "secure", "match": [f"mx.{domain}"]}
        for domain in ("example.org", "second.example")
    }
    files.change("policy", trust_files=[str(trust)], hops=hops)
    return files


def show(node: RunningNode, queue_id: str) -> dict[str, Any]:
    node.wait_settled(queue_id)
    shown = node.files.command("queue", "show", queue_id, "--json")
    assert shown.code == 0, shown.error
    return shown.document


def test_the_demand_goes_all_the_way(nodes: Nodes) -> None:
    """RFC 8689 §4.1, §4.2.1 (rules 87, 90)."""
    queue_id = nodes.send("alice@example.org")
    nodes.relay.wait_delivered(queue_id)
    story = show(nodes.relay, queue_id)
    assert story["tls_demand"] == "requiretls"
    (mail,) = [line for line in story["attempts"][0]["story"]["dialogue"] if "MAIL FROM" in line]
    assert mail.endswith(" REQUIRETLS")
    arrived = nodes.offering.wait_log(r"(\w+): to=<alice@example\.org>.*status=sent")
    assert show(nodes.offering, arrived[1])["tls_demand"] == "requiretls"
    (found,) = [text for text in nodes.offering.files.mails() if queue_id in text]
    assert found.count("with ESMTPS") == 2


def test_where_it_is_not_offered_the_header_comes_back(nodes: Nodes) -> None:
    """RFC 8689 §4.2.1, §5 (rules 89, 91): 5.7.30, and nothing was sent."""
    queue_id = nodes.send("alice@second.example")
    nodes.relay.wait_log(rf"{queue_id}: to=<.*dsn=5\.7\.30, status=bounced")
    notice = nodes.relay.wait_log(rf"{queue_id}: sender non-delivery notification: (\w+)")[1]
    nodes.relay.wait_delivered(notice)
    assert show(nodes.relay, notice)["tls_demand"] == "requiretls"
    (text,) = [text for text in nodes.relay.files.mails(domain="example.net") if notice in text]
    bounce = email.message_from_string(text, policy=email.policy.default)
    assert isinstance(bounce, EmailMessage)
    parts = [part.get_content_type() for part in bounce.iter_parts()]
    assert parts == ["text/plain", "message/delivery-status", "text/rfc822-headers"]
    assert "Status: 5.7.30" in text
    assert "in confidence" in text
    assert "for nobody else" not in text
    assert not nodes.silent.files.mails(domain="second.example")
    # Other mail goes there as ever.
    nodes.relay.wait_delivered(nodes.send("alice@second.example", requiretls=False))


def test_a_host_that_an_unsigned_record_names_gets_nothing(nodes: Nodes) -> None:
    """RFC 8689 §4.2.1 (rule 88): good TLS is no proof that the host is the domain's."""
    queue_id = nodes.send("alice@plain.example")
    found = nodes.relay.wait_log(rf"{queue_id}: to=<.*dsn=5\.7\.10, status=bounced \((.*)\)")
    assert "neither DNSSEC nor MTA-STS" in found[1]


def test_a_host_that_does_not_offer_it_refuses_it(nodes: Nodes) -> None:
    """RFC 5321 §4.1.1.11 (rule 85)."""
    with nodes.silent.client() as client:
        client.start("mx.second.example")
        client.ehlo()
        assert not client.has_extn("requiretls")
        assert client.mail(ALICE, ["REQUIRETLS"])[0] == 555


def test_the_field_is_read_kept_and_passed_on(nodes: Nodes) -> None:
    """RFC 8689 §4.1, §4.2.2 (rule 92)."""
    text = f"TLS-Required: No\n{TEXT}"
    queue_id = nodes.send("alice@second.example", text, requiretls=False)
    nodes.relay.wait_delivered(queue_id)
    story = show(nodes.relay, queue_id)
    assert story["tls_demand"] == "tls-required-no"
    assert story["attempts"][0]["story"]["handshake"] is not None
    nodes.silent.wait_for(
        lambda: any(queue_id in mail for mail in nodes.silent.files.mails(domain="second.example")),
        "the mail",
    )
    (found,) = [m for m in nodes.silent.files.mails(domain="second.example") if queue_id in m]
    assert "\nTLS-Required: No\n" in found


def test_the_demand_outlives_the_node(tmp_path: Path, resolver: str) -> None:
    """RFC 8689 §4.1 (rule 87): here nobody answers, and the mail waits."""
    files = make_relay(tmp_path / "relay", 9, resolver)
    with running(files) as node, node.client() as client:
        client.start("relay.example.net")
        queue_id = deliver(client, "alice@example.org", TEXT, ["REQUIRETLS"])
        node.wait_log(rf"{queue_id}: to=<.*status=deferred")
    with running(files) as node:
        assert show(node, queue_id)["tls_demand"] == "requiretls"
        since = len(node.lines)
        assert files.command("queue", "retry", queue_id).code == 0
        node.wait_log(rf"{queue_id}: to=<.*status=deferred", since=since)
