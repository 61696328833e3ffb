"""Postfix asks our policy service, and does with each domain of the lab what we do ourselves.

RFC 7672 §2.2, RFC 8461 §5. It is told at which level to send by `smtp_tls_policy_maps`, in a form
that each of its versions takes; its own default is `may`. Our node sends to the same domains: what
counts is which server took the mail. Where one level for all hosts cannot say what we decide for
each, `DIFFERENCES` says how the two differ: never by Postfix sending what DANE forbids.
"""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import pytest

from tests.free_ports import free_port
from tests.interop.postfix_instance import (
    PostfixFiles,
    PostfixInstance,
    postfix_files,
    require_root,
    running_postfix,
    submit,
)
from tests.journeys.running_node import RunningNode, running
from tests.network.certificates import authority, issue
from tests.peers import require_mounts, require_peer
from tests.published_domains import DOMAINS, PublishedDomains, published_domains

IP = "127.0.0.1"
VERSIONS = {"postfix": "3.7", "postfix-3.10": "3.10.5", "postfix-3.11": "3.11"}

BROKEN = ("bogus.example", "wrong-ds.example", "lame.example")
"""Nobody can say which hosts they have."""

DIFFERENCES = {
    # DANE and MTA-STS: we ask for both, Postfix can take one, and DANE must not be overridden.
    "both-own.secure.example": ("sent", "deferred"),
}
"""How mail ends where that differs: from Postfix, from us."""


@dataclass
class Asking:
    """A Postfix, the node that it asks, and where both send to."""

    postfix: PostfixInstance
    node: RunningNode
    domains: PublishedDomains
    peer: str
    port: int

    def send(self, domain: str) -> tuple[str, list[str]]:
        """Have Postfix send; gives how that ended, and the servers that it told MAIL."""
        sender = f"postfix@{domain}"
        queue_id = submit(self.port, f"alice@{domain}", sender=sender)
        found = self.postfix.wait_log(rf"{queue_id}: to=<.*status=(\w+) \((.*)\)")
        return found[1], self.domains.find_mails(sender)

    def send_from_us(self, domain: str) -> tuple[str, list[str]]:
        sender = f"we@{domain}"
        text = "Subject: hi\n\nhi\n"
        queue_id = self.node.send(text, to=f"alice@{domain}", sender=sender)
        found = self.node.wait_log(rf"{queue_id}: to=<.*status=(\w+) \((.*)\)")
        return found[1], self.domains.find_mails(sender)

    def told(self, domain: str) -> str:
        """Give what Postfix was told, from our log; nothing for NOTFOUND."""
        key = f"]: {domain}:{self.domains.port}: "
        lines = [line.partition(key)[2] for line in self.node.lines if key in line]
        return lines[-1] if lines else ""


@pytest.fixture(
    scope="module", params=[pytest.param(name, marks=pytest.mark.peer(name)) for name in VERSIONS]
)
def asking(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Asking]:
    peer: str = request.param
    require_root(peer)
    require_mounts(peer)
    with _asking(tmp_path_factory, peer) as asking:
        yield asking


@contextmanager
def _asking(
    tmp_path_factory: pytest.TempPathFactory, peer: str, *, has_dnssec: bool = True
) -> Iterator[Asking]:
    require_peer("nsd", "unbound", "ldns")
    pid = os.getpid()
    # Two of them run at the same time.
    resolver = f"127.{53 if has_dnssec else 54}.{pid >> 8 & 0xFF}.{pid & 0xFF}"
    port, policy_port = free_port(IP), free_port(IP)
    with ExitStack() as stack:
        domains = stack.enter_context(
            published_domains(tmp_path_factory.mktemp("lab"), ip=resolver, port=53)
        )
        files = domains.make_node(tmp_path_factory.mktemp("node"))
        files.add_certificate(issue(("relay.example.net",)))
        files.change(
            "policy_service",
            enabled=True,
            listen=[f"{IP}:{policy_port}"],
            postfix_version=VERSIONS[peer],
            has_dnssec=has_dnssec,
        )
        node = stack.enter_context(running(files))
        postfix = stack.enter_context(postfix_files(peer=peer))
        _set_up(postfix, resolver, f"socketmap:inet:{IP}:{policy_port}:postfix", domains.port)
        if not has_dnssec:
            postfix.settings["smtp_dns_support_level"] = "enabled"
        postfix.add_server(IP, port)
        instance = stack.enter_context(running_postfix(postfix))
        yield Asking(instance, node, domains, peer, port)


def _set_up(files: PostfixFiles, resolver: str, policy_map: str, port: int) -> None:
    (files.folder / "resolv.conf").write_text(f"nameserver {resolver}\noptions trust-ad\n")
    files.mounts = {"/etc/resolv.conf": files.folder / "resolv.conf"}
    routes = "".join(f"{domain} smtp:{domain}:{port}\n" for domain in (*DOMAINS, *BROKEN))
    (files.folder / "transports").write_text(routes)
    (files.folder / "authority.pem").write_bytes(authority().pem)
    files.settings = {
        "transport_maps": f"texthash:{files.folder / 'transports'}",
        "smtp_dns_support_level": "dnssec",
        "smtp_tls_security_level": "may",
        "smtp_tls_policy_maps": policy_map,
        # Before 3.7.13 it is `may` where the level above is.
        "smtp_tls_dane_insecure_mx_policy": "dane",
        "smtp_tls_CAfile": str(files.folder / "authority.pem"),
    }


@pytest.mark.parametrize("domain", [*DOMAINS, *BROKEN])
def test_postfix_does_what_we_do(asking: Asking, domain: str) -> None:
    """RFC 7672 §2.2, RFC 8461 §5; the domain's one level is weaker than ours for no host."""
    theirs, ours = asking.send(domain), asking.send_from_us(domain)
    if domain in DIFFERENCES:
        assert (theirs[0], ours[0]) == DIFFERENCES[domain], asking.told(domain)
    else:
        assert theirs == ours, asking.told(domain)


def test_postfix_knows_all_that_it_is_told(asking: Asking) -> None:
    """One attribute that it does not know, and it sends nothing to that domain."""
    for domain in DOMAINS:
        asking.send(domain)
    unknown = [line for line in asking.postfix.lines if "invalid" in line]
    assert unknown == []
    told = {domain: asking.told(domain) for domain in DOMAINS}
    has_attributes = "policy_type=sts" in told["enforce.unsigned.example"]
    assert has_attributes == (asking.peer != "postfix")
    assert told["ee.secure.example"].startswith("dane-only (all hosts have TLSA records")
    assert told["next.secure.example"].startswith("dane-only")
    assert told["hidden.secure.example"].startswith("dane (")
    assert told["none.secure.example"] == told["testing.unsigned.example"] == ""


WITHOUT_DNSSEC = {
    "ee.secure.example": "fingerprint match=",
    "next.secure.example": "fingerprint match=",
    "other.secure.example": "fingerprint match=",
    "ta.secure.example": "TEMP (",
    "hidden-next.secure.example": "TEMP (",
    "unprovable.secure.example": "encrypt servername=hostname",
    "enforce.unsigned.example": "secure match=",
    "none.secure.example": "",
}
"""What a Postfix without DNSSEC is told."""


@pytest.fixture(scope="module")
def asking_without_dnssec(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asking]:
    """Give a Postfix whose resolver says nothing of DNSSEC, and what it asks."""
    require_root("postfix")
    require_mounts("postfix")
    with _asking(tmp_path_factory, "postfix", has_dnssec=False) as asking:
        yield asking


@pytest.mark.peer("postfix", "nsd", "unbound", "ldns")
@pytest.mark.parametrize("domain", WITHOUT_DNSSEC)
def test_a_postfix_without_dnssec_sends_nothing_that_dane_forbids(
    asking_without_dnssec: Asking, domain: str
) -> None:
    """RFC 7672 §2.2; what it cannot be told of keeps mail waiting."""
    asking = asking_without_dnssec
    theirs, ours = asking.send(domain), asking.send_from_us(domain)
    told = asking.told(domain)
    assert told.startswith(WITHOUT_DNSSEC[domain])
    assert theirs == (("deferred", []) if told.startswith("TEMP") else ours), told
