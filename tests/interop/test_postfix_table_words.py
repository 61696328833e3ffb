"""Postfix takes the ciphers of our operator's table in its own words, and offers no others.

postconf(5), smtp_tls_policy_maps: `ciphers` is a grade, `exclude` a list.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.free_ports import free_port
from tests.interop.postfix_instance import (
    PostfixInstance,
    postfix_files,
    running_postfix,
    submit,
)
from tests.journeys.running_node import NodeFiles, RunningNode, running
from tests.network.certificates import issue

NODE, HOST = "127.0.0.1", "mx.example.org"
AES_128, ECDSA, GRADE, LIST = (f"127.0.0.{number}" for number in range(2, 6))

ENTRIES: dict[str, dict[str, object]] = {
    AES_128: {
        "level": "encrypt",
        "protocols": "TLSv1.2",
        "ciphers": "high",
        "exclude": ["AES256", "CHACHA20", "aECDSA"],
    },
    ECDSA: {"level": "may", "protocols": "<=TLSv1.2", "exclude": "aRSA"},
    GRADE: {"level": "encrypt", "ciphers": "high"},
    LIST: {"level": "encrypt", "ciphers": "ECDHE-RSA-AES128-GCM-SHA256"},
}
"""By the address of the next hop; all lead to one server, which has both kinds of certificates."""


@dataclass
class Both:
    """A Postfix, and the node that it asks and sends to."""

    postfix: PostfixInstance
    node: RunningNode
    port: int

    def send(self, ip: str) -> tuple[str, str]:
        """Have a message sent to an address; gives how that ended, and why."""
        queue_id = submit(self.port, f"alice@to-{ip.rpartition('.')[2]}.example.org")
        found = self.postfix.wait_log(rf"{queue_id}: to=<.*status=(\w+) \((.*)\)")
        return found[1], found[2]


@pytest.fixture(scope="module")
def both(postfix_peer: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    files = NodeFiles(tmp_path_factory.mktemp("node"), domains=("example.org",))
    files.add_certificate(issue((HOST,)), "ecdsa")
    files.add_certificate(issue((HOST,), "rsa"), "rsa")
    domains = {ip: f"to-{ip.rpartition('.')[2]}.example.org" for ip in ENTRIES}
    files.domains = ("example.org", *domains.values())
    hop_port, port, policy_port = free_port(*ENTRIES), free_port(NODE), free_port(NODE)
    hops = {f"[{ip}]:{hop_port}": entry for ip, entry in ENTRIES.items()}
    files.change("receive", listen=[f"{ip}:{hop_port}" for ip in (NODE, *ENTRIES)])
    files.change("policy", hops=hops)
    files.change(
        "policy_service", enabled=True, listen=[f"{NODE}:{policy_port}"], postfix_version="3.7"
    )
    with running(files) as node, postfix_files(peer=postfix_peer) as postfix:
        routes = (f"{domains[ip]} smtp:[{ip}]:{hop_port}\n" for ip in ENTRIES)
        (postfix.folder / "transports").write_text("".join(routes))
        postfix.settings = {
            "transport_maps": f"texthash:{postfix.folder / 'transports'}",
            "smtp_tls_security_level": "may",
            "smtp_tls_policy_maps": f"socketmap:inet:{NODE}:{policy_port}:postfix",
        }
        postfix.add_server(NODE, port)
        with running_postfix(postfix) as instance:
            yield Both(instance, node, port)


@pytest.mark.parametrize(
    ("ip", "connection"),
    [
        (AES_128, "TLSv1.2 with cipher ECDHE-RSA-AES128-GCM-SHA256 "),
        (ECDSA, "TLSv1.2 with cipher ECDHE-ECDSA-"),
        (GRADE, "TLSv1.3 with cipher TLS_"),
    ],
)
def test_postfix_offers_the_ciphers_that_the_entry_leaves(
    both: Both, ip: str, connection: str
) -> None:
    status, reason = both.send(ip)
    assert status == "sent", reason
    established = rf"TLS connection established to {ip}\[{ip}\]:\d+: (.*)"
    assert both.postfix.wait_log(established)[1].startswith(connection)


def test_a_list_of_ciphers_has_its_mail_wait_and_is_told_at_the_start(both: Both) -> None:
    """Postfix has no word for it: without it the entry would be another, weaker one."""
    both.node.wait_log(rf"warning: .*{LIST}.*: ciphers: Postfix takes no list .* waits")
    status, reason = both.send(LIST)
    assert status == "deferred"
    assert "client TLS configuration problem" in reason
