"""`check --deep` and testssl.sh look at the same servers, and see the same of them.

RFC 9325 §3 and §4, RFC 5280 §6: versions, suites, and what a chain is worth. Debian's testssl.sh is
told two things here. Where its tables are: without them it asks by OpenSSL alone, and is wrong
about TLS 1.3. And a folder with our authority, in the place of its own lists: without it no chain
of the tests leads anywhere. It ends with 0 to 49 where it went through, by how bad the server is.
"""

import asyncio
import json
import os
import ssl
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import AuthorityInformationAccessOID

from letterlock.base.clock import SystemClock
from letterlock.network.probes import ProbeQuestion, ProbeTerms, probe_service
from letterlock.protocols.check.deep import VERSIONS, DeepFacts, Offered
from letterlock.protocols.check.facts import AskedSni
from letterlock.protocols.check.openings import Speech
from letterlock.protocols.pki.anchors import TrustAnchors
from letterlock.protocols.pki.chain import judge_chain
from letterlock.protocols.pki.throwaway_ca import Shape, ThrowawayCa, self_signed
from letterlock.protocols.tls.client_hello import TLS_1_2, TLS_1_3
from letterlock.protocols.tls.handshake import Handshake
from letterlock.protocols.tls.hello_writer import SSL_3_0, TLS_1_0, TLS_1_1
from tests.interop.background import in_background
from tests.interop.test_check_deep import HOST, look
from tests.misbehaving import Conduct, Server, TlsConduct, serving
from tests.network.certificates import NOW, authority, issue
from tests.peers import MISSING, UNPACKED, miss_peer, program

pytestmark = [pytest.mark.proof, pytest.mark.peer("testssl", "openssl")]

DAY = timedelta(days=1)
SECONDS = 1200
"""For one server, on a machine that has much else to do; it takes a minute on one that has not."""
FEW = (
    "ECDHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-CHACHA20-POLY1305:ECDHE-RSA-AES128-SHA:AES128-SHA:"
    "AECDH-AES128-SHA:AES256-GCM-SHA384:@SECLEVEL=0"
)
OLD = TlsConduct(ciphers=FEW, versions=(ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_2))
THEIR_VERSIONS = {
    "SSLv3": SSL_3_0,
    "TLS1": TLS_1_0,
    "TLS1_1": TLS_1_1,
    "TLS1_2": TLS_1_2,
    "TLS1_3": TLS_1_3,
}


@dataclass(frozen=True, slots=True)
class Seen:
    """A server, and what testssl.sh says of it, by its ids."""

    server: Server
    theirs: Mapping[str, str]


def make_conducts() -> dict[str, Conduct]:
    below = authority().intermediate("Below", now=NOW)
    # As those of public authorities do, it says where its issuer's certificate is.
    place = x509.UniformResourceIdentifier("http://ca.example/below.crt")
    issuer = x509.AccessDescription(AuthorityInformationAccessOID.CA_ISSUERS, place)
    told = Shape(extensions=(x509.AuthorityInformationAccess([issuer]),))
    cut = below.issue((HOST,), now=NOW, shape=told)
    stranger = ThrowawayCa("Stranger", NOW).issue((HOST,), now=NOW)
    past = Shape(not_before=NOW - 30 * DAY, not_after=NOW - DAY)
    return {
        "new": Conduct(issue((HOST,), "ec")),
        "old": Conduct(issue((HOST,), "rsa"), OLD),
        "self-signed": Conduct(self_signed((HOST,), now=NOW)),
        "expired": Conduct(authority().issue((HOST,), now=NOW, shape=past)),
        "cut": Conduct(replace(cut, chain=cut.chain[:1])),
        "stranger": Conduct(stranger),
    }


def find_tables() -> Path:
    folders = (UNPACKED / "testssl/etc/testssl", Path("/etc/testssl"))
    found = [each for each in folders if (each / "tls_data.txt").is_file()]
    if found:
        return found[0]
    return miss_peer(f"{MISSING}testssl (no tables in /etc/testssl): install its package anew")


def start(folder: Path, tables: Path, name: str, server: Server) -> subprocess.Popen[str]:
    """Have it look at a server: at all suites of those that have few."""
    parts = ["-p", "-E"] if name in ("new", "old") else []
    words = [
        *("--quiet", "--color", "0", "--warnings", "off", "--nodns", "none", "--ip", server.ip),
        *("-t", "smtp", "--openssl", program("openssl"), "--jsonfile", folder / f"{name}.json"),
        *(*parts, "-S", f"{HOST}:{server.port}"),
    ]
    surroundings = os.environ | {
        "TESTSSL_INSTALL_DIR": str(tables),
        "CA_BUNDLES_PATH": str(folder / "authorities"),
        "HOME": str(folder),
        "PATH": f"{program('hexdump', 'testssl').parent}:{os.environ['PATH']}",
    }
    return subprocess.Popen(
        [program("testssl", "testssl"), *map(str, words)],
        env=surroundings,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Seen]]:
    folder, tables = tmp_path_factory.mktemp("testssl"), find_tables()
    (folder / "authorities").mkdir()
    (folder / "authorities/lab.pem").write_bytes(authority().pem)
    conducts = make_conducts()
    with in_background(serving(*conducts.values())) as found:
        servers = dict(zip(conducts, found, strict=True))
        running = {name: start(folder, tables, name, server) for name, server in servers.items()}
        try:
            for process in running.values():
                said = process.communicate(timeout=SECONDS)[0]
                assert process.returncode < 50, said
        finally:
            for process in running.values():
                process.kill()
                process.wait()
        yield {
            name: Seen(server, read(folder / f"{name}.json")) for name, server in servers.items()
        }


def read(path: Path) -> dict[str, str]:
    return {each["id"]: each["finding"] for each in json.loads(path.read_text())}


@pytest.fixture(scope="module")
def ours(seen: dict[str, Seen]) -> dict[str, DeepFacts]:
    async def look_at(name: str) -> DeepFacts:
        server = seen[name].server
        return await look(server.ip, server.port, connections=300)

    return {name: asyncio.run(look_at(name)) for name in ("new", "old")}


@pytest.mark.parametrize("name", ["new", "old"])
def test_the_versions(name: str, seen: dict[str, Seen], ours: dict[str, DeepFacts]) -> None:
    theirs = seen[name].theirs
    for their_id, version in THEIR_VERSIONS.items():
        is_offered = theirs[their_id].startswith("offered")
        found = ours[name].tls.find(version)
        assert found is (Offered.YES if is_offered else Offered.NO), (VERSIONS[version], theirs)


@pytest.mark.parametrize(
    ("name", "version", "word"),
    [("new", TLS_1_3, "tls1_3"), ("new", TLS_1_2, "tls1_2"), ("old", TLS_1_2, "tls1_2")],
)
def test_the_suites(
    name: str, version: int, word: str, seen: dict[str, Seen], ours: dict[str, DeepFacts]
) -> None:
    start_of_id = f"cipher-{word}_x"
    theirs = {
        int(each.removeprefix(start_of_id), 16)
        for each in seen[name].theirs
        if each.startswith(start_of_id)
    }
    assert theirs
    assert {each.suite for each in ours[name].tls.suites if each.version == version} == theirs


@pytest.mark.parametrize(
    ("name", "reasons", "verdict"),
    [
        ("new", [], "passed"),
        ("old", [], "passed"),
        ("self-signed", ["self-signed-certificate"], "failed (self signed)"),
        ("expired", ["expired"], "failed (expired)"),
        ("cut", ["missing-intermediate"], "failed (chain incomplete)"),
        ("stranger", ["unknown-issuer"], "failed (chain incomplete)"),
    ],
)
def test_what_the_chain_is_worth(
    name: str, reasons: list[str], verdict: str, seen: dict[str, Seen]
) -> None:
    """RFC 5280 §6."""
    server = seen[name].server
    terms = ProbeTerms("checker.example", SystemClock(), SECONDS)
    question = ProbeQuestion(AskedSni.OWN, HOST)
    asking = probe_service((server.ip, server.port), Speech.SMTP, question, terms)
    handshake = asyncio.run(asking).handshake
    assert isinstance(handshake, Handshake)
    anchors = TrustAnchors.from_pem(authority().pem)
    found = judge_chain(handshake.chain, anchors, SystemClock().now()).findings
    assert [each.reason_code for each in found] == reasons
    assert seen[name].theirs["cert_chain_of_trust"].startswith(verdict)
