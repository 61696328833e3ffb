"""What `policy serve` finds policies in when it is measured: DNS, and each domain's policy host.

`python -m benchmarks.policy_world FOLDER WARM COLD` runs until killed: domains `warm0.example` and
`cold0.example` and so on, each with an MX host and an enforcing MTA-STS policy. It writes the
authority to trust into FOLDER, and when all answers, `settings.toml`.
"""

import asyncio
import socket
import sys
from pathlib import Path

from letterlock.base.clock import SystemClock
from letterlock.base.domains import Domain
from letterlock.network.policy_host import PolicyHost
from letterlock.network.server_certificates import ServerCertificates
from letterlock.network.zone_server import ZoneServer
from letterlock.node.niceness import give_way
from letterlock.protocols.pki.throwaway_ca import ThrowawayCa

NAMES_IN_A_CERTIFICATE = 50
"""As at a provider; with all of them in one, each handshake would carry it."""
NICENESS = 5
"""It stands for machines elsewhere, and shares the ones that are measured."""


async def main(folder: Path, warm: int, cold: int) -> None:
    """Run it."""
    domains = [f"warm{number}.example" for number in range(warm)]
    domains += [f"cold{number}.example" for number in range(cold)]
    certificates = ServerCertificates(_write_certificates(folder, domains))
    # A zone for each: the server looks through all names of one.
    zones = ZoneServer({domain: _records(domain) for domain in domains})
    address, port = await zones.start()
    listener = socket.create_server(("127.0.0.1", 0), backlog=256)
    host = PolicyHost(_find_policy, certificates, SystemClock())
    settings = f'[dns]\nresolver = "{address}:{port}"\n[mta_sts]\n'
    settings += f"port = {listener.getsockname()[1]}\nprivate_addresses = true\n"
    settings += f'[policy]\ntrust_files = ["{folder / "ca.pem"}"]\n'
    give_way(NICENESS)
    (folder / "new").write_text(settings)
    (folder / "new").rename(folder / "settings.toml")
    await host.run([listener])


def _records(domain: str) -> str:
    return (
        "@ MX 10 mx\nmx A 127.0.0.1\nmta-sts A 127.0.0.1\n"
        f'_mta-sts TXT "v=STSv1; id={domain.partition(".")[0]};"\n'
    )


def _find_policy(domain: Domain) -> bytes:
    return f"version: STSv1\nmode: enforce\nmx: mx.{domain}\nmax_age: 604800\n".encode()


def _write_certificates(folder: Path, domains: list[str]) -> list[tuple[Path, Path]]:
    now = SystemClock().now()
    authority = ThrowawayCa("Bench CA", now)
    (folder / "ca.pem").write_bytes(authority.pem)
    pairs = []
    for number, at in enumerate(range(0, len(domains), NAMES_IN_A_CERTIFICATE)):
        names = domains[at : at + NAMES_IN_A_CERTIFICATE]
        issued = authority.issue([f"mta-sts.{name}" for name in names], now=now)
        chain, key = folder / f"{number}.pem", folder / f"{number}.key"
        chain.write_bytes(issued.chain_pem)
        key.touch(mode=0o600)
        key.write_bytes(issued.key_pem)
        pairs.append((chain, key))
    return pairs


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), *map(int, sys.argv[2:])))
