"""The authorities that other's clients are tried at: ours, and a Pebble to compare it with."""

import json
import ssl
import urllib.request
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from tests.interop.acme_world import KID, MAC_KEY, AcmeWorld, add_names, dns_hook
from tests.interop.pebble import PATIENCE, Knobs, Pebble, running_pebble
from tests.network.certificates import authority
from tests.peers import is_foreign, require_mounts, require_peer

NEW_PEBBLE = "pebble-2.10"
"""With profiles and renewal information. Two clients of Debian cannot have certificates from it:
its answer to finalize has no Location, where x/crypto 0.4 reads the order's place; and its
Retry-After is by chance a date, which acmez (caddy) took for an error then. Neither is forbidden:
RFC 8555 §7.4 only shows a Location there, and RFC 9110 §10.2.3 has both forms."""
OLD_PEBBLE = "pebble"

_PROFILE = "shortlived"
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
    require_peer(name)
    if is_foreign(name):
        require_mounts(name)
    return _pebble_world(name, folder)


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
            resolver=pebble.resolver,
            http_port=pebble.http_port,
            tls_port=pebble.tls_port,
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
