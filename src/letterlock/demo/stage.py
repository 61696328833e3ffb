"""The demo's stage: an authority, a resolver, a policy host, a receiving and a sending node.

All files are in one folder, the caller's to remove. Every host is an address of loopback, and all
that take mail have the same port, since port 25 needs root.
"""

import asyncio
import errno
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from letterlock.base.clock import Clock
from letterlock.base.config.values import ListenAddress
from letterlock.base.errors import LocalError
from letterlock.demo.certificates import make_certificates, name_files
from letterlock.demo.configs import format_receiver, format_sender
from letterlock.demo.nodes import CONFIG_NAME, Node, make_signing_keys, running
from letterlock.demo.setting import (
    BROKEN_DOMAIN,
    POLICY_HOST_IP,
    RIGHT_IP,
    SENDER_IP,
    SIGNED_DOMAIN,
    SIGNED_HOST,
    WRONG_IP,
    ZONES,
    Setting,
)
from letterlock.network.policy_host import PolicyHost
from letterlock.network.server_certificates import ServerCertificates
from letterlock.network.validating_server import ValidatingServer
from letterlock.network.zone_server import ZoneServer
from letterlock.network.zone_signing import make_key
from letterlock.node.listeners import Listeners
from letterlock.protocols.pki.throwaway_ca import Issued

_PORT_TRIES = 20


@dataclass(frozen=True, slots=True)
class Stage:
    """What there is. The nodes trust the authority's certificates and no others."""

    folder: Path
    resolver: ListenAddress
    policy_host: ListenAddress
    authority: Issued
    receiver: Node
    sender: Node


@asynccontextmanager
async def set_up(folder: Path, setting: Setting, clock: Clock) -> AsyncIterator[Stage]:
    """Set all of it up, and take it down at the end. Raises LocalError for what is in the way.

    What a node or the caller's block raises comes in an exception group.
    """
    async with AsyncExitStack() as stack:
        certificates = make_certificates(setting, clock.now())
        sending, receiving = stack.enter_context(listening())
        own = sending.addresses[0]
        zones, resolver = await stack.enter_async_context(_resolver(clock))
        zones.set(f"_{own.port}._tcp.{SIGNED_HOST}", "TLSA", certificates.tlsa)
        _write(folder, certificates.files)
        policy_host = await stack.enter_async_context(_policy_host(folder, setting, clock))
        configs = {
            "receiver": format_receiver(receiving.addresses, str(resolver)),
            "sender": format_sender(own, str(resolver), policy_host.port, setting.level),
        }
        _write(folder, {f"{node}/{CONFIG_NAME}": text for node, text in configs.items()})
        for name, record in (await asyncio.to_thread(make_signing_keys, folder / "sender")).items():
            zones.set(name, "TXT", record)
        receiver = await stack.enter_async_context(running(folder / "receiver", receiving, clock))
        sender = await stack.enter_async_context(running(folder / "sender", sending, clock))
        yield Stage(folder, resolver, policy_host, certificates.authority, receiver, sender)


@asynccontextmanager
async def _resolver(clock: Clock) -> AsyncIterator[tuple[ZoneServer, ListenAddress]]:
    """Serve the zones, two of them signed, and validate them in front of that by one key."""
    key = make_key()
    keys = {SIGNED_DOMAIN: key, BROKEN_DOMAIN: make_key()}
    zones = ZoneServer(ZONES, keys=keys, now=clock.now())
    anchors = dict.fromkeys(keys, key.dnskey)
    resolver = ValidatingServer(zones.respond, anchors, clock)
    try:
        yield zones, ListenAddress(*await resolver.start())
    finally:
        await resolver.close()


@asynccontextmanager
async def _policy_host(
    folder: Path, setting: Setting, clock: Clock
) -> AsyncIterator[ListenAddress]:
    """Serve the MTA-STS policies over HTTPS."""
    certificate, key = name_files("policy-host/certificate")
    certificates = ServerCertificates([(folder / certificate, folder / key)])
    host = PolicyHost(setting.policies.get, certificates, clock)
    listeners = Listeners()
    listeners.open([ListenAddress(POLICY_HOST_IP, 0)], workers=1)
    try:
        async with asyncio.TaskGroup() as tasks:
            serving = tasks.create_task(host.run(listeners.groups[0]))
            yield listeners.addresses[0]
            serving.cancel()
    finally:
        listeners.close()


@contextmanager
def listening() -> Iterator[tuple[Listeners, Listeners]]:
    """Listen for the sender and the receiver, on a port that is free at all three addresses."""
    sending, receiving = _open_listeners()
    try:
        yield sending, receiving
    finally:
        sending.close()
        receiving.close()


def _write(folder: Path, files: Mapping[str, str]) -> None:
    """Write files that nobody else can read."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(mode=0o700, exist_ok=True)
        path.touch(mode=0o600)
        path.write_text(text, encoding="utf-8")


def _open_listeners() -> tuple[Listeners, Listeners]:
    for _ in range(_PORT_TRIES - 1):
        try:
            return _open_once()
        except LocalError as error:
            if _is_address_missing(error):
                raise LocalError(
                    f"the demo needs {SENDER_IP}, {RIGHT_IP} and {WRONG_IP}; where loopback has "
                    "only the first, as on macOS: sudo ifconfig lo0 alias ADDRESS, for each other"
                ) from error
    return _open_once()


def _open_once() -> tuple[Listeners, Listeners]:
    sending, receiving = Listeners(), Listeners()
    sending.open([ListenAddress(SENDER_IP, 0)], workers=1)
    port = sending.addresses[0].port
    try:
        receiving.open([ListenAddress(RIGHT_IP, port), ListenAddress(WRONG_IP, port)], workers=1)
    except LocalError:
        sending.close()
        raise
    return sending, receiving


def _is_address_missing(error: LocalError) -> bool:
    return isinstance(error.__cause__, OSError) and error.__cause__.errno == errno.EADDRNOTAVAIL
