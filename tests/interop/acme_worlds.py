"""The authorities that other's clients are tried at: ours, and a Pebble to compare it with."""

import asyncio
import json
import ssl
import time
import urllib.request
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from letterlock.base.clock import SystemClock
from letterlock.network.zone_server import ZoneServer
from letterlock.protocols.pki.throwaway_ca import ThrowawayCa
from tests.authority_running import AuthorityFiles, running_authority
from tests.free_ports import free_port
from tests.interop.acme_world import KID, MAC_KEY, ZONE, AcmeWorld, add_names, dns_hook
from tests.interop.pebble import PATIENCE, Knobs, Pebble, running_pebble
from tests.network.certificates import authority
from tests.peers import is_foreign, require_mounts, require_peer

OURS = "letterlock"
NEW_PEBBLE = "pebble-2.10"
"""With profiles and renewal information. Two clients of Debian cannot have certificates from it:
its answer to finalize has no Location, where x/crypto 0.4 reads the order's place; and its
Retry-After is by chance a date, which acmez (caddy) took for an error then. Neither is forbidden:
RFC 8555 §7.4 only shows a Location there, and RFC 9110 §10.2.3 has both forms."""
OLD_PEBBLE = "pebble"

_PROFILE = "shortlived"
OTHER_ROOT = "Another Root"
_KNOBS = Knobs(
    # certbot tries once more only, lego's and acmez' patience is small too.
    nonce_refusals=0,
    alternate_roots=1,
    # dehydrated sends what the ACME of before 2018 wanted.
    is_strict=False,
    settings={
        "externalAccountMACKeys": {KID: MAC_KEY},
        "profiles": {
            "default": {"description": "as ever", "validityPeriod": 7776000},
            _PROFILE: {"description": "six days", "validityPeriod": 518400},
        },
    },
)


def running_world(name: str, folder: Path) -> AbstractAsyncContextManager[AcmeWorld]:
    """Run the authority of this name, and what clients need around it."""
    if name == OURS:
        return _own_world(folder)
    require_peer(name)
    if is_foreign(name):
        require_mounts(name)
    return _pebble_world(name, folder)


@asynccontextmanager
async def running_own(
    folder: Path, resolver: str, ports: tuple[int, int]
) -> AsyncIterator["OwnOperator"]:
    """Run an authority of ours, whose certificates can be had with two chains.

    `ports` are where it looks for http-01 and tls-alpn-01.
    """
    files = AuthorityFiles(folder / "authority", resolver=resolver, ports=ports)
    other = await asyncio.to_thread(_make, files)
    context = running_authority(files)
    running = await asyncio.to_thread(context.__enter__)
    try:
        yield OwnOperator(files, running.directory, running.crl_port, other.pem)
    finally:
        await asyncio.to_thread(context.__exit__, None, None, None)


@asynccontextmanager
async def _own_world(folder: Path) -> AsyncIterator[AcmeWorld]:
    zone = ZoneServer({ZONE: "@ A 127.0.0.1"})
    host, port = await zone.start()
    add_names(zone)
    resolver, ports = f"{host}:{port}", (free_port(), free_port())
    async with (
        running_own(folder, resolver, ports) as operator,
        dns_hook(zone, folder) as hook,
    ):
        external = await operator.make_account_key()
        roots = folder / "roots.pem"
        roots.write_bytes(operator.files.root.read_bytes() + operator.other_root)
        yield AcmeWorld(
            authority=OURS,
            folder=folder,
            directory=operator.directory,
            trust=operator.files.root,
            roots=roots,
            resolver=resolver,
            http_port=ports[0],
            tls_port=ports[1],
            hook=hook,
            is_revoked=operator.is_revoked,
            hasten=operator.hasten,
            profile=_PROFILE,
            other_top=OTHER_ROOT,
            kid=external["key_id"],
            mac_key=external["key"],
        )
    await zone.close()


def _make(files: AuthorityFiles) -> ThrowawayCa:
    """Make an authority of ours, whose certificates can be had with another root's chain too."""
    files.make()
    now = SystemClock().now()
    other, issuing = ThrowawayCa(OTHER_ROOT, now), files.keys / "issuing.pem"
    (files.keys / "cross.pem").write_bytes(_certify(other, issuing, now))
    key = {"certificate": str(issuing), "root": str(files.root)}
    key |= {"key": str(files.keys / "issuing.key")}
    key |= {"passphrase_file": str(files.keys / "issuing.passphrase")}
    files.change("ca", issuers=[{**key, "alternates": [str(files.keys / "cross.pem")]}])
    files.write()
    return other


def _certify(root: ThrowawayCa, path: Path, now: datetime) -> bytes:
    """Certify an authority by another root: the same name, key and extensions."""
    issuing = x509.load_pem_x509_certificate(path.read_bytes())
    builder = (
        x509.CertificateBuilder()
        .subject_name(issuing.subject)
        .issuer_name(root.issued.certificate.subject)
        .public_key(issuing.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(issuing.not_valid_before_utc)
        .not_valid_after(now + timedelta(days=365))
    )
    authority_key = x509.AuthorityKeyIdentifier.from_issuer_public_key(root.issued.key.public_key())
    for each in issuing.extensions:
        is_other = isinstance(each.value, x509.AuthorityKeyIdentifier)
        builder = builder.add_extension(authority_key if is_other else each.value, each.critical)
    key = root.issued.key
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)


@dataclass
class OwnOperator:
    """An authority of ours that runs: what its operator does, and what those see who verify.

    `other_root` is the second root that its certificates can lead to, in PEM.
    """

    files: AuthorityFiles
    directory: str
    crl_port: int
    other_root: bytes

    async def make_account_key(self) -> dict[str, Any]:
        """Give a `key_id` and a `key` for an account."""
        return await asyncio.to_thread(self._command, "ca", "account-key", "somebody")

    async def is_revoked_soon(self, certificate: x509.Certificate) -> bool:
        return await asyncio.to_thread(self.is_revoked, certificate)

    async def hasten_soon(self, certificate: x509.Certificate) -> None:
        await asyncio.to_thread(self.hasten, certificate)

    def hasten(self, certificate: x509.Certificate) -> None:
        """Have an incident of it."""
        words = ("--why", "a test", "--renew-by", "5d", "--enable")
        self._command("ca", "incident", "create", f"{certificate.serial_number:x}", *words)

    def is_revoked(self, certificate: x509.Certificate) -> bool:
        """Look into the CRL that the certificate names, until it is there: soon."""
        points = certificate.extensions.get_extension_for_class(x509.CRLDistributionPoints).value
        path = urlsplit(str((points[0].full_name or [])[0].value)).path
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            with urllib.request.urlopen(
                f"http://127.0.0.1:{self.crl_port}{path}", timeout=PATIENCE
            ) as response:
                crl = x509.load_der_x509_crl(response.read())
            if crl.get_revoked_certificate_by_serial_number(certificate.serial_number) is not None:
                return True
            time.sleep(0.05)
        return False

    def _command(self, *words: str) -> dict[str, Any]:
        answer = self.files.command(*words, "--json")
        assert answer.code == 0, answer
        return answer.document


@asynccontextmanager
async def _pebble_world(peer: str, folder: Path) -> AsyncIterator[AcmeWorld]:
    async with (
        running_pebble(peer, folder, _KNOBS) as pebble,
        dns_hook(pebble.zone, folder) as hook,
    ):
        add_names(pebble.zone)
        trust = folder / "trust.pem"
        trust.write_bytes(authority().pem)
        asking = _Management(pebble, trust)
        roots = folder / "roots.pem"
        pems = [(await pebble.manage(f"roots/{number}")).body for number in range(2)]
        roots.write_bytes(b"\n".join(pems))
        other = x509.load_pem_x509_certificate(pems[1])
        yield AcmeWorld(
            authority=peer,
            folder=folder,
            directory=pebble.directory.text,
            trust=trust,
            roots=roots,
            resolver=pebble.around.resolver,
            http_port=pebble.around.http_port,
            tls_port=pebble.around.tls_port,
            hook=hook,
            is_revoked=asking.is_revoked,
            hasten=asking.hasten,
            profile=_PROFILE,
            other_top=str(other.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value),
        )


class _Management:
    """Pebble's other side, for tests that have no event loop."""

    def __init__(self, pebble: Pebble, trust: Path) -> None:
        self._place = pebble.management.text
        self._trust = trust

    def is_revoked(self, certificate: x509.Certificate) -> bool:
        found = self._ask(f"cert-status-by-serial/{certificate.serial_number:x}")
        return bool(found["Status"] == "Revoked")

    def hasten(self, certificate: x509.Certificate) -> None:
        window = {"start": "2026-01-01T00:00:00Z", "end": "2026-01-02T00:00:00Z"}
        pem = certificate.public_bytes(Encoding.PEM).decode("ascii")
        answer = {"suggestedWindow": window}
        told = {"certificate": pem, "ARIResponse": json.dumps(answer)}
        self._ask("set-renewal-info/", json.dumps(told).encode())

    def _ask(self, path: str, body: bytes | None = None) -> Mapping[str, Any]:
        request = urllib.request.Request(self._place + path, body)
        context = ssl.create_default_context(cafile=self._trust)
        with urllib.request.urlopen(request, timeout=PATIENCE, context=context) as response:
            octets = response.read()
        found: Mapping[str, Any] = json.loads(octets) if octets else {}
        return found
