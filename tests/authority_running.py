"""Authorities of our own for tests: `ca serve` as a process, and one within the test's own.

The process has a real clock and real sockets: clients of others ask it. The one within has a clock
that stands still and no TLS: its application is called as ASGI, its parts are at hand.
"""

import asyncio
import atexit
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from cryptography import x509

from letterlock.base.config.authority import CaSection
from letterlock.base.config.load import load_config
from letterlock.base.config.sections import Config
from letterlock.node.ca.assembling import Assembled, Surroundings, assemble
from letterlock.node.ca.making import make_authority_with_store
from letterlock.node.ca.rules import find_crl_url
from letterlock.node.ca.stores import make_store, name_owner
from letterlock.protocols.acme.server.nonces import NonceKeys
from letterlock.storage.ca.kept import NONCE_SECRET
from letterlock.storage.ca.store import AuthorityStore
from tests.acme_http import JOSE, Answered, send
from tests.fakes import START, FakeClock, FakeLog
from tests.journeys.running_node import NodeFiles, RunningNode
from tests.programs import PROGRAM

HOST = "localhost"
CRL_URL = "http://crl.example/crl/"
"""Nothing is asked there by that name: tests go to the process' own port."""
LOOPBACK = ["127.0.0.0/8", "::1/128"]


@dataclass
class AuthorityFiles(NodeFiles):
    """An authority's folder: its settings, and after `make` its keys.

    `resolver` is a name server with the tests' zones (`tests.interop.background.zones`); `ports`
    are those that http-01 and tls-alpn-01 are looked for at.
    """

    hostname: str = HOST
    resolver: str = "127.0.0.1:9"
    ports: tuple[int, int] = (80, 443)

    def __post_init__(self) -> None:
        self.set("dns", resolver=self.resolver, timeout="20s")
        super().__post_init__()
        self.set("ca", listen=["127.0.0.1:0"], crl_listen=["127.0.0.1:0"], crl_url=CRL_URL)
        self.set(
            "ca.validation",
            needs_dnssec=False,
            private_names=True,
            networks=LOOPBACK,
            http_port=self.ports[0],
            https_port=self.ports[1],
            try_gap="0s",
        )

    @property
    def keys(self) -> Path:
        return self.data / "ca"

    @property
    def root(self) -> Path:
        """The certificate that clients trust."""
        return self.keys / "root.pem"

    def make(self, extra: str = "") -> "AuthorityFiles":
        """Write the settings, and have `ca init` make the keys.

        Keys are made once for tests with the same settings: linting them takes a second.
        """
        self.write(extra)
        decisive = (self.hostname, self.settings["ca"].get("crl_url"), "ca.names" in self.settings)
        if extra or decisive != (HOST, CRL_URL, False):
            _make(self)
        else:
            shutil.copytree(_usual_keys(), self.keys)
        return self


def _make(files: AuthorityFiles) -> None:
    answer = files.command("ca", "init")
    assert answer.code == 0, answer.error


@cache
def _usual_keys() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="letterlock-authority-"))
    atexit.register(shutil.rmtree, folder)
    files = AuthorityFiles(folder)
    files.write()
    _make(files)
    return files.keys


class RunningAuthority(RunningNode):
    """A `ca serve` process and what it logs."""

    def __init__(self, files: AuthorityFiles, **popen: Any) -> None:
        super().__init__(files, [*PROGRAM, "ca", "serve", "--config", str(files.config)], **popen)
        self.files: AuthorityFiles = files
        self.directory = ""
        self.crl_port = 0

    def wait_ready(self) -> "RunningAuthority":
        """Wait until it answers."""
        self.crl_port = int(self.wait_log(r"publishing CRLs at \S+ on port (\d+)")[1])
        found = self.wait_log(r"answering ACME at (https://\S+:(\d+)/directory)")
        self.directory, self.port = found[1], int(found[2])
        return self

    def reload(self) -> None:
        """SIGHUP, and wait for its end."""
        since = len(self.lines)
        self.process.send_signal(1)
        self.wait_log(r"were read again|error: reload: ", since=since)


@contextmanager
def running_authority(files: AuthorityFiles, **popen: Any) -> Iterator[RunningAuthority]:
    """Run it, ready; its keys are made unless they are there. It is ended with the block."""
    if not files.root.exists():
        files.make()
    authority = RunningAuthority(files, **popen)
    try:
        yield authority.wait_ready()
    finally:
        authority.stop()


@dataclass
class InnerAuthority:
    """An authority within the test. `application` is ASGI."""

    config: Config
    clock: FakeClock
    log: FakeLog
    store: AuthorityStore
    assembled: Assembled

    async def ask(
        self, method: str, target: str, body: bytes = b"", content_type: str = JOSE
    ) -> Answered:
        """Ask as a client does; `target` may be a URL. With this it is a `World` of `acme_http`."""
        headers = [(b"content-type", content_type.encode())] if method == "POST" else []
        asked = (method, target.removeprefix(self.assembled.places.base))
        return await send(self.application, asked, body, headers)

    async def nonce(self) -> str:
        return (await self.ask("HEAD", "/new-nonce")).one("Replay-Nonce")

    @property
    def application(self) -> Any:
        return self.assembled.application

    @property
    def root(self) -> x509.Certificate:
        return self.assembled.issuers[0].root


@dataclass
class InnerSettings:
    """What differs from the usual of such an authority: sections with their keys."""

    resolver: str = "127.0.0.1:9"
    ports: tuple[int, int] = (80, 443)
    sections: Mapping[str, Mapping[str, object]] = field(default_factory=dict)


_inner_keys: list[Path] = []
"""Those that were made with the usual settings, at START."""


async def _make_within(files: AuthorityFiles, config: Config, clock: FakeClock) -> None:
    """Make keys as `ca init` does, or take those that were made before."""
    is_usual = clock.now() == START and "ca.names" not in files.settings
    is_usual = is_usual and config.ca.crl_url == CRL_URL and config.ca.name == CaSection().name
    if not is_usual or not _inner_keys:
        await make_authority_with_store(config, clock)
        if is_usual:
            kept = Path(tempfile.mkdtemp(prefix="letterlock-authority-"))
            atexit.register(shutil.rmtree, kept)
            _inner_keys.append(Path(shutil.copytree(files.keys, kept / "ca")))
    else:
        shutil.copytree(_inner_keys[0], files.keys)


@asynccontextmanager
async def inner_authority(
    folder: Path, settings: InnerSettings | None = None, clock: FakeClock | None = None
) -> AsyncIterator[InnerAuthority]:
    """Run one within this event loop: its workers and publisher too, no sockets.

    In a folder that has one already it is a further process over the same store.
    """
    settings, clock, log = settings or InnerSettings(), clock or FakeClock(), FakeLog()
    files = AuthorityFiles(
        folder, hostname="ca.example", resolver=settings.resolver, ports=settings.ports
    )
    for section, values in settings.sections.items():
        files.change(section, **values)
    config = load_config(files.write())
    if not files.root.exists():
        await _make_within(files, config, clock)
    store = make_store(config, clock)
    await store.open()
    try:
        around = Surroundings(
            store=store,
            clock=clock,
            log=log,
            owner=name_owner(),
            nonce_keys=NonceKeys((await store.keep_secret(NONCE_SECRET, os.urandom(32)),)),
            port=443,
            crl_url=find_crl_url(config, 80),
        )
        assembled = assemble(config, around)
        async with asyncio.TaskGroup() as tasks:
            working = tasks.create_task(assembled.run())
            yield InnerAuthority(config, clock, log, store, assembled)
            working.cancel()
    finally:
        await store.close()
