"""Postfix sends to us by DANE: our key is published, another is, or none is.

RFC 7672 §2. Its resolver says of all answers that they are secure. It is asked at port 53, where
Postfix looks for one, on a loopback address of this run's own.
"""

import hashlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from letterlock.protocols.pki.throwaway_ca import Issued
from tests.free_ports import free_port
from tests.interop.background import zones
from tests.interop.log_verdicts import LEFT_WITHOUT_MAIL
from tests.interop.postfix_instance import (
    PostfixInstance,
    postfix_files,
    running_postfix,
    submit,
)
from tests.journeys.running_node import NodeFiles, RunningNode, running
from tests.network.certificates import authority, issue
from tests.peers import require_mounts

HOST = "mx.example.org"
IP = "127.0.0.1"
OURS, OURS_BY_AUTHORITY, ANOTHERS, NONE, NONE_WANTED = DOMAINS = (
    "ours.example",
    "authority.example",
    "anothers.example",
    "none.example",
    "none-wanted.example",
)
"""Each has an MX host with the TLSA records of its name; `NONE_WANTED` is to have some."""


@dataclass
class Both:
    """A Postfix that sends, and a node of ours that is the MX host of every domain."""

    postfix: PostfixInstance
    node: RunningNode
    port: int

    def send(self, domain: str) -> tuple[str, str]:
        """Send to this domain; gives how Postfix says that it ended: status, and why."""
        queue_id = submit(self.port, f"alice@{domain}")
        found = self.postfix.wait_log(rf"{queue_id}: to=<.*status=(\w+) \((.*)\)")
        return found[1], found[2]


@pytest.fixture(scope="module")
def both(postfix_peer: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    require_mounts(postfix_peer)
    files = NodeFiles(tmp_path_factory.mktemp("node"), domains=DOMAINS)
    issued = issue((HOST, f"mx.{OURS_BY_AUTHORITY}"))
    files.add_certificate(issued)
    pid = os.getpid()
    resolver, port = f"127.53.{pid >> 8 & 0xFF}.{pid & 0xFF}", free_port(IP)
    with (
        running(files) as node,
        zones(_zones(issued, node.port), resolver, 53, authentic_data=True),
        postfix_files(peer=postfix_peer) as postfix,
    ):
        (postfix.folder / "resolv.conf").write_text(f"nameserver {resolver}\noptions trust-ad\n")
        postfix.mounts = {"/etc/resolv.conf": postfix.folder / "resolv.conf"}
        routes = "".join(f"{domain} smtp:{domain}:{node.port}\n" for domain in DOMAINS)
        (postfix.folder / "transports").write_text(
            routes.replace(f"{NONE_WANTED} smtp:", f"{NONE_WANTED} smtp-only:")
        )
        postfix.settings = {
            "transport_maps": f"texthash:{postfix.folder / 'transports'}",
            "smtp_dns_support_level": "dnssec",
            "smtp_tls_security_level": "dane",
        }
        postfix.add_server(IP, port)
        postfix.add_client("smtp-only", smtp_tls_security_level="dane-only")
        with running_postfix(postfix) as instance:
            yield Both(instance, node, port)


def _zones(issued: Issued, port: int) -> Mapping[str, str]:
    tlsa = {
        OURS: f"3 1 1 {_key_digest(issued)}",
        OURS_BY_AUTHORITY: f"2 0 0 {authority().der.hex()}",
        ANOTHERS: f"3 1 1 {_key_digest(issue((HOST,), 'rsa'))}",
    }
    published = {domain: f"_{port}._tcp.mx TLSA {record}" for domain, record in tlsa.items()}
    return {domain: f"@ MX 10 mx\nmx A {IP}\n{published.get(domain, '')}\n" for domain in DOMAINS}


def _key_digest(issued: Issued) -> str:
    key = issued.certificate.public_key()
    octets = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(octets).hexdigest()


@pytest.mark.parametrize(
    ("domain", "word", "sni"),
    [
        (OURS, "Verified", f"mx.{OURS}"),
        (OURS_BY_AUTHORITY, "Verified", f"mx.{OURS_BY_AUTHORITY}"),
        # As at `may`: it knows no authority here.
        (NONE, "Untrusted", "none"),
    ],
)
def test_postfix_delivers_by_dane(both: Both, domain: str, word: str, sni: str) -> None:
    """RFC 7672 §8.1 (SNI: the TLSA base domain; whatever it is, we show what we have), §2.2."""
    since, theirs = len(both.node.lines), len(both.postfix.lines)
    status, text = both.send(domain)
    assert status == "sent", text
    shape = r"TLS connection established \w+ \S+: (\S+) with cipher (\S+) \((\S+) bits\)"
    at_theirs = both.postfix.wait_log(rf" {word} {shape}", since=theirs)
    at_ours = both.node.wait_log(rf" {shape} .*, sni {sni}$", since=since)
    assert at_theirs.groups() == at_ours.groups()
    both.node.wait_log(rf"{text.rpartition(' ')[2]}: to=<alice@{domain}>.*status=sent")
    assert len(both.node.files.mails(domain=domain)) == 1


def test_postfix_sends_nothing_where_another_key_is_published(both: Both) -> None:
    """RFC 7672 §2.2: usable records that do not match."""
    since = len(both.node.lines)
    status, text = both.send(ANOTHERS)
    assert (status, text) == ("deferred", "Server certificate not verified")
    both.node.wait_log(LEFT_WITHOUT_MAIL, since=since)


def test_postfix_sends_nothing_where_no_key_is_published_and_one_is_wanted(both: Both) -> None:
    """It does not even connect."""
    since = len(both.node.lines)
    status, text = both.send(NONE_WANTED)
    assert status == "deferred"
    assert "TLSA" in text
    assert not any("connect from" in line for line in both.node.lines[since:])
