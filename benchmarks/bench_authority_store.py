"""What the authority's store costs for each certificate, with commits together and one by one.

A certificate is six commits, as the authority makes them (order, response, validation, finalizing,
serial number, certificate), seven records of the log, six nonces, and what is read between them.
One by one is what most programs on SQLite do: a transaction, and a sync of the disk, for each.
"""

import argparse
import asyncio
import os
import platform
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import quantiles

from letterlock.base.clock import SystemClock
from letterlock.protocols.acme.server.nonces import GoodNonce
from letterlock.protocols.acme.states import OrderStatus
from letterlock.protocols.audit.records import AuditEntry
from letterlock.storage.ca.changes import (
    AddAccount,
    AddAuthorization,
    AddCertificate,
    AddOrder,
    AddSerial,
    AddWork,
    Change,
    ChangeAuthorization,
    ChangeOrder,
    EndWork,
)
from letterlock.storage.ca.kept import Lease, Work, WorkKind
from letterlock.storage.ca.store import AuthorityStore
from letterlock.storage.sqlite import gathering
from letterlock.storage.sqlite.ca.store import SqliteAuthority
from tests.fakes import START
from tests.storage.authorities import (
    DAY,
    MINUTE,
    logged,
    make_account,
    make_authorization,
    make_check,
    make_issued,
    make_order,
    reserve,
    validated,
)

CERTIFICATES = 1000
ACCOUNT = make_account()
SHORT = logged("what was decided")
LONG = logged("as long as what a validation rests on, with all of its DNS answers " * 10)
DER_OCTETS = 900
CSR_OCTETS = 300


@dataclass(slots=True)
class Load:
    """Certificates that are made one after the other; `seconds` has how long each commit took."""

    store: AuthorityStore
    seconds: list[float] = field(default_factory=list)

    async def issue(self, number: int) -> None:
        """Do what one certificate needs."""
        authorization = make_authorization(f"authorization-{number}", f"n{number}.example")
        order = make_order(f"order-{number}", authorization)
        await self.ask()
        await self.store.load_halt()
        await self.store.find_valid_authorizations(ACCOUNT.id, [authorization.ordered], START)
        await self.commit([AddAuthorization(authorization), AddOrder(order)], SHORT)
        await self.ask()
        await self.store.load_authorization(authorization.id)
        await self.ask()
        lease = Lease(WorkKind.VALIDATION, authorization.id, "process", START + MINUTE)
        await self.commit([AddWork(Work(lease.kind, lease.subject, START, b"http-01"), lease)])
        proved = ChangeAuthorization(
            authorization, validated(authorization), make_check(authorization)
        )
        await self.commit([proved, EndWork(lease)], LONG)
        await self.ask()
        await self.store.load_order(order.id)
        await self.finalize(number, order.id)
        await self.ask()
        await self.store.load_certificate(f"certificate-{number}")

    async def finalize(self, number: int, order_id: str) -> None:
        await self.ask()
        found = await self.store.load_order(order_id)
        assert found is not None
        order = found.order
        begun = replace(order, status=OrderStatus.PROCESSING)
        lease = Lease(WorkKind.ISSUANCE, order_id, "process", START + MINUTE)
        work = Work(lease.kind, order_id, START, os.urandom(CSR_OCTETS))
        await self.commit([ChangeOrder(order, begun), AddWork(work, lease)], SHORT)
        await self.store.load_halt()
        serial = replace(reserve(number), order_id=order_id)
        await self.commit([AddSerial(serial)], SHORT, SHORT)
        issued = make_issued(number, f"n{number}.example", order_id=order_id)
        issued = replace(issued, der=os.urandom(DER_OCTETS))
        certificate_id = issued.certificate.id
        ended = replace(begun, status=OrderStatus.VALID, certificate_id=certificate_id)
        changes: list[Change] = [ChangeOrder(begun, ended), AddCertificate(issued), EndWork(lease)]
        await self.commit(changes, SHORT, LONG)

    async def ask(self) -> None:
        """Do what each request needs."""
        assert await self.store.spend_nonce(GoodNonce(os.urandom(16), START + DAY), START)
        await self.store.load_account(ACCOUNT.id)

    async def commit(self, changes: Sequence[Change], *entries: AuditEntry) -> None:
        start = time.perf_counter()
        assert await self.store.commit(changes, entries)
        self.seconds.append(time.perf_counter() - start)


async def measure(path: Path, count: int, at_once: int) -> str:
    """Issue `count` certificates; gives a line of figures."""
    store = SqliteAuthority(path, SystemClock())
    await store.open()
    assert await store.commit([AddAccount(ACCOUNT)])
    load, numbers = Load(store), iter(range(1, count + 1))
    start, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*(_issue_all(load, numbers) for _ in range(at_once)))
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    await store.close()
    cuts = quantiles(load.seconds, n=100)
    return (
        f"{at_once:3} at once {count / seconds:8.0f} certificates/s "
        f"{len(load.seconds) / seconds:8.0f} commits/s {cpu / count * 1e3:8.2f} ms CPU each "
        f"{cuts[49] * 1e3:8.1f} ms p50 {cuts[98] * 1e3:8.1f} ms p99 of a commit "
        f"{_find_size(path) / count / 1e3:8.1f} kB each"
    )


def _find_size(path: Path) -> int:
    return path.stat().st_size


async def _issue_all(load: Load, numbers: Iterator[int]) -> None:
    for number in numbers:
        await load.issue(number)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--certificates", type=int, default=CERTIFICATES, help="(%(default)s)")
    # `make bench` gives all benchmarks the same options.
    options, _ = parser.parse_known_args()
    print(
        f"the authority's store in SQLite: {os.cpu_count()} cores, Python "
        f"{platform.python_version()}, load average {os.getloadavg()[0]:.1f} at the start"
    )
    usual = gathering.MAX_BATCH
    for side, most in (("together", usual), ("one by one", 1)):
        gathering.MAX_BATCH = most
        for at_once in (1, 16):
            with tempfile.TemporaryDirectory(prefix="letterlock-bench-", dir="/var/tmp") as name:
                path = Path(name) / "authority.db"
                print(f"{side:<12}", asyncio.run(measure(path, options.certificates, at_once)))


if __name__ == "__main__":
    main()
