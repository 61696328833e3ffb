"""BIND and Knot as primaries that take updates, with a Knot as the secondary, on loopback."""

import textwrap
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from letterlock.base.domains import Domain
from letterlock.protocols.dns.tsig_keys import TsigAlgorithm, TsigKey
from tests.dnssec_lab.lab import serving
from tests.peers import program

PRIMARY, SECONDARY = "127.0.0.1", "127.0.0.2"
UPDATABLE = ("bind9", "knot")
KEY = TsigKey(Domain("acme-key"), TsigAlgorithm.HMAC_SHA256, b"0123456789abcdef0123456789abcdef")
KEYS = (
    KEY,
    TsigKey(Domain("key384.example.org"), TsigAlgorithm.HMAC_SHA384, b"3" * 48),
    TsigKey(Domain("key512"), TsigAlgorithm.HMAC_SHA512, b"5" * 64),
)
"""What the servers know. All may change TXT and TLSA records, in any zone."""

_HEAD = """\
$TTL 60
@ SOA ns1 hostmaster 1 3600 600 86400 5
@ NS ns1
ns1 A 127.0.0.1
"""

_NAMED = """\
options {{
  directory "{folder}";
  pid-file "{folder}/named.pid";
  session-keyfile none;
  managed-keys-directory "{folder}";
  listen-on port {port} {{ {ip}; }};
  listen-on-v6 {{ none; }};
  recursion no;
  dnssec-validation no;
  notify explicit;
  also-notify {{ {notified} }};
  notify-delay 0;
  allow-transfer {{ 127.0.0.0/8; }};
  tcp-clients 50;
}};
controls {{ }};
"""

_KNOT = """\
server:
    rundir: {folder}
    listen: {ip}@{port}
    tcp-workers: 1
    udp-workers: 1
    background-workers: 1
database:
    storage: {folder}
log:
  - target: stderr
    any: info
{keys}remote:
  - id: other
    address: {other}@{port}
acl:
  - id: transfers
    address: 127.0.0.0/8
    action: transfer
"""


@dataclass(frozen=True, slots=True)
class NameServers:
    """A primary, and a secondary on the same port if there is one."""

    folder: Path
    port: int

    @property
    def primary(self) -> tuple[str, int]:
        return PRIMARY, self.port

    @property
    def key_file(self) -> Path:
        """Where the first of the keys is, for our own side."""
        return self.folder / "acme.key"


@contextmanager
def updatable(
    peer: str, folder: Path, zones: Mapping[str, str], *, has_secondary: bool = False
) -> Iterator[NameServers]:
    """Serve zones (`example.org.` -> lines of a zone file) with this peer as the primary.

    Each zone has a SOA and the server `ns1`; with a secondary `ns2` too. The secondary is Knot:
    BIND listens only at addresses that an interface has been given.
    """
    folder.mkdir(exist_ok=True)
    write_key(folder / "acme.key", KEY)
    write = {"bind9": _write_named, "knot": _write_knot}[peer]
    for origin, records in zones.items():
        head = _HEAD + ("@ NS ns2\nns2 A 127.0.0.2\n" if has_secondary else "")
        path = folder / f"{origin}zone"
        path.write_text(f"{head}{textwrap.dedent(records)}\n", encoding="ascii")
        path.chmod(0o644)
    some_zone = next(iter(zones))

    def start(port: int) -> Sequence[str]:
        return write(folder, port, zones, has_secondary)

    with serving(peer, folder, start, None, PRIMARY, some_zone) as port:
        if not has_secondary:
            yield NameServers(folder, port)
            return
        other = folder / "secondary"
        other.mkdir()
        with serving("knot", other, _secondary(other, zones), port, SECONDARY, some_zone):
            yield NameServers(folder, port)


def write_key(path: Path, key: TsigKey) -> None:
    """Write a key file as `nsupdate -y` takes it."""
    path.touch(mode=0o600)
    path.write_text(f"{key.algorithm}:{key.name}:{b64encode(key.secret).decode()}\n", "ascii")


def _write_named(
    folder: Path, port: int, zones: Mapping[str, str], has_secondary: bool
) -> Sequence[str]:
    notified = f"127.0.0.2 port {port};" if has_secondary else ""
    text = _NAMED.format(folder=folder, ip=PRIMARY, port=port, notified=notified)
    for key in KEYS:
        text += (
            f'key "{key.name}" {{ algorithm {key.algorithm};'
            f' secret "{b64encode(key.secret).decode()}"; }};\n'
        )
    grants = "".join(f"grant {key.name} zonesub TXT TLSA; " for key in KEYS)
    for origin in zones:
        text += (
            f'zone "{origin}" {{ type primary; file "{folder}/{origin}zone";'
            f" update-policy {{ {grants} }}; }};\n"
        )
    return _named(folder, text)


def _secondary(folder: Path, zones: Mapping[str, str]) -> Callable[[int], Sequence[str]]:
    def write(port: int) -> Sequence[str]:
        text = _KNOT.format(folder=folder, ip=SECONDARY, port=port, other=PRIMARY, keys="")
        text += "  - id: notifies\n    address: 127.0.0.0/8\n    action: notify\nzone:\n"
        for origin in zones:
            text += f"  - domain: {origin}\n    storage: {folder}\n"
            text += "    master: other\n    acl: notifies\n"
        return _knotd(folder, text)

    return write


def _named(folder: Path, text: str) -> Sequence[str]:
    config = folder / "named.conf"
    config.write_text(text, encoding="ascii")
    # -n: of what takes memory there is one for each core.
    words = ("-g", "-n", "1", "-X", "none", "-c", config)
    return (str(program("named", "bind9")), *map(str, words))


def _write_knot(
    folder: Path, port: int, zones: Mapping[str, str], has_secondary: bool
) -> Sequence[str]:
    keys = "key:\n" + "".join(
        f"  - id: {key.name}\n    algorithm: {key.algorithm}\n"
        f"    secret: {b64encode(key.secret).decode()}\n"
        for key in KEYS
    )
    text = _KNOT.format(folder=folder, ip=PRIMARY, port=port, other=SECONDARY, keys=keys)
    for key in KEYS:
        text += f"  - id: {key.name}\n    key: {key.name}\n    action: update\n"
        text += "    update-type: [TXT, TLSA]\n"
    acls = ", ".join(("transfers", *(key.name for key in KEYS)))
    text += "zone:\n"
    for origin in zones:
        text += f"  - domain: {origin}\n    storage: {folder}\n    file: {origin}zone\n"
        text += f"    acl: [{acls}]\n"
        text += "    notify: other\n" if has_secondary else ""
    return _knotd(folder, text)


def _knotd(folder: Path, text: str) -> Sequence[str]:
    config = folder / "knot.conf"
    config.write_text(text, encoding="ascii")
    return (str(program("knotd", "knot")), "-c", str(config))
