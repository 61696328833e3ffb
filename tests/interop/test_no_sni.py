"""A server that shows its real certificate only to clients that say which name they want.

Large providers answer a handshake without SNI with a self-signed certificate that says so.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from letterlock.protocols.pki.throwaway_ca import GOOD_LEAF, Issued, self_signed
from tests.free_ports import free_port
from tests.interop.background import in_background, zones
from tests.interop.postfix_instance import (
    PostfixInstance,
    postfix_files,
    require_root,
    running_postfix,
    submit,
)
from tests.journeys.running_node import NodeFiles, RunningNode, running
from tests.misbehaving import Conduct, Server, TlsConduct, serving
from tests.network.certificates import NOW, authority, issue

HOST = "mx.provider.example"
ASKING = "No SNI provided; please fix your client."


def fix_your_client() -> Issued:
    """Make the certificate for clients without SNI; it is valid, and nobody's."""
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, ASKING),
            x509.NameAttribute(NameOID.COMMON_NAME, "invalid2.invalid"),
        ]
    )
    return self_signed(["invalid2.invalid"], now=NOW, shape=replace(GOOD_LEAF, subject=subject))


@pytest.fixture(scope="module")
def provider() -> Iterator[Server]:
    conduct = Conduct(
        certificate=fix_your_client(), tls=TlsConduct(by_sni=((HOST, issue((HOST,))),))
    )
    with in_background(serving(conduct)) as (server,):
        yield server


@pytest.fixture(scope="module")
def ca_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("authority") / "authority.pem"
    path.write_bytes(authority().pem)
    return path


@pytest.fixture(scope="module")
def node(
    tmp_path_factory: pytest.TempPathFactory, provider: Server, ca_file: Path
) -> Iterator[RunningNode]:
    files = NodeFiles(tmp_path_factory.mktemp("node"))
    with zones({"provider.example": f"@ MX 10 mx\nmx A {provider.ip}"}) as resolver:
        files.change("dns", resolver=resolver)
        files.change("deliver", port=provider.port, families=["ipv4"])
        files.change("policy", trust_files=[str(ca_file)], default_level="verify")
        with running(files) as node:
            yield node


def test_we_say_which_name_we_want_and_it_is_verified(node: RunningNode, provider: Server) -> None:
    """RFC 6066 §3, RFC 7817 §3: the story says which name we asked for, and what we were shown."""
    queue_id = node.send(to="someone@provider.example", sender="alice@example.org")
    node.wait_delivered(queue_id)
    node.wait_log(rf"Verified TLS connection established to {HOST}\[{provider.ip}\]")
    assert provider.seen.snis[-1] == HOST
    assert provider.seen.taken[-1].is_tls
    (attempt,) = node.files.command("queue", "show", queue_id, "--json").document["attempts"]
    handshake = attempt["story"]["handshake"]
    assert handshake["sni"] == HOST
    assert handshake["chain"][0]["names"] == [HOST]
    assert attempt["story"]["verdict"]["outcome"] == "authenticated"
    shown = node.files.command("queue", "show", queue_id)
    assert f"SNI {HOST}" in " ".join(shown.output.split())


@dataclass
class Sending:
    """A Postfix that sends to the provider, to `plain.example` without SNI."""

    postfix: PostfixInstance
    port: int


@pytest.fixture(scope="module")
def sending(provider: Server, ca_file: Path) -> Iterator[Sending]:
    require_root()
    port = free_port("127.0.0.1")
    with postfix_files() as files:
        copy = files.folder / "authority.pem"
        copy.write_bytes(ca_file.read_bytes())
        hop = f"[{provider.ip}]:{provider.port}"
        transports = f"plain.example smtp-plain:{hop}\nasking.example smtp-asking:{hop}\n"
        (files.folder / "transports").write_text(transports)
        files.settings = {
            "transport_maps": f"texthash:{files.folder / 'transports'}",
            "smtp_tls_CAfile": str(copy),
            "smtp_tls_security_level": "verify",
            "smtp_tls_verify_cert_match": HOST,
        }
        files.add_server("127.0.0.1", port)
        files.add_client("smtp-plain")
        files.add_client("smtp-asking", smtp_tls_servername=HOST)
        with running_postfix(files) as postfix:
            yield Sending(postfix, port)


@pytest.mark.peer("postfix")
def test_postfix_defers_for_it_sends_no_name(sending: Sending, provider: Server) -> None:
    before = len(provider.seen.taken)
    queue_id = submit(sending.port, "someone@plain.example")
    found = sending.postfix.wait_log(rf"{queue_id}: to=<.*dsn=(\S+), status=(\w+) \((.*)\)")
    assert found.groups() == ("4.7.5", "deferred", "Server certificate not verified")
    sending.postfix.wait_log("certificate verification failed for .*: self-signed certificate")
    assert provider.seen.snis[-1] is None
    assert len(provider.seen.taken) == before


@pytest.mark.peer("postfix")
def test_postfix_delivers_when_it_is_told_to_send_one(sending: Sending, provider: Server) -> None:
    """It is the name alone that makes the difference."""
    queue_id = submit(sending.port, "someone@asking.example")
    found = sending.postfix.wait_log(rf"{queue_id}: to=<.*status=(\w+)")
    assert found[1] == "sent", found.string
    sending.postfix.wait_log("smtp-asking/.*Verified TLS connection established")
    assert provider.seen.snis[-1] == HOST
