"""A node gets its certificates from Pebble by each challenge, serves them, and renews them."""

import asyncio
import copy
import json
import signal
import socket
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import pytest
from cryptography import x509

from letterlock.base.clock import SystemClock
from letterlock.base.domains import Domain
from letterlock.network.dns_authority import Served, ask_authority
from letterlock.network.dns_update import Add, DnsUpdater
from letterlock.network.zone_records import ZoneRecord
from letterlock.protocols.tls.client_hello import KeyType
from letterlock.storage.certificates import CertificateId, CertificateState
from letterlock.storage.sqlite.certificates import SqliteCertificates
from letterlock.storage.sqlite.node import NodeDatabase
from letterlock.storage.sqlite.watched import SqliteWatched
from tests.free_ports import free_port
from tests.interop.background import in_background, zones
from tests.interop.pebble import Knobs, Pebble, running_pebble
from tests.journeys.running_node import PATIENCE, NodeFiles, RunningNode, running
from tests.name_servers import KEY, NameServers, updatable
from tests.network.certificates import authority
from tests.peers import is_foreign, require_mounts, require_peer
from tests.storage.postgres_server import postgres_server

T = TypeVar("T")

HOST = "mx.example.org"
ID = CertificateId(HOST, KeyType.ECDSA)
NEW_PEBBLE = "pebble-2.10"
EXAMPLE = f"""
{HOST.partition(".")[0]} A 127.0.0.1
mta-sts A 127.0.0.1
mail A 127.0.0.1
_acme-challenge.mail CNAME _acme-challenge.mx
"""
ZONES = {
    "example.org": f"@ SOA ns1 hostmaster 1 60 60 60 1\n@ NS ns1\nns1 A 127.0.0.1\n{EXAMPLE}",
    "org": "@ SOA ns1 hostmaster 1 60 60 60 1\n@ NS ns1\nns1 A 127.0.0.1\n",
    "localhost": "@ A 127.0.0.1",
}


@dataclass
class World:
    """Names, an authority, and a node's folder that knows both."""

    files: NodeFiles
    pebble: Pebble

    @property
    def folder(self) -> Path:
        return self.files.data / "certificates"

    def load(
        self, change: Callable[[CertificateState], CertificateState] | None = None
    ) -> CertificateState:
        """Give what the node keeps, changed first if that is wanted; no node may run then."""

        async def work() -> CertificateState:
            database = NodeDatabase(self.files.data / "node.sqlite", SystemClock())
            await database.open()
            try:
                store = SqliteCertificates(database)
                if change is not None:
                    now = SystemClock().now()
                    lease = await store.claim(ID, now, now + timedelta(minutes=1))
                    assert lease is not None
                    await store.settle(lease, change(lease.state))
                state = await store.load(ID)
                assert state is not None
                return state
            finally:
                await database.close()

        return asyncio.run(work())

    def forget_looks(self) -> None:
        """Forget what was seen of certificates; no node may run then."""

        async def work() -> None:
            database = NodeDatabase(self.files.data / "node.sqlite", SystemClock())
            await database.open()
            await SqliteWatched(database).prune(SystemClock().now() + timedelta(days=1))
            await database.close()

        asyncio.run(work())


def require(peer: str) -> None:
    require_peer(peer)
    if is_foreign(peer):
        require_mounts(peer)


@contextmanager
def making_world(
    folder: Path,
    name_server: str,
    peer: str = NEW_PEBBLE,
    settings: Mapping[str, Any] | None = None,
    **certificates: Any,
) -> Iterator[World]:
    require(peer)
    http, tls = free_port(), free_port()
    knobs = Knobs(settings={"httpPort": http, "tlsPort": tls, **(settings or {})})
    (folder / "pebble").mkdir()
    (folder / "root.pem").write_bytes(authority().pem)
    context = running_pebble(peer, folder / "pebble", knobs, name_server)
    with in_background(context) as pebble:
        files = NodeFiles(folder / "node", HOST)
        files.change("dns", resolver=name_server)
        files.set("dns_changes", port=int(name_server.rpartition(":")[2]))
        source = {
            "directory": str(pebble.directory),
            "agree_to_terms": True,
            "trust_file": str(folder / "root.pem"),
        }
        files.set(
            "certificates",
            authorities=[source],
            http_listen=[f"127.0.0.1:{http}"],
            alpn_listen=[f"127.0.0.1:{tls}"],
            **certificates,
        )
        yield World(files, pebble)


def shown(node: RunningNode, name: str | None = HOST) -> x509.Certificate:
    """Give the certificate that a client is shown after STARTTLS."""
    with node.client() as client:
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        client._start(context, name)
        return x509.load_der_x509_certificate(client.certificate)


def wait_shown(node: RunningNode, serial: str, name: str | None = HOST) -> None:
    """Wait until a client is shown it; the next one may still reach a worker that drains."""
    node.wait_for(lambda: f"{shown(node, name).serial_number:x}" == serial, "the new certificate")


@pytest.mark.parametrize("challenge", ["http-01", "tls-alpn-01"])
def test_a_node_gets_its_certificate_and_serves_it(tmp_path: Path, challenge: str) -> None:
    """Until it is there a self-signed one is shown, and that is told loudly."""
    with (
        zones(ZONES) as name_server,
        making_world(tmp_path, name_server, "pebble", challenges=[challenge]) as world,
        running(world.files) as node,
    ):
        node.wait_log(rf"warning: the certificate of {HOST} is self-signed")
        node.wait_log(rf"{HOST} \(ECDSA\): new certificate from CN=Pebble")
        certificate = world.files.command("cert", "list", "--json").document["certificates"][0]
        for name in (HOST, None):
            wait_shown(node, certificate["certificate"]["serial"], name)
        assert certificate["tlsa"]["state"] == "none"
        assert not certificate["renewal"]["due"]
        node.send(tls=False)


def test_dns_01_proves_names_and_wildcards_by_updates(tmp_path: Path) -> None:
    """RFC 8555 §8.4, RFC 2136; one of the names is an alias into another."""
    require_peer("bind9")
    records = {f"{origin}.": text for origin, text in {**ZONES, "example.org": EXAMPLE}.items()}
    records["org."] = ""
    names = ["*.example.org", "mail.example.org"]
    with ExitStack() as stack:
        servers = stack.enter_context(updatable("bind9", tmp_path / "bind", records))
        name_server = f"{servers.primary[0]}:{servers.port}"
        world = stack.enter_context(
            making_world(tmp_path, name_server, challenges=["dns-01"], names=names)
        )
        world.files.change("dns_changes", method="update", key_file=str(servers.key_file))
        node = stack.enter_context(running(world.files))
        for name in (HOST, *names):
            node.wait_log(rf"{name.replace('*', '[*]')} \(ECDSA\): new certificate")
        listed = world.files.command("cert", "list", "--json").document["certificates"]
        assert sorted(each["name"] for each in listed) == sorted([HOST, *names])
        assert all(each["problem"] is None for each in listed)


def test_policies_and_proofs_share_port_443(tmp_path: Path) -> None:
    """RFC 8461 §3.3, RFC 8737 §3: the policy host gets its own certificate over its own port."""
    with (
        zones(ZONES) as name_server,
        making_world(tmp_path, name_server, challenges=["tls-alpn-01"]) as world,
    ):
        listen = world.files.settings["certificates"]["alpn_listen"]
        world.files.set("publishing.mta_sts", domains=["example.org"], listen=listen)
        with running(world.files) as node:
            node.wait_log(r"mta-sts.example.org \(ECDSA\): new certificate from CN=Pebble")
            node.wait_log(rf"{HOST} \(ECDSA\): new certificate from CN=Pebble")
            node.wait_for(lambda: "mta-sts.example.org" in policy_names(world), "its certificate")
            assert fetch_policy(world).startswith("version: STSv1\r\nmode: testing\r\nmx: mx.")


def connect(world: World) -> ssl.SSLSocket:
    """Connect as who fetches a policy does, and take any certificate."""
    listen = world.files.settings["certificates"]["alpn_listen"]
    assert isinstance(listen, list)
    address = str(listen[0])
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    host, _, port = address.rpartition(":")
    plain = socket.create_connection((host, int(port)), PATIENCE)
    return context.wrap_socket(plain, server_hostname="mta-sts.example.org")


def policy_names(world: World) -> list[str]:
    with connect(world) as client:
        found = client.getpeercert(binary_form=True)
    assert found is not None
    names = x509.load_der_x509_certificate(found).extensions
    return [
        str(each)
        for each in names.get_extension_for_class(
            x509.SubjectAlternativeName
        ).value.get_values_for_type(x509.DNSName)
    ]


def fetch_policy(world: World) -> str:
    with connect(world) as client:
        client.sendall(
            b"GET /.well-known/mta-sts.txt HTTP/1.1\r\nHost: mta-sts.example.org\r\n"
            b"Connection: close\r\n\r\n"
        )
        text = b"".join(iter(lambda: client.recv(4096), b"")).decode()
    head, _, body = text.partition("\r\n\r\n")
    assert head.startswith("HTTP/1.1 200 "), head
    return body


@pytest.mark.proof
@pytest.mark.peer("postgresql")
def test_one_node_renews_and_all_switch(tmp_path: Path) -> None:
    """Two nodes over one PostgreSQL: one orders, on whichever the authority comes to look."""
    require_peer("postgresql")
    with ExitStack() as stack:
        server = stack.enter_context(postgres_server())
        name_server = stack.enter_context(zones(ZONES))
        world = stack.enter_context(making_world(tmp_path, name_server))
        other = NodeFiles(tmp_path / "other", HOST, settings=copy.deepcopy(world.files.settings))
        other.change("certificates", http_listen=[f"127.0.0.1:{free_port()}"])
        url = server.create_schema()
        for files in (world.files, other):
            files.change("queue", engine="postgres", url=url)
        nodes = [stack.enter_context(running(files)) for files in (world.files, other)]
        for node in nodes:
            node.wait_log(rf"loaded .*/{HOST}/")
        listed = other.command("cert", "list", "--json").document["certificates"][0]
        first = listed["certificate"]["serial"]
        for node in nodes:
            wait_shown(node, first)
        done = other.command("cert", "renew", HOST, "--json").document["certificates"][0]
        assert done["outcome"] == "done"
        assert done["serial"] != first
        for node in nodes:
            wait_shown(node, done["serial"])
    # Their logs are whole now: one ordered the first, and a command the second.
    assert sum(node.log.count("new certificate") for node in nodes) == 1


def ask(world: World, path: str, document: object) -> None:
    """Tell Pebble's other side something, in a loop of our own."""
    asyncio.run(_manage(world.pebble, path, document))


async def _manage(pebble: Pebble, path: str, document: object) -> None:
    await pebble.manage(path, document)


def test_a_notice_of_revocation_leads_to_renewal(tmp_path: Path) -> None:
    """RFC 9773 §4.2: a window in the past; nobody does anything."""
    with zones(ZONES) as name_server, making_world(tmp_path, name_server) as world:
        with running(world.files) as node:
            node.wait_log(rf"loaded .*/{HOST}/")
            node.wait_for(lambda: world.load().plan is not None, "a plan")
        chain = (world.folder / HOST / "cert.pem").read_text()
        window = {"start": "2020-01-01T00:00:00Z", "end": "2020-01-02T00:00:00Z"}
        notice = {"suggestedWindow": window, "explanationURL": "https://ca.example/incident"}
        ask(world, "set-renewal-info/", {"certificate": chain, "ariResponse": json.dumps(notice)})

        def let_hours_pass(state: CertificateState) -> CertificateState:
            # Pebble wants to be asked every six hours.
            assert state.plan is not None
            past = SystemClock().now() - timedelta(minutes=1)
            return replace(state, plan=replace(state.plan, ask_again=past))

        before = world.load(let_hours_pass).facts
        assert before is not None
        with running(world.files) as node:
            node.wait_log(r"renewing: .* see https://ca.example/incident")
            node.wait_log(rf"{HOST} \(ECDSA\): new certificate")
            after = world.load().facts
            assert after is not None
            assert after.serial != before.serial
            assert after.spki_sha256 == before.spki_sha256
            wait_shown(node, after.serial)


@dataclass
class UpdatedZone:
    """TLSA records at a name server that takes updates."""

    servers: NameServers

    def look(self) -> list[str]:
        where = self.servers.primary
        said = asyncio.run(ask_authority(where, Domain(f"_25._tcp.{HOST}"), "TLSA"))
        assert isinstance(said, Served)
        return sorted(said.values)

    def add(self, spki: str) -> None:
        record = ZoneRecord(Domain(f"_25._tcp.{HOST}"), "TLSA", f"3 1 1 {spki}", 1)
        updater = DnsUpdater(KEY, SystemClock())
        change = updater.update(self.servers.primary, Domain("example.org"), [Add(record)])
        assert asyncio.run(change) is None


def let_caches_forget(state: CertificateState) -> CertificateState:
    """Let the time be over that the next stage waits for."""
    assert state.rollover is not None
    past = SystemClock().now() - timedelta(seconds=1)
    return replace(state, rollover=replace(state.rollover, ready=past))


@pytest.mark.proof
def test_a_key_is_changed_in_step_with_its_tlsa_records(tmp_path: Path) -> None:
    """RFC 7671 §8.1: published by updates, seen at the server, and only then used.

    The node is killed at each wait, and goes on where it was.
    """
    require_peer("bind9")
    records = {"org.": "", "localhost.": "@ A 127.0.0.1", "example.org.": EXAMPLE}
    with ExitStack() as stack:
        servers = stack.enter_context(updatable("bind9", tmp_path / "bind", records))
        zone = UpdatedZone(servers)
        name_server = f"{servers.primary[0]}:{servers.port}"
        world = stack.enter_context(making_world(tmp_path, name_server))
        world.files.change("dns_changes", method="update", key_file=str(servers.key_file))
        with running(world.files) as node:
            node.wait_log(rf"{HOST} \(ECDSA\): new certificate")
            old = world.load().facts
            assert old is not None
            zone.add(old.spki_sha256.hex())
            listed = world.files.command("cert", "list", "--json").document["certificates"]
            assert listed[0]["tlsa"]["state"] == "matches"
            begun = world.files.command("cert", "rollover", HOST, "--json").document
            assert begun["certificates"][0]["outcome"] == "waiting"
            assert len(zone.look()) == 2
            node.stop(signal.SIGKILL)
        assert world.load(let_caches_forget).facts == old
        with running(world.files) as node:
            node.wait_log("key roll-over: the new key is in use")
            new = world.load().facts
            assert new is not None
            assert new.spki_sha256 != old.spki_sha256
            wait_shown(node, new.serial)
            assert len(zone.look()) == 2
            node.stop(signal.SIGKILL)
        world.load(let_caches_forget)
        world.forget_looks()  # else it may wait for the process that was killed to look
        with running(world.files) as node:
            node.wait_log("key roll-over: done")
            assert zone.look() == [f"3 1 1 {new.spki_sha256.hex()}"]


@pytest.mark.proof
def test_an_export_that_others_do_not_have_is_seen(tmp_path: Path) -> None:
    """RFC 7671 §8.1: by it the record of a key before stays, and `status` tells of it."""
    hook = tmp_path / "hook"
    hook.write_text("#!/bin/sh\necho it is busy >&2\nexit 3\n")
    hook.chmod(0o755)
    folder = tmp_path / "export"
    export = [{"folder": str(folder), "hook": str(hook)}]
    with zones(ZONES) as name_server, making_world(tmp_path, name_server, export=export) as world:
        with running(world.files) as node:
            node.wait_log(rf"{HOST} \(ECDSA\): {hook} ended with status 3: it is busy")
            assert (folder / HOST / "combined.pem").exists()
        with running(world.files) as node:  # a new process looks soon

            def is_seen() -> bool:
                listed = world.files.command("cert", "list", "--no-dns", "--json").document
                seen = listed["certificates"][0]["watched"]
                reasons = [each["reason"] for each in seen if each["look"] == "exported"]
                return any(reason.endswith("it is busy") for reason in reasons)

            node.wait_for(is_seen, "what was seen of the export")
