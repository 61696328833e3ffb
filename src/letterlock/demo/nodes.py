"""A node of the demo: one worker, as `letterlock serve` has it, in this process and event loop."""

import asyncio
import secrets
import textwrap
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from pathlib import Path
from random import SystemRandom
from typing import TextIO

from letterlock.base.clock import Clock, SystemClock
from letterlock.base.config.load import load_config
from letterlock.base.config.sections import Config
from letterlock.base.domains import Domain
from letterlock.base.errors import LocalError
from letterlock.base.log import Log, make_stream_log
from letterlock.base.shared_counters import NamedCounters, SharedCounters
from letterlock.network.control_client import ask_all
from letterlock.network.dns import Resolver
from letterlock.network.dns_backends import make_backend
from letterlock.network.dns_cache import CachingResolver
from letterlock.network.key_pairs import find_server_names
from letterlock.network.server_certificates import ServerCertificates
from letterlock.node.building import build_certificates
from letterlock.node.certificates import CertificateProcess, CertificateService
from letterlock.node.certifying import list_wanted
from letterlock.node.intake import make_received_store
from letterlock.node.listeners import Listeners
from letterlock.node.policy import load_policy
from letterlock.node.report_sources import make_sources
from letterlock.node.signing import make_key_plan
from letterlock.node.web_listeners import WebListeners
from letterlock.node.worker import Common, Worker
from letterlock.protocols.dns.answers import Answer
from letterlock.protocols.mta_sts.cache import CachedPolicy
from letterlock.protocols.pki.throwaway_ca import Issued
from letterlock.protocols.tls.client_hello import KeyType
from letterlock.protocols.tlsrpt.results import DomainResults
from letterlock.services.receive.session import COUNTERS
from letterlock.services.sign.keys import make_missing_key
from letterlock.storage.certificate_files import CertificateFiles
from letterlock.storage.certificates import CertificateId, KeptPair
from letterlock.storage.dkim_keys import DkimKeyFiles
from letterlock.storage.queue import MessageStory, QueueId
from letterlock.storage.received_reports import KeptResult, ListedReport, ReceivedStore
from letterlock.storage.sqlite.policies import read_policy
from letterlock.storage.sqlite.reader import SqliteQueueReader
from letterlock.storage.sqlite.shard_files import find_shards

CONFIG_NAME = "letterlock.toml"
MAIL_LOG_NAME = "mail.log"
PATIENCE_SECONDS = 30.0
"""How long a delivery may take: nothing is further away than loopback, but others may use the
machine too."""
MAX_ANSWERS = 100
MAX_REPORTS = 100
MAX_TEXT_OCTETS = 255
"""Of one string of a TXT record (RFC 1035 §3.3.14)."""
_LOOK_SECONDS = 0.01
_LOOKS = 3000


@dataclass(slots=True)
class Lookups:
    """A resolver that keeps what was asked and answered, to be shown."""

    resolver: Resolver
    _answers: deque[Answer] = field(default_factory=lambda: deque(maxlen=MAX_ANSWERS))

    async def ask(self, name: Domain, rdtype: str) -> Answer:
        answer = await self.resolver.ask(name, rdtype)
        self._answers.append(answer)
        return answer

    @property
    def answers(self) -> list[Answer]:
        """The answers since the last `take`."""
        return list(self._answers)

    def take(self) -> list[Answer]:
        """Give them, and forget them."""
        answers = self.answers
        self._answers.clear()
        return answers


class MovedClock:
    """A clock that is ahead by as much as it was moved."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._ahead = timedelta()

    def now(self) -> datetime:
        return self._clock.now() + self._ahead

    def monotonic(self) -> float:
        return self._clock.monotonic()

    def move(self, by: timedelta) -> None:
        """Let so much time pass at once."""
        self._ahead += by


@dataclass(frozen=True, slots=True)
class Keeping:
    """What keeps a node's certificates, and the clock by which it does."""

    process: CertificateProcess
    clock: MovedClock

    def move_clock(self, by: timedelta) -> None:
        """Let time pass, and have it look whether anything is due."""
        self.clock.move(by)
        self.process.look_around()


@dataclass(frozen=True, slots=True)
class Node:
    """A node that runs, and what can be seen of it from outside."""

    folder: Path
    config: Config
    certificates: ServerCertificates
    counters: NamedCounters
    lookups: Lookups
    worker: Worker
    keeping: Keeping | None = None

    async def wake_reports(self) -> None:
        """Have it look for reports to send, as `letterlock tlsrpt send` does.

        Raises NodeNotRunning and NodeUnreachable.
        """
        path = self.config.node.control_socket
        await asyncio.to_thread(ask_all, path, "reports.wake", {}, PATIENCE_SECONDS)

    async def list_received(self) -> list[ListedReport]:
        """List the reports of others that it keeps, as `letterlock tlsrpt list` does."""
        async with self._opened_received() as store:
            return await store.list_reports(domain=None, since=date.min, limit=MAX_REPORTS)

    async def list_results(self, domain: str) -> list[KeptResult]:
        """List what kept reports say of a domain, as `letterlock tlsrpt summary` does."""
        async with self._opened_received() as store:
            return await store.list_results(domain, date.min, date.max)

    @asynccontextmanager
    async def _opened_received(self) -> AsyncIterator[ReceivedStore]:
        store = make_received_store(self.config, "demo", SystemClock())
        await store.open()
        try:
            yield store
        finally:
            await store.close()

    async def list_counted(self) -> list[DomainResults]:
        """List what it counted of its own sessions, as `tlsrpt send --dry-run` does."""
        return [
            results
            for source in make_sources(self.config)
            for day in await source.list_days()
            for results in (await source.load_day(day)).list_results()
        ]

    @property
    def config_file(self) -> Path:
        return self.folder / CONFIG_NAME

    @property
    def mail_log(self) -> Path:
        return self.folder / MAIL_LOG_NAME

    def count(self, name: str) -> int:
        """Give one of the counts that `letterlock status` shows."""
        return self.counters.of_worker(0)[name]

    async def wait_until_equal(self, one: str, other: str) -> bool:
        """Wait until two counts are equal, for a while; what they count goes on meanwhile."""
        for _ in range(_LOOKS):
            if self.count(one) == self.count(other):
                return True
            await asyncio.sleep(_LOOK_SECONDS)
        return False

    def mailbox(self, address: str) -> Path:
        """Give the Maildir of an address."""
        local, _, domain = address.partition("@")
        return self.config.local.mail_dir / domain / local

    def list_mailbox(self, address: str) -> list[Path]:
        """List the messages in a mailbox, read or not."""
        mailbox = self.mailbox(address)
        return [*mailbox.glob("new/*"), *mailbox.glob("cur/*")]

    def find_story(self, queue_id: str) -> MessageStory | None:
        """Read a message's story beside the node, as `letterlock queue show` does."""
        for path in find_shards(self.config.queue_dir):
            with SqliteQueueReader(path) as reader:
                if (story := reader.find_story(QueueId(queue_id))) is not None:
                    return story
        return None

    async def find_policy(self, domain: str) -> CachedPolicy | None:
        """Read the MTA-STS policy that the node keeps of a domain, as `policy explain` does."""
        stored = await read_policy(self.config.node_database, Domain(domain))
        return stored.entry.cached if stored is not None else None

    async def wait_for_attempt(self, queue_id: str) -> MessageStory:
        """Give a message's story when its first attempt is settled; raises TimeoutError."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                story = self.find_story(queue_id)
                if story is not None and story.attempts:
                    return story
                await asyncio.sleep(_LOOK_SECONDS)


@asynccontextmanager
async def running(
    folder: Path, listeners: Listeners, clock: Clock, signed: Issued | None = None
) -> AsyncIterator[Node]:
    """Run the node whose configuration is in a folder, while the block runs.

    One that gets certificates has them before it takes mail; `signed` is put beside them. Raises
    LocalError; what comes up once it runs, and what the block raises, is in a group.
    """
    config = load_config(folder / CONFIG_NAME)
    _make_folders(config)
    with closing(WebListeners()) as web, _open_log(folder / MAIL_LOG_NAME) as stream:
        log = make_stream_log(clock, config.hostname, stream=stream)
        async with asyncio.TaskGroup() as tasks:
            keeping: Keeping | None = None
            if config.certificates.authorities:
                web.open(config)
                ahead = MovedClock(clock)
                service = CertificateService(config, web, None, ahead, log)
                keeping = Keeping(CertificateProcess(service, 1), ahead)
                tasks.create_task(keeping.process.run(lambda: None))
                await _wait_for_certificates(config, signed)
            node = replace(_make_node(folder, config, clock, log), keeping=keeping)
            is_ready = asyncio.Event()
            tasks.create_task(node.worker.run(listeners.groups[0], is_ready.set))
            await is_ready.wait()
            yield node
            node.worker.stop()
            if keeping is not None:
                keeping.process.stop()


def _make_node(folder: Path, config: Config, clock: Clock, log: Log) -> Node:
    backend = make_backend(config.dns, SystemRandom())
    lookups = Lookups(CachingResolver(backend, clock))
    certificates = build_certificates(config, clock.now())
    assert certificates is not None, "both configurations have one"
    counters = NamedCounters(COUNTERS, 1)
    common = Common(
        config=config,
        policy=load_policy(config.policy),
        certificates=certificates,
        clients=SharedCounters(1, secrets.token_bytes(32)),
        counters=counters,
        clock=clock,
        log=log,
        resolver=lookups,
    )
    return Node(folder, config, certificates, counters, lookups, Worker(common, 0))


async def _wait_for_certificates(config: Config, signed: Issued | None) -> None:
    """Wait until the node has all that it wants, then put `signed` beside. Raises LocalError."""
    files = CertificateFiles(config.certificates_dir)
    paths = [files.paths(which)[0] for which in list_wanted(config)]
    for _ in range(_LOOKS):
        if all(path.exists() for path in paths):
            break
        await asyncio.sleep(_LOOK_SECONDS)
    else:
        raise LocalError(f"{config.hostname} has no certificates: why is in its log")
    if signed is not None:
        (name,) = find_server_names(signed.certificate)
        which = CertificateId(name, KeyType.ECDSA)
        files.write(which, KeptPair(signed.chain_pem, signed.key_pem))


def make_signing_keys(folder: Path) -> dict[str, str]:
    """Make the DKIM keys of the node whose configuration is there; gives names and their TXT."""
    config = load_config(folder / CONFIG_NAME)
    files = DkimKeyFiles(config.dkim.key_dir)
    records = {}
    for which in make_key_plan(config).list_all():
        key = make_missing_key(files, which)
        if key is not None:
            texts = textwrap.wrap(key.record, MAX_TEXT_OCTETS)
            name = f"{which.selector}._domainkey.{which.domain}"
            records[name] = " ".join(f'"{text}"' for text in texts)
    return records


def _make_folders(config: Config) -> None:
    for path in (config.queue_dir, config.local.mail_dir):
        path.mkdir(mode=0o700, parents=True)


def _open_log(path: Path) -> TextIO:
    return path.open("w", encoding="utf-8")
