"""Mail for signed domains, by Postfix at level `dane` and by us: what comes of it is the same.

RFC 7672 §2.2. Status, the word of the TLS line, and which server was told MAIL. Differences, and
who is right, are in `known_differences`.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.checked_domains import OURS, POSTFIX_DANE, check_domains, find_outcome
from tests.free_ports import free_port
from tests.interop.known_differences import known_dane_differences
from tests.interop.logging_process import LoggingProcess
from tests.interop.postfix_instance import postfix_files, running_postfix, submit
from tests.journeys.running_node import RunningNode, running
from tests.network.certificates import authority
from tests.peers import require_mounts, require_peer
from tests.published_domains import WITH_TLSA, PublishedDomains, find_word, published_domains

IP = "127.0.0.1"
BOGUS = ("bogus.example", "expired.example", "wrong-ds.example")
"""Already their MX records are."""
DOMAINS = (*WITH_TLSA, *BOGUS)


@dataclass(frozen=True, slots=True)
class Both:
    """A Postfix and a node that send to the same domains."""

    postfix: LoggingProcess
    port: int
    node: RunningNode
    domains: PublishedDomains
    mails: dict[str, int] = field(default_factory=dict)
    """How many MAIL each server has been told so far."""
    lines: dict[int, int] = field(default_factory=dict)
    """How much of each log has been read."""

    def send_by_postfix(self, domain: str) -> str:
        """Send by Postfix; gives what came of it, in words."""
        queue_id = submit(self.port, f"alice@{domain}")
        return self._tell(self.postfix, domain, queue_id)

    def send_by_us(self, domain: str) -> str:
        """Send by our node."""
        return self._tell(self.node, domain, self.node.send(to=f"alice@{domain}"))

    def _tell(self, sender: LoggingProcess | RunningNode, domain: str, queue_id: str) -> str:
        status = sender.wait_log(rf"{queue_id}: to=<.*status=(\w+) \(")[1]
        told = [
            f"MAIL at {name}"
            for name, server in self.domains.servers.items()
            if len(server.seen.mails) > self.mails.get(name, 0)
        ]
        self.mails.update({n: len(s.seen.mails) for n, s in self.domains.servers.items()})
        since = self.lines.get(id(sender), 0)
        word = find_word(sender.lines[since:], domain)
        self.lines[id(sender)] = len(sender.lines)
        return ", ".join([status, *filter(None, [word]), *(told or ["no MAIL"])])


@pytest.fixture(scope="module")
def both(postfix_peer: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    require_peer("nsd", "unbound", "ldns")
    require_mounts(postfix_peer)
    pid, port = os.getpid(), free_port(IP)
    resolver = f"127.54.{pid >> 8 & 0xFF}.{pid & 0xFF}"
    folder = tmp_path_factory.mktemp("outcomes")
    with (
        published_domains(tmp_path_factory.mktemp("lab"), ip=resolver, port=53) as domains,
        postfix_files(peer=postfix_peer) as postfix,
        running(domains.make_node(folder)) as node,
    ):
        (postfix.folder / "resolv.conf").write_text(f"nameserver {resolver}\noptions trust-ad\n")
        postfix.mounts = {"/etc/resolv.conf": postfix.folder / "resolv.conf"}
        routes = "".join(f"{domain} smtp:{domain}:{domains.port}\n" for domain in DOMAINS)
        (postfix.folder / "transports").write_text(routes)
        postfix.settings = {
            "transport_maps": f"texthash:{postfix.folder / 'transports'}",
            "smtp_dns_support_level": "dnssec",
            "smtp_tls_security_level": "dane",
            "smtp_tls_CAfile": str(_write_authority(postfix.folder)),
        }
        postfix.add_server(IP, port)
        with running_postfix(postfix) as instance:
            yield Both(instance, port, node, domains)


def _write_authority(folder: Path) -> Path:
    path = folder / "ca.pem"
    path.write_bytes(authority().pem)
    return path


@pytest.fixture(scope="module")
def outcomes(both: Both) -> dict[str, tuple[str, str]]:
    """Give what came of each domain by Postfix, and by us."""
    return {domain: (both.send_by_postfix(domain), both.send_by_us(domain)) for domain in DOMAINS}


def test_what_comes_of_dane_is_the_same(
    both: Both, outcomes: dict[str, tuple[str, str]], postfix_peer: str
) -> None:
    """RFC 7672 §2.1.2, §2.2, §3.2; rules 27, 29, 32, 33, 34, 48 and 152."""
    found = {(domain, "dane"): told for domain, told in outcomes.items() if told[0] != told[1]}
    assert found == known_dane_differences(postfix_peer)
    assert both.domains.find_clear_mails() == []


def test_the_checker_says_what_comes_of_both(
    both: Both, outcomes: dict[str, tuple[str, str]]
) -> None:
    """Its sender `postfix-dane` is a real Postfix, and the one that is ours a real node."""
    checked = check_domains(both.node.files, *DOMAINS)
    said = {domain: (each[POSTFIX_DANE], each[OURS]) for domain, each in checked.items()}
    came = {domain: (_read(theirs), _read(ours)) for domain, (theirs, ours) in outcomes.items()}
    assert {
        domain: (said[domain], told) for domain, told in came.items() if said[domain] != told
    } == {}


def _read(told: str) -> str:
    status, *rest = told.split(", ")
    return find_outcome(status, rest[0] if len(rest) > 1 else "")
