"""Reports of others that are posted over HTTPS, from the first octet to the committed row.

The server is what a node has on port 443, in this process: TLS, HTTP, reading, SQLite with its
syncs, a line of log each; the garbage collector is set as there. The clients are processes of their
own, over connections that stay open; each waits for its answer before it posts again. What is
divided is the CPU of this process alone, all its threads. Handshakes are done before: a sender of
one report a day pays for one each time.
"""

import asyncio
import multiprocessing
import os
import ssl
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from multiprocessing.synchronize import Barrier
from pathlib import Path
from socket import socket

import uvloop

from letterlock.base.clock import SystemClock
from letterlock.base.domains import Domain
from letterlock.base.log import make_stream_log
from letterlock.network.acceptor import AcceptorLimits
from letterlock.network.policy_host import PolicyHost
from letterlock.network.post_server import Posts, Room
from letterlock.node.process import spare_what_stays
from letterlock.services.intake.group_keeping import GroupKeeper
from letterlock.services.intake.post_paths import PostPaths, make_path
from letterlock.services.intake.posts import PostIntake, PostRules
from letterlock.storage.sqlite.node import NodeDatabase
from letterlock.storage.sqlite.received_reports import SqliteReceived
from tests.network.certificates import authority, issue, make_chooser
from tests.protocols.tlsrpt.corpus import encode, make_document

MIN_RATE = 5000.0
_DOMAIN = Domain("company-y.example")
_HOST = "mx.company-y.example"
_KEY = b"a secret of the benchmark"
_KEEP = timedelta(days=3650)
_MANY = 1_000_000
_PATIENCE_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Load:
    """How many clients there are, with how many connections each, and reports on each of them."""

    clients: int
    connections: int
    reports: int

    @property
    def total(self) -> int:
        return self.clients * self.connections * self.reports


LOADS = (Load(1, 1, 800), Load(4, 1, 500), Load(4, 32, 80))


def measure() -> Iterator[str]:
    """Give the lines of the results. The bar is for the last load, where commits are shared."""
    spare_what_stays()
    for load in LOADS:
        with (
            tempfile.TemporaryDirectory() as folder,
            asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
        ):
            clock, cpu = runner.run(_measure(Path(folder), load))
        rate = load.total / cpu
        verdict = "met" if rate >= MIN_RATE else "MISSED"
        bar = f"   at least {MIN_RATE:.0f}/s: {verdict}" if load is LOADS[-1] else ""
        yield (
            f"JSON by HTTPS to committed rows, {load.clients} clients with {load.connections} "
            f"connections each: {rate:.0f}/s and core, {cpu / load.total * 1e6:.0f} us of the CPU "
            f"each; {load.total / clock:.0f}/s by the clock{bar}"
        )


async def _measure(folder: Path, load: Load) -> tuple[float, float]:
    """Give seconds by the clock, and of this process's CPU."""
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(load.clients + 1)
    async with _serving(folder) as port:
        clients = [
            context.Process(target=_run_client, args=(number, port, authority().pem, load, barrier))
            for number in range(load.clients)
        ]
        for client in clients:
            client.start()
        try:
            await asyncio.to_thread(barrier.wait, _PATIENCE_SECONDS)
            started, cpu = time.monotonic(), time.process_time()
            await asyncio.to_thread(barrier.wait, _PATIENCE_SECONDS)
            spent = time.monotonic() - started, time.process_time() - cpu
        finally:
            for client in clients:
                await asyncio.to_thread(client.join, _PATIENCE_SECONDS)
                client.kill()
        assert [client.exitcode for client in clients] == [0] * load.clients
        assert await _count(folder) == load.total
    return spent


async def _count(folder: Path) -> int:
    store = SqliteReceived(NodeDatabase(folder / "node.sqlite", SystemClock()))
    await store.open()
    (found,) = await store.list_domains(SystemClock().now().date() - _KEEP)
    await store.close()
    return found.reports


@asynccontextmanager
async def _serving(folder: Path) -> AsyncIterator[int]:
    clock = SystemClock()
    certificates = make_chooser(folder, issue((_HOST,)))
    store = SqliteReceived(NodeDatabase(folder / "node.sqlite", clock))
    keeper = GroupKeeper(store, clock, _KEEP)
    rules = PostRules(PostPaths((_KEY,), (_DOMAIN,)), frozenset(), _MANY, _MANY, _KEEP)
    loop = asyncio.get_running_loop()
    with (folder / "log").open("w") as stream, socket() as listener:
        log = make_stream_log(clock, _HOST, stream=stream)
        intake = PostIntake(rules, keeper, clock, log)
        host = PolicyHost(
            *(lambda _: None, certificates, clock, None, AcceptorLimits(1000, 1000)),
            posts=Posts(intake, clock, Room()),
        )
        listener.bind(("127.0.0.1", 0))
        listener.listen(1000)
        listener.setblocking(False)  # noqa: FBT003 - the standard library's signature
        running = [asyncio.ensure_future(each) for each in (host.run([listener]), keeper.run())]
        try:
            with log.gathered(loop.call_soon, loop.call_later):
                yield listener.getsockname()[1]
        finally:
            for task in running:
                task.cancel()
            await asyncio.wait(running)


def _run_client(number: int, port: int, trust: bytes, load: Load, barrier: Barrier) -> None:
    """Be a client. The barrier is passed when all are connected, and when all are answered."""
    asyncio.run(_post_all(number, port, trust, load, barrier))


async def _post_all(number: int, port: int, trust: bytes, load: Load, barrier: Barrier) -> None:
    context = ssl.create_default_context(cadata=trust.decode())
    lines = []
    for place in range(load.connections):
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=context, server_hostname=_HOST
        )
        requests = [
            _make_request(f"{os.getpid()}.{number}.{place}.{each}") for each in range(load.reports)
        ]
        lines.append((reader, writer, requests))
    barrier.wait(_PATIENCE_SECONDS)
    await asyncio.gather(*(_post(*line) for line in lines))
    barrier.wait(_PATIENCE_SECONDS)
    for _, writer, _ in lines:
        writer.close()


async def _post(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, requests: list[bytes]
) -> None:
    for each in requests:
        writer.write(each)
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 "), head
        await reader.readexactly(6)


def _make_request(report_id: str) -> bytes:
    yesterday = (SystemClock().now() - timedelta(days=1)).date()
    dates = {
        "start-datetime": f"{yesterday}T00:00:00Z",
        "end-datetime": f"{yesterday}T23:59:59Z",
    }
    body = encode(make_document(**{"report-id": report_id, "date-range": dates}))
    lines = (
        f"POST {make_path(_KEY, _DOMAIN)} HTTP/1.1",
        f"Host: {_HOST}",
        "Content-Type: application/tlsrpt+json",
        f"Content-Length: {len(body)}",
    )
    return "\r\n".join([*lines, "", ""]).encode() + body
