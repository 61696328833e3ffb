"""A node of the demo: one worker, as `letterlock serve` has it, in this process and event loop."""

import asyncio
import secrets
import textwrap
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import SystemRandom
from typing import TextIO

from letterlock.base.clock import Clock
from letterlock.base.config.load import load_config
from letterlock.base.config.sections import Config
from letterlock.base.domains import Domain
from letterlock.base.log import make_stream_log
from letterlock.base.shared_counters import NamedCounters, SharedCounters
from letterlock.network.dns import Resolver
from letterlock.network.dns_backends import make_backend
from letterlock.network.dns_cache import CachingResolver
from letterlock.node.building import build_certificates
from letterlock.node.explaining import Silence
from letterlock.node.listeners import Listeners
from letterlock.node.policy import load_policy
from letterlock.node.reporting import ReportBuilder
from letterlock.node.signing import make_key_plan
from letterlock.node.worker import Common, Worker
from letterlock.protocols.dns.answers import Answer
from letterlock.protocols.mta_sts.cache import CachedPolicy
from letterlock.services.deliver.anchors import AnchorFiles
from letterlock.services.receive.session import COUNTERS
from letterlock.services.report.sending import Sending
from letterlock.services.sign.keys import make_missing_key
from letterlock.storage.dkim_keys import DkimKeyFiles
from letterlock.storage.queue import MessageStory, QueueId
from letterlock.storage.sqlite.policies import read_policy
from letterlock.storage.sqlite.reader import SqliteQueueReader

CONFIG_NAME = "letterlock.toml"
MAIL_LOG_NAME = "mail.log"
PATIENCE_SECONDS = 10.0
"""How long a delivery may take: nothing here is further away than loopback."""
MAX_ANSWERS = 100
MAX_TEXT_OCTETS = 255
"""Of one string of a TXT record (RFC 1035 §3.3.14)."""
_LOOK_SECONDS = 0.01


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


@dataclass(frozen=True, slots=True)
class Node:
    """A node that runs, and what can be seen of it from outside."""

    folder: Path
    config: Config
    certificate_names: tuple[str, ...]
    counters: NamedCounters
    lookups: Lookups
    worker: Worker

    async def send_reports(self, clock: Clock) -> None:
        """Send the reports on TLS of all days that are over by a clock, as nodes do by their own.

        Raises StoreUnavailable.
        """
        builder = ReportBuilder(self.config, clock, Silence())
        store = builder.make_store("demo")
        find_anchors = AnchorFiles(self.config.policy.trust_files).load
        mail = self.worker.make_report_carrier()
        await store.open()
        try:
            sending = Sending(builder.make_tools(store, self.lookups, find_anchors, mail))
            await sending.plan(is_hurried=True)
            while await sending.work():
                pass
        finally:
            await store.close()

    @property
    def config_file(self) -> Path:
        return self.folder / CONFIG_NAME

    @property
    def mail_log(self) -> Path:
        return self.folder / MAIL_LOG_NAME

    def count(self, name: str) -> int:
        """Give one of the counts that `letterlock status` shows."""
        return self.counters.of_worker(0)[name]

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
        for path in self.config.queue_dir.glob("shard-*.db"):
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
async def running(folder: Path, listeners: Listeners, clock: Clock) -> AsyncIterator[Node]:
    """Run the node whose configuration is in a folder, while the block runs.

    Raises LocalError; what comes up once it runs, and what the block raises, is in a group.
    """
    config = load_config(folder / CONFIG_NAME)
    _make_folders(config)
    backend = make_backend(config.dns, SystemRandom())
    lookups = Lookups(CachingResolver(backend, clock))
    certificates = build_certificates(config, clock.now())
    assert certificates is not None, "both configurations have one"
    counters = NamedCounters(COUNTERS, 1)
    with _open_log(folder / MAIL_LOG_NAME) as stream:
        common = Common(
            config=config,
            policy=load_policy(config.policy),
            certificates=certificates,
            clients=SharedCounters(1, secrets.token_bytes(32)),
            counters=counters,
            clock=clock,
            log=make_stream_log(clock, config.hostname, stream=stream),
            resolver=lookups,
        )
        worker = Worker(common, 0)
        node = Node(folder, config, certificates.names, counters, lookups, worker)
        async with asyncio.TaskGroup() as tasks:
            is_ready = asyncio.Event()
            tasks.create_task(worker.run(listeners.groups[0], is_ready.set))
            await is_ready.wait()
            yield node
            worker.stop()


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
