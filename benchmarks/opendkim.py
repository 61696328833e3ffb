"""OpenDKIM as Postfix's milter: what signs beside us. And whether what a server sends is signed."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from benchmarks.processes import free_port, running, wait_for_port
from letterlock.base.clock import SystemClock
from letterlock.base.domains import Domain
from letterlock.protocols.dkim.results import DkimResult
from letterlock.protocols.dkim.signing import SigningKey
from letterlock.protocols.dkim.verifying import Verifier

DOMAIN = Domain("sender.example")
"""Of the From field that the loader sends."""
SELECTOR = Domain("bench")

# As Debian ships it, without syslog; relaxed for the body too, as we do.
_CONFIG = """\
Mode s
Domain {domain}
Selector {selector}
KeyFile {key}
Socket inet:{port}@127.0.0.1
Canonicalization relaxed/relaxed
OversignHeaders From
InternalHosts 127.0.0.0/8
Syslog no
Background no
AutoRestart no
RequireSafeKeys no
"""


@dataclass(frozen=True, slots=True)
class DkimKey:
    """An RSA key in a file, and its record in DNS."""

    path: Path
    record: bytes


def why_not() -> str | None:
    """Say why OpenDKIM can't be run here; None: it can."""
    return None if shutil.which("opendkim") else "OpenDKIM is not installed (make peers)"


def write_key(folder: Path) -> DkimKey:
    """Make the key that all servers sign with, of 2048 bits."""
    key, path = generate_private_key(65537, 2048), folder / "dkim.pem"
    path.touch(mode=0o600)
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return DkimKey(path, SigningKey(DOMAIN, SELECTOR, key).record.encode())


@contextmanager
def opendkim(folder: Path, key: Path) -> Iterator[tuple[int, int]]:
    """Run it; gives its port and its process number."""
    folder.mkdir(parents=True, exist_ok=True)
    port, config, log = free_port(), folder / "opendkim.conf", folder / "opendkim.log"
    config.write_text(_CONFIG.format(domain=DOMAIN, selector=SELECTOR, key=key, port=port))
    with running(["opendkim", "-f", "-x", str(config)], log) as pid:
        wait_for_port(port, log)
        yield port, pid


def require_signatures(message: bytes, record: bytes) -> None:
    """Check that a message has good signatures by the key. Raises RuntimeError."""
    header, _, body = message.partition(b"\r\n\r\n")
    verifier = Verifier(header + b"\r\n", SystemClock().now())
    verifier.receive(body)
    results = verifier.finish(dict.fromkeys(verifier.key_names, (record,)))
    if not any(each.result is DkimResult.PASS for each in results):
        raise RuntimeError(f"what arrives is not signed: {results}")
