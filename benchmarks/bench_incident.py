"""An incident that affects very many certificates: revoked at its deadline, with ACME going on.

Our authority has that many certificates in its database (copies of a real one with other serial
numbers) and an incident of all of them, whose deadline is over at once. Clients order all the
while. It ends when the last one is revoked.
"""

import argparse
import asyncio
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.acme_load import LoadFigures
from benchmarks.authorities import MeasuredAuthority, running_letterlock, running_names
from letterlock.base.clock import SystemClock
from letterlock.storage.ca.changes import AddCertificate, AddSerial
from letterlock.storage.ca.kept import Issued, ReservedSerial
from letterlock.storage.sqlite.ca.store import SqliteAuthority

CLIENTS = 16
ORDERS = 32
"""In a turn of the clients."""
AT_A_TIME = 1000
RENEW_BY_SECONDS = 30
MAX_SECONDS = 1800.0
_FIRST_SERIAL = (1 << 128) + 1
"""Its first octet is the shard: 1, as there is one."""
_STEP = 7919


@dataclass(frozen=True, slots=True)
class Turn:
    """A turn of the clients, behind which so many certificates were revoked."""

    moment: float
    revoked: int
    figures: LoadFigures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--certificates", type=int, default=10_000, help="(%(default)s)")
    # `make bench` gives all benchmarks the same options.
    options, _ = parser.parse_known_args()
    count = options.certificates
    print(
        f"an incident: {os.cpu_count()} cores, Python {platform.python_version()}, load average "
        f"{os.getloadavg()[0]:.1f} at the start"
    )
    with tempfile.TemporaryDirectory(prefix="letterlock-bench-") as name, ExitStack() as stack:
        folder = Path(name)
        ports = stack.enter_context(running_names(folder))
        ours = stack.enter_context(running_letterlock(folder / "ours", *ports))
        ours.issue(CLIENTS, CLIENTS)
        before = ours.issue(ORDERS, CLIENTS)
        assert ours.database is not None
        asyncio.run(_fill(ours.database, count))
        config = folder / "ours" / "letterlock.toml"
        began = time.monotonic()
        words = ("create", "--all", "--why", "a benchmark", "--renew-by", f"{RENEW_BY_SECONDS}s")
        affected = _call(config, *words, "--enable")["affected"]
        made = time.monotonic() - began
        turns = _watch(ours, config)
        memory = _find_peak_memory(ours.pid)
    busy = [each for each in turns if 0 < each.revoked < affected]
    print(f"{affected} certificates are affected: found and noted in {made:.1f} s")
    if len(busy) > 1:
        first, last = busy[0], busy[-1]
        rate = (last.revoked - first.revoked) / (last.moment - first.moment)
        p99 = sorted(each.figures.p99_ms for each in busy)
        print(f"revoked: {rate:.0f} a second, in {last.moment - began:.0f} s from its creation")
        print(
            f"p99 of a new certificate: {before.p99_ms:.0f} ms before, meanwhile "
            f"{median(p99):.0f} ms, and {p99[-1]:.0f} ms in the slowest of {len(p99)} turns"
        )
    print(f"memory of the process at most: {memory / 1024:.0f} MiB")


async def _fill(path: Path, count: int) -> None:
    """Put copies of a certificate beside it, each with a serial number and a key of its own."""
    store = SqliteAuthority(path, SystemClock())
    await store.open()
    try:
        real = (await store.list_certificates(0, 1))[0].issued
        for first in range(0, count, AT_A_TIME):
            numbers = range(first, min(first + AT_A_TIME, count))
            await asyncio.gather(*(_put(store, real, number) for number in numbers))
    finally:
        await store.close()


async def _put(store: SqliteAuthority, real: Issued, number: int) -> None:
    order_id = f"many-{number}"
    name = replace(real.certificate.name, serial=_FIRST_SERIAL + number * _STEP)
    certificate = replace(real.certificate, id=order_id, name=name, order_id=order_id)
    issued = replace(real, certificate=certificate, spki_sha256=number.to_bytes(32, "big"))
    serial = ReservedSerial(name, order_id, real.profile, real.issued, certificate.not_after)
    assert await store.commit((AddSerial(serial), AddCertificate(issued)))


def _watch(ours: MeasuredAuthority, config: Path) -> list[Turn]:
    """Let clients order until the incident has ended."""
    turns: list[Turn] = []
    end = time.monotonic() + MAX_SECONDS
    while time.monotonic() < end:
        figures = ours.issue(ORDERS, CLIENTS)
        (standing,) = _call(config, "status")["incidents"]
        turns.append(Turn(time.monotonic(), standing["revoked"], figures))
        if standing["state"] == "ended":
            return turns
    raise TimeoutError(f"the incident did not end in {MAX_SECONDS:.0f} s")


def _call(config: Path, *words: str) -> dict[str, Any]:
    command = (sys.executable, "-m", "letterlock", "ca", "incident", *words)
    done = subprocess.run(
        (*command, "--json", "--config", config), check=True, capture_output=True, text=True
    )
    found = json.loads(done.stdout)
    assert isinstance(found, dict)
    return found


def _find_peak_memory(pid: int) -> int:
    """Give the most memory a process had, in KiB (proc(5), VmHWM)."""
    lines = Path(f"/proc/{pid}/status").read_text("ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))


if __name__ == "__main__":
    main()
