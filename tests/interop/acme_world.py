"""The world that ACME clients of others need around an authority: names, a hook for TXT records.

Each client has an address of its own on loopback, where it answers for its names at the ports that
the authority looks at: so one authority serves them all. How they change DNS is one shell program,
which tells a server of the test's.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509

from letterlock.base.domains import Domain
from letterlock.network.zone_records import ZoneRecord
from letterlock.network.zone_server import ZoneServer
from tests.accepting import accepting
from tests.interop.pebble import ZoneChanger

ADDRESSES = {
    "certbot": "127.0.0.21",
    "lego": "127.0.0.22",
    "dehydrated": "127.0.0.23",
    "caddy": "127.0.0.24",
    "autocert": "127.0.0.25",
}
LABELS = ("mx1", "mx2", "mx3", "mx4")
"""Each client has these names: `mx1.lego.example.org`..."""
ZONE = "example.org"
KID = "kid-1"
MAC_KEY = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W"

_HOOK = r"""#!/bin/bash
# Called by lego (present, cleanup), dehydrated (deploy_challenge, clean_challenge) and certbot.
case "$1" in
present) say="add $2 $3" ;;
cleanup) say="remove $2 $3" ;;
deploy_challenge) say="add _acme-challenge.$2. $4" ;;
clean_challenge) say="remove _acme-challenge.$2. $4" ;;
certbot-add) say="add _acme-challenge.$CERTBOT_DOMAIN. $CERTBOT_VALIDATION" ;;
certbot-remove) say="remove _acme-challenge.$CERTBOT_DOMAIN. $CERTBOT_VALIDATION" ;;
*) exit 0 ;;
esac
exec 3<>/dev/tcp/127.0.0.1/@PORT@ || exit 1
echo "$say" >&3
read -r answer <&3
[ "$answer" = done ]
"""


@dataclass(frozen=True)
class AcmeWorld:
    """An authority that runs, and how clients get at it."""

    authority: str
    """Which one it is: `letterlock`, or a Pebble."""
    folder: Path
    directory: str
    trust: Path
    """PEM: who the directory's own certificate is trusted by."""
    roots: Path
    """PEM: those that its certificates end at."""
    resolver: str
    http_port: int
    tls_port: int
    hook: Path
    is_revoked: Callable[[x509.Certificate], bool]
    """Does the authority tell everybody that this one is revoked?"""
    hasten: Callable[[x509.Certificate], None]
    """Have the authority want this one renewed at once (RFC 9773 §4.2)."""
    profile: str
    """One that is not the default."""
    other_top: str
    """The common name at the top of an alternate chain; empty where there is none."""
    kid: str = KID
    """An account elsewhere that it knows, by which accounts can be bound, and its key."""
    mac_key: str = MAC_KEY

    def make_folder(self, name: str) -> Path:
        """Make an empty folder for a client."""
        path = self.folder / name
        path.mkdir()
        return path


def name_of(client: str, label: str = LABELS[0]) -> str:
    """Give a name of a client's, at its own address."""
    return f"{label}.{client}.{ZONE}"


def add_names(zone: ZoneServer) -> None:
    """Give the clients' names their addresses."""
    for client, address in ADDRESSES.items():
        for owner in (f"{client}.{ZONE}", *(name_of(client, label) for label in LABELS)):
            zone.set(owner, "A", address)


@asynccontextmanager
async def dns_hook(zone: ZoneServer, folder: Path) -> AsyncIterator[Path]:
    """Have a program that clients call to add and to remove a TXT record; gives its path."""
    changer = ZoneChanger(zone)

    async def change(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        verb, name, value = (await reader.readline()).decode().split()
        record = ZoneRecord(Domain(name.rstrip(".").lower()), "TXT", value, ttl=1)
        await (changer.add(record) if verb == "add" else changer.remove(record))
        writer.write(b"done\n")
        await writer.drain()

    async with accepting(change) as port:
        hook = folder / "dns-hook.sh"
        hook.write_text(_HOOK.replace("@PORT@", str(port)), encoding="ascii")
        hook.chmod(0o755)
        yield hook
