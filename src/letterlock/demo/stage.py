"""The demo's stage: a resolver, an authority, a policy host, a receiving and a sending node.

All files are in one folder, the caller's to remove. Every host is an address of loopback, and all
that take mail have the same port, since port 25 needs root.
"""

import asyncio
import errno
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import SystemRandom
from typing import TypeVar

from letterlock.base.clock import Clock
from letterlock.base.config.values import ListenAddress
from letterlock.base.errors import LocalError
from letterlock.demo.authority import DemoAuthority, running_authority
from letterlock.demo.certificates import make_certificates
from letterlock.demo.configs import Certifying, format_receiver, format_sender
from letterlock.demo.files import write_files
from letterlock.demo.nodes import CONFIG_NAME, MovedClock, Node, make_signing_keys, running
from letterlock.demo.setting import (
    AUTHORITY,
    BROKEN_DOMAIN,
    POLICY_HOST_IP,
    RIGHT_IP,
    SENDER_IP,
    SIGNED_DOMAIN,
    SIGNED_HOST,
    WRONG_IP,
    Setting,
)
from letterlock.network.policy_host import PolicyHost
from letterlock.network.server_certificates import ServerCertificates
from letterlock.network.validating_server import ValidatingServer
from letterlock.network.zone_server import ZoneServer
from letterlock.network.zone_signing import make_key
from letterlock.node.listeners import Listeners
from letterlock.protocols.pki.throwaway_ca import ThrowawayCa

ROOT_FILE, TRUSTED_FILE = "root.pem", "trusted.pem"
"""Who the authority's own server is trusted by, and who the sender trusts: one and the same."""

_PORT_TRIES = 20
_PORTS_FOR_LATER = range(10_000, 32_000)
"""None that the kernel gives of itself: a connection of anybody would have one that is not yet
listened at."""
_ANY = SystemRandom()
_Found = TypeVar("_Found")


@dataclass(frozen=True, slots=True)
class Stage:
    """What there is. The nodes trust the authority's certificates and no others.

    `wanted` are the names that the receiver asks it for; `clock` is the one that both nodes have.
    """

    folder: Path
    resolver: ListenAddress
    policy_host: ListenAddress
    authority: DemoAuthority
    wanted: tuple[str, ...]
    receiver: Node
    sender: Node
    clock: MovedClock


@asynccontextmanager
async def set_up(folder: Path, setting: Setting, clock: Clock) -> AsyncIterator[Stage]:
    """Set all of it up, and take it down at the end. Raises LocalError for what is in the way.

    What a node or the caller's block raises comes in an exception group.
    """
    async with AsyncExitStack() as stack:
        own = make_certificates(setting, clock.now())
        nodes_clock = MovedClock(clock)
        sending, receiving = stack.enter_context(listening())
        zones, resolver = await stack.enter_async_context(_resolver(setting, clock))
        place = sending.addresses[0]
        zones.set(f"_{place.port}._tcp.{SIGNED_HOST}", "TLSA", own.tlsa)
        http_port = find_free_port()
        authority = await stack.enter_async_context(
            running_authority(folder / "authority", resolver, http_port, clock)
        )
        write_files(folder, {**own.files, **_make_trust(setting, authority, clock)})
        certifying = Certifying(
            authority.directory,
            setting.certified[1:],
            [ListenAddress(ip, http_port) for ip in (RIGHT_IP, WRONG_IP, POLICY_HOST_IP)],
        )
        reports = setting.expects_reports_at
        text = format_receiver(receiving.addresses, certifying, str(resolver), reports)
        write_files(folder / "receiver", {CONFIG_NAME: text})
        receiver = await stack.enter_async_context(
            running(folder / "receiver", receiving, nodes_clock, own.signed)
        )
        policy_host = await stack.enter_async_context(
            _policy_host(receiver.certificates, setting, clock)
        )
        text = format_sender(place, str(resolver), policy_host.port, setting.level)
        write_files(folder / "sender", {CONFIG_NAME: text})
        for name, record in (await asyncio.to_thread(make_signing_keys, folder / "sender")).items():
            zones.set(name, "TXT", record)
        sender = await stack.enter_async_context(running(folder / "sender", sending, nodes_clock))
        yield Stage(
            *(folder, resolver, policy_host, authority, setting.certified),
            *(receiver, sender, nodes_clock),
        )


def _make_trust(setting: Setting, authority: DemoAuthority, clock: Clock) -> dict[str, str]:
    """Give the files of those that are trusted: by who asks the authority, and by the sender."""
    trusted = authority.root_pem
    if not setting.is_authority_trusted:
        trusted = ThrowawayCa(AUTHORITY, clock.now()).pem.decode()
    return {ROOT_FILE: authority.root_pem, TRUSTED_FILE: trusted}


@asynccontextmanager
async def _resolver(
    setting: Setting, clock: Clock
) -> AsyncIterator[tuple[ZoneServer, ListenAddress]]:
    """Serve the zones, two of them signed, and validate them in front of that by one key."""
    key = make_key()
    keys = {SIGNED_DOMAIN: key, BROKEN_DOMAIN: make_key()}
    zones = ZoneServer(setting.zones, keys=keys, now=clock.now())
    anchors = dict.fromkeys(keys, key.dnskey)
    resolver = ValidatingServer(zones.respond, anchors, clock)
    try:
        yield zones, ListenAddress(*await resolver.start())
    finally:
        await resolver.close()


@asynccontextmanager
async def _policy_host(
    certificates: ServerCertificates, setting: Setting, clock: Clock
) -> AsyncIterator[ListenAddress]:
    """Serve the MTA-STS policies over HTTPS, with the receiver's certificates."""
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
    sending, receiving = _try_ports(_open_listeners)
    try:
        yield sending, receiving
    finally:
        sending.close()
        receiving.close()


def find_free_port() -> int:
    """Find one that is free at each address that proves a name, and that no connection gets."""
    return _try_ports(_find_port)


def _find_port() -> int:
    port = _ANY.choice(_PORTS_FOR_LATER)
    with closing(Listeners()) as listeners:
        ips = (RIGHT_IP, POLICY_HOST_IP, WRONG_IP)
        listeners.open([ListenAddress(ip, port) for ip in ips], workers=1)
    return port


def _try_ports(attempt: Callable[[], _Found]) -> _Found:
    """Try again while a port that is free at one address is another program's at the next."""
    for _ in range(_PORT_TRIES - 1):
        try:
            return attempt()
        except LocalError as error:
            if _is_address_missing(error):
                raise LocalError(
                    f"the demo needs {SENDER_IP}, {RIGHT_IP} and {WRONG_IP}; where loopback has "
                    "only the first, as on macOS: sudo ifconfig lo0 alias ADDRESS, for each other"
                ) from error
    return attempt()


def _open_listeners() -> tuple[Listeners, Listeners]:
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
