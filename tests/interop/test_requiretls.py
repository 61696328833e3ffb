"""RFC 8689 with Postfix 3.11, the first one that has it: both ways, and where it is not offered."""

import smtplib
import ssl
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest

from tests.free_ports import free_port
from tests.interop.background import zones
from tests.interop.postfix_instance import (
    PostfixFiles,
    PostfixInstance,
    postfix_files,
    require_root,
    running_postfix,
)
from tests.journeys.running_node import PATIENCE, NodeFiles, RunningNode, running
from tests.network.certificates import authority, issue

PEER = "postfix-3.11"
pytestmark = pytest.mark.peer(PEER)

GOOD, BARE = HOSTS = ("127.0.79.1", "127.0.79.2")
ZONES = {
    "good.example": f"@ MX 10 mx\nmx A {GOOD}",
    "bare.example": f"@ MX 10 mx\nmx A {BARE}",
}
OURS = {"ours.example": "mx.ours.example", "ours-bare.example": "mx.ours-bare.example"}
"""Our nodes, to Postfix; the second one offers no REQUIRETLS."""


@dataclass
class Both:
    """Two nodes of ours, the first one also sends, and a Postfix that does either."""

    node: RunningNode
    bare_node: RunningNode
    postfix: PostfixInstance
    port: int

    def send_from_us(self, to: str, parameters: list[str], text: str = "Subject: a\n\nhi\n") -> str:
        """Give our node a message under TLS; gives its queue id."""
        with self.node.client() as client:
            client.start("mx.ours.example")
            return _deliver(client, to, parameters, text)

    def send_from_postfix(
        self, to: str, parameters: list[str], text: str = "Subject: a\n\nhi\n"
    ) -> str:
        context = ssl.create_default_context(cadata=authority().pem.decode("ascii"))
        context.check_hostname = False
        with smtplib.SMTP(GOOD, self.port, "writer.example", timeout=PATIENCE) as client:
            client.starttls(context=context)
            return _deliver(client, to, parameters, text)


def _deliver(client: smtplib.SMTP, to: str, parameters: list[str], text: str) -> str:
    client.ehlo()
    for code, reply in (client.mail("writer@writer.example", parameters), client.rcpt(to)):
        assert code == 250, reply
    code, reply = client.data(text)
    assert code == 250, reply
    return reply.decode().rpartition(" ")[2]


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    require_root(PEER)
    folder, port = tmp_path_factory.mktemp("nodes"), free_port(*HOSTS)
    with ExitStack() as stack:
        resolver = stack.enter_context(zones(ZONES))
        nodes = []
        for domain, host in OURS.items():
            files = NodeFiles(folder / domain, hostname=host, domains=(domain,))
            files.add_certificate(issue((host,)))
            files.change("receive", requiretls=domain == "ours.example")
            _set_up_sending(files, resolver, port)
            nodes.append(stack.enter_context(running(files)))
        postfix = stack.enter_context(postfix_files(peer=PEER))
        _set_up_postfix(postfix, nodes, port)
        node, bare_node = nodes
        yield Both(node, bare_node, stack.enter_context(running_postfix(postfix)), port)


def _set_up_sending(files: NodeFiles, resolver: str, port: int) -> None:
    trust = files.folder / "ca.pem"
    trust.write_bytes(authority().pem)
    files.change("dns", resolver=resolver)
    files.change("deliver", port=port, families=["ipv4"])
    hops = {domain: {"level": "secure", "match": [f"mx.{domain}"]} for domain in ZONES}
    files.change("policy", trust_files=[str(trust)], hops=hops)


def _set_up_postfix(files: PostfixFiles, nodes: list[RunningNode], port: int) -> None:
    files.mailboxes = tuple(f"bob@{domain}" for domain in ZONES)
    ca_file = files.folder / "authority.pem"
    ca_file.write_bytes(authority().pem)
    hops = zip(OURS, nodes, strict=True)
    routes = (f"{domain} smtp:[127.0.0.1]:{node.port}" for domain, node in hops)
    (files.folder / "transports").write_text("\n".join(routes) + "\n")
    files.settings = {
        "transport_maps": f"texthash:{files.folder / 'transports'}",
        "smtp_tls_CAfile": str(ca_file),
        "smtp_tls_security_level": "secure",
        "smtp_tls_secure_cert_match": ", ".join(OURS.values()),
        # By itself it takes hosts on private addresses for its own, and sends without REQUIRETLS.
        "smtp_requiretls_policy": "enforce",
    }
    tls = {"smtpd_tls_security_level": "may"}
    good = files.add_certificate(issue(("mx.good.example",)), "good")
    files.add_server(GOOD, port, **tls, **good)
    bare = files.add_certificate(issue(("mx.bare.example",)), "bare")
    files.add_server(BARE, port, **tls, **bare, smtpd_discard_ehlo_keywords="requiretls")
    files.add_server("127.0.0.1", port)


def test_we_send_it_to_postfix(both: Both) -> None:
    """RFC 8689 §4.2.1 (rule 90)."""
    queue_id = both.send_from_us("bob@good.example", ["REQUIRETLS"])
    found = both.node.wait_log(rf"{queue_id}: to=<.*status=(\w+) \((.*)\)")
    assert found[1] == "sent", found[0]
    shown = both.node.files.command("queue", "show", queue_id, "--json").document
    assert shown["tls_demand"] == "requiretls"
    dialogue = shown["attempts"][0]["story"]["dialogue"]
    assert any(line.endswith(" REQUIRETLS") and "MAIL FROM" in line for line in dialogue)
    theirs = found[2].rpartition(" ")[2]
    both.postfix.wait_log(rf"{theirs}: .*status=sent")


def test_postfix_sends_it_to_us(both: Both) -> None:
    """RFC 8689 §4.1 (rules 85, 87)."""
    theirs = both.send_from_postfix("alice@ours.example", ["REQUIRETLS"])
    found = both.postfix.wait_log(rf"{theirs}: to=<.*tls=(\S+),.*status=(\w+) \((.*)\)")
    assert (found[1], found[2]) == ("secure/requiretls", "sent"), found[0]
    queue_id = found[3].rpartition(" ")[2]
    shown = both.node.files.command("queue", "show", queue_id, "--json").document
    assert shown["tls_demand"] == "requiretls"


def test_neither_sends_it_where_it_is_not_offered(both: Both) -> None:
    """RFC 8689 §4.2.1 (rules 88, 89)."""
    ours = both.send_from_us("bob@bare.example", ["REQUIRETLS"])
    both.node.wait_log(rf"{ours}: to=<.*dsn=5\.7\.30, status=bounced")
    theirs = both.send_from_postfix("alice@ours-bare.example", ["REQUIRETLS"])
    both.postfix.wait_log(rf"{theirs}: to=<.*dsn=5\.7\.30, .*status=bounced")
    assert not both.postfix.files.mails("bob@bare.example")
    assert not both.bare_node.files.mails(domain="ours-bare.example")


def test_both_read_the_header_field(both: Both) -> None:
    """RFC 8689 §4.1 (rule 92)."""
    text = "TLS-Required: No\nSubject: a\n\nhi\n"
    theirs = both.send_from_postfix("alice@ours.example", [], text)
    found = both.postfix.wait_log(rf"{theirs}: to=<.*tls=(\S+),.*status=(\w+) \((.*)\)")
    assert (found[1], found[2]) == ("may", "sent"), found[0]
    queue_id = found[3].rpartition(" ")[2]
    shown = both.node.files.command("queue", "show", queue_id, "--json").document
    assert shown["tls_demand"] == "tls-required-no"


def test_both_refuse_it_in_clear(both: Both) -> None:
    """RFC 8689 §2 (rule 85): Postfix does not know it there; we say what is missing."""
    answers = []
    for host, port in (("127.0.0.1", both.node.port), (GOOD, both.port)):
        with smtplib.SMTP(host, port, "writer.example", timeout=PATIENCE) as client:
            client.ehlo()
            assert not client.has_extn("requiretls")
            answers.append(client.mail("writer@writer.example", ["REQUIRETLS"]))
    assert [code for code, _ in answers] == [530, 555]
