"""What the `cert` commands do: look at the store, and act as the node would.

Which process acts is the store's lease to say, so a command works beside a running node, whose
listeners answer the authority; where no node runs, the command listens for itself.
"""

import asyncio
import fcntl
import os
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from letterlock.base.clock import Clock
from letterlock.base.config.sections import Config
from letterlock.base.log import Service
from letterlock.network.acme_client import AcmeFailed
from letterlock.network.dns_backends import make_backend
from letterlock.network.dns_cache import CachingResolver
from letterlock.node.certificate_stores import CertificateStores, make_stores
from letterlock.node.certificates import list_challenge_servers, make_exporting
from letterlock.node.certifying import find_settings, list_wanted, make_tools
from letterlock.node.shared_database import name_command
from letterlock.node.web_listeners import WebListeners
from letterlock.protocols.acme.identifiers import parse_identifier
from letterlock.protocols.acme.requests import RevocationReason
from letterlock.services.certify.abandoning import abandon_rollover
from letterlock.services.certify.keeping import list_states
from letterlock.services.certify.overview import (
    NOT_ASKED,
    Overview,
    TlsaOverview,
    compare_tlsa,
    describe_unmatched,
    make_overview,
)
from letterlock.services.certify.revoking import revoke_certificate
from letterlock.services.certify.tending import Wish, tend
from letterlock.services.certify.tools import Tools
from letterlock.storage.certificates import CertificateId, CertificateState
from letterlock.storage.issued import IssuedCertificate
from letterlock.storage.watched import Watched

AT_A_TIME = 16
"""Lookups of TLSA records."""


class Told:
    """A log for commands: what is said of certificates goes to who is looking on."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell

    def write(
        self, service: Service, text: str, *, queue_id: str | None = None, **fields: object
    ) -> None:
        """Pass on what is about certificates."""
        del queue_id, fields
        if service is Service.CERTIFICATES:
            self._tell(text)


class Desk:
    """The store and the tools of one command."""

    def __init__(self, config: Config, stores: CertificateStores, tools: Tools) -> None:
        self.wanted = list_wanted(config)
        self._config = config
        self._stores = stores
        self._tools = tools
        self._settings = find_settings(config)
        self._watched: list[Watched] | None = None

    async def list_overviews(self, *, has_dns: bool) -> list[Overview]:
        """Look at all: those that are wanted, and those that are kept of before."""
        states = await list_states(self._stores.certificates)
        found = [states.pop(which, CertificateState(which)) for which in self.wanted]
        slots = asyncio.Semaphore(AT_A_TIME)

        async def look(state: CertificateState) -> Overview:
            async with slots:
                return await self.look(state, has_dns=has_dns)

        async with asyncio.TaskGroup() as tasks:
            looks = [tasks.create_task(look(state)) for state in (*found, *states.values())]
        return [task.result() for task in looks]

    async def look(self, state: CertificateState, *, has_dns: bool) -> Overview:
        """Look at one, and at its TLSA records."""
        tlsa = await self._compare(state) if has_dns else NOT_ASKED
        if self._watched is None:
            self._watched = await self._stores.watched.list_found()
        return make_overview(state, self._settings, self.now(), tlsa, self._watched)

    def now(self) -> datetime:
        return self._tools.clock.now()

    async def find(self, name: str) -> list[CertificateState]:
        """Find what is kept, or wanted, of a name: one for each type of key."""
        name = normalize_name(name)
        states = await list_states(self._stores.certificates)
        ids = sorted({*states, *self.wanted})
        return [states.get(each, CertificateState(each)) for each in ids if each.name == name]

    async def load_chain(self, which: CertificateId) -> bytes | None:
        """Give the chain in use (PEM)."""
        pair = await self._stores.certificates.load_pair(which)
        return pair.chain if pair is not None else None

    async def list_issued(self, which: CertificateId) -> list[IssuedCertificate]:
        """List what was ever got for it and is still remembered, the newest first."""
        return await self._stores.issued.list_issued_for(which)

    async def find_issued(self, serial: str) -> list[IssuedCertificate]:
        """Find by serial number (hex, with or without colons)."""
        text = serial.replace(":", "").lower().lstrip("0")
        return await self._stores.issued.find_issued(text)

    async def tend(self, which: CertificateId, wish: Wish) -> CertificateState | None:
        """Do what is due and what is wished; None: another process is at it."""
        state = await tend(self._tools, which, wish)
        await self._export()
        return state

    async def abandon(self, which: CertificateId) -> str | None:
        """Give a roll-over up; a text says why that can't be done."""
        return await abandon_rollover(self._tools, which)

    async def change_account_keys(self) -> list[tuple[str, str | None]]:
        """Give each of our accounts another key; gives the directories, and why one has not."""
        outcomes: list[tuple[str, str | None]] = []
        for directory in self._tools.directories:
            changed = await self._tools.accounts.change_key(directory)
            fault = changed.reason if isinstance(changed, AcmeFailed) else None
            outcomes.append((directory, fault))
        return outcomes

    async def revoke(
        self, certificate: IssuedCertificate, reason: RevocationReason | None
    ) -> AcmeFailed | None:
        """Revoke; None: it is done."""
        return await revoke_certificate(self._tools, certificate, reason)

    async def _export(self) -> None:
        """Write the files: where no node runs nobody else does, and it may be done twice."""
        await make_exporting(self._config, self._stores, self._tools.log).write_changes()

    async def _compare(self, state: CertificateState) -> TlsaOverview:
        published = await self._tools.zone.look(state.id.name)
        pem = await self.load_chain(state.id)
        if pem is None:
            return describe_unmatched(published)
        chain = x509.load_pem_x509_certificates(pem)
        ders = [each.public_bytes(Encoding.DER) for each in chain]
        return compare_tlsa(published, state.id.name, ders, self.now())


def normalize_name(text: str) -> str:
    """Give a name as certificates have it, however it was written; what is none stays."""
    try:
        return parse_identifier(text).value
    except ValueError:
        return text


def open_listeners(config: Config) -> WebListeners | None:
    """Listen for authorities if no node does; before privileges are dropped. None: a node runs.

    Raises SettingFaults.
    """
    if is_node_running(config):
        return None
    listeners = WebListeners()
    listeners.open(config)
    return listeners


def is_node_running(config: Config) -> bool:
    """Say if a node runs on the data folder."""
    try:
        descriptor = os.open(config.data_dir / "node.lock", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    else:
        return False
    finally:
        os.close(descriptor)


@asynccontextmanager
async def opened_desk(
    config: Config,
    clock: Clock,
    tell: Callable[[str], None],
    listeners: WebListeners | None = None,
) -> AsyncIterator[Desk]:
    """Open the store for a command; `tell` is given each line of what happens.

    Raises LocalError and StoreUnavailable.
    """
    stores = make_stores(config, name_command(config), clock)
    resolver = CachingResolver(make_backend(config.dns, random.SystemRandom()), clock)
    tools = make_tools(config, stores, resolver, clock, Told(tell))
    await stores.database.open()
    servers = list_challenge_servers(listeners, stores, clock) if listeners is not None else []
    # No group: what the command raises is to reach it as it is.
    serving = [asyncio.ensure_future(server.run(on)) for server, on in servers]
    try:
        yield Desk(config, stores, tools)
    finally:
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)
        await stores.database.close()
