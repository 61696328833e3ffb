"""What receiving one message of 4 KiB costs of Python, beside aiosmtpd: no sockets, no storage.

Everything between the octets of a client and the reply 250 is as in a node: limits, counters, log,
trace fields, queue ids; the store takes each message at once. CPU varies with what else the
machine does, the calls do not: for changes to this path they are the steadier measure.
"""

import argparse
import asyncio
import io
import json
import subprocess
import sys
from ipaddress import ip_network
from statistics import median
from typing import cast

import uvloop

from benchmarks.sessions import Cost, measure
from letterlock.base.clock import SystemClock
from letterlock.base.domains import Domain
from letterlock.base.log import LineLog, make_stream_log
from letterlock.base.shared_counters import NamedCounters, SharedCounters
from letterlock.network.server_limits import ServerLimits
from letterlock.network.smtp_connection import Connection
from letterlock.network.smtp_owner import Peer
from letterlock.protocols.smtp.server_session import ServerSession, SessionSettings
from letterlock.services.queue.directory import LocalDirectory
from letterlock.services.queue.schedule import Schedule
from letterlock.services.receive.clients import ClientLimits, Clients
from letterlock.services.receive.names import ClientName, ClientNames
from letterlock.services.receive.recipients import RelayClients
from letterlock.services.receive.session import COUNTERS, Receiver, ReceivingSession
from letterlock.storage.bodies import Spill, SpillingWriter
from letterlock.storage.ids import QueueIds
from letterlock.storage.queue import NewMessage
from tools import environment, side_environment

HOST = Domain("mx.example.org")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="runs of each (%(default)s)")
    parser.add_argument("--messages", type=int, default=2000, help="in a run (%(default)s)")
    parser.add_argument("--alone", action="store_true", help="without aiosmtpd")
    # `make bench` gives all benchmarks the same options.
    options, _ = parser.parse_known_args()
    has_peer = not options.alone and _make_peer()
    ours, theirs = [], []
    for _ in range(options.rounds):
        ours.append(measure_ours(options.messages))
        if has_peer:
            theirs.append(_measure_peer(options.messages))
    print(f"receive one message in process: medians of {options.rounds}, CPU of Python")
    for name, costs in {"letterlock": ours, "aiosmtpd": theirs}.items():
        if costs:
            cpu, calls = median(c.cpu_us for c in costs), median(c.calls for c in costs)
            print(f"{name:10}  {cpu:6.0f} us  {calls:6.0f} calls")
    if has_peer:
        # Of each round, since the machine's pace changes from one to the next.
        ratio = median(their.cpu_us / our.cpu_us for our, their in zip(ours, theirs, strict=True))
        print(f"aiosmtpd / letterlock: {ratio:.2f}")


def _make_peer() -> bool:
    try:
        side_environment.make("bench")
    except side_environment.SideError as error:
        print(f"without aiosmtpd: {error}", file=sys.stderr)
        return False
    return True


def _measure_peer(messages: int) -> Cost:
    python = str(side_environment.side_python("bench"))
    command = [python, "-m", "benchmarks.aiosmtpd_session", str(messages)]
    done = subprocess.run(command, check=True, capture_output=True, cwd=environment.ROOT)
    return Cost(**json.loads(done.stdout))


def measure_ours(messages: int) -> Cost:
    """Receive so many messages; gives what one of them cost."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_receive(messages))


async def _receive(messages: int) -> Cost:
    clock, loop = SystemClock(), asyncio.get_running_loop()
    log = make_stream_log(clock, HOST, stream=_Nowhere())
    home = _Home(clock, log)
    with log.gathered(loop.call_soon):
        async with asyncio.TaskGroup() as tasks:
            return await measure(lambda: Connection(home, tasks), messages)


class _Home:
    """The server that connections belong to."""

    certificates = None
    limits = ServerLimits()
    is_crowded = is_ending = False

    def __init__(self, clock: SystemClock, log: LineLog) -> None:
        self.now = clock.monotonic
        self._settings = SessionSettings(hostname=HOST)
        counters = NamedCounters(COUNTERS, 2)
        limits = ClientLimits(connection_rate_per_client=10**6)
        self._receiver = Receiver(
            hostname=HOST,
            directory=LocalDirectory(HOST, frozenset(), frozenset(), "postmaster"),
            relay=RelayClients((ip_network("127.0.0.0/8"),)),
            clients=Clients(limits, SharedCounters(2, b"x" * 32), 0, clock),
            store=_Store(),
            schedule=Schedule(),
            names=cast("ClientNames", _Names()),
            max_hops=50,
            clock=clock,
            log=log,
            make_id=QueueIds(clock).make,
            count=counters.adder(0),
            wake=lambda _: None,
        )

    def begin(self, _: Connection, peer: Peer) -> tuple[ServerSession, ReceivingSession]:
        return ServerSession(self._settings), ReceivingSession(self._receiver, peer)

    def end(self, connection: Connection) -> None:
        """Nothing is kept of it."""


class _Store:
    """Takes every message at once, and forgets it."""

    def write_body(self) -> SpillingWriter:
        return SpillingWriter(_never_spills)

    async def save(self, message: NewMessage) -> None:
        assert message.body.size > 0


class _Names:
    """Knows every client's name."""

    def begin(self, _: str) -> ClientName:
        return ClientName(Domain("localhost"))


class _Nowhere(io.StringIO):
    def write(self, text: str) -> int:
        return len(text)


def _never_spills() -> Spill:
    raise AssertionError("the messages are small")


if __name__ == "__main__":
    main()
