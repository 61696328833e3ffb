"""A certificate for the servers that are measured: P-256, by an authority made for this run."""

from pathlib import Path

from letterlock.base.clock import SystemClock
from letterlock.protocols.pki.throwaway_ca import ThrowawayCa


def write_certificate(folder: Path) -> tuple[Path, Path]:
    """Write a chain and its key; gives their files."""
    now = SystemClock().now()
    issued = ThrowawayCa("Bench CA", now).issue(["mx.bench.example"], now=now)
    chain, key = folder / "chain.pem", folder / "key.pem"
    chain.write_bytes(issued.chain_pem)
    key.touch(mode=0o600)
    key.write_bytes(issued.key_pem)
    return chain, key
