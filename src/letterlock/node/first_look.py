"""What looks at this host for `init` and `config check --outside`, as the settings say."""

import asyncio
import random
from collections.abc import Iterator
from functools import partial

from letterlock.base.clock import Clock
from letterlock.base.config.choices import ChallengeKind
from letterlock.base.config.sections import Config
from letterlock.base.config.values import ListenAddress
from letterlock.network.dns_backends import make_backend
from letterlock.network.dns_cache import CachingResolver
from letterlock.network.greetings import Greeting, fetch_greeting
from letterlock.network.own_addresses import find_outgoing_addresses
from letterlock.network.wire import Lost
from letterlock.node.publishing import (
    NOTHING_KEPT,
    FindAddresses,
    describe_domain,
    describe_host,
)
from letterlock.services.certify.solving.stored import find_own_address
from letterlock.services.publish.first_look import Remark, list_remarks
from letterlock.services.publish.first_looking import FirstLooker, HostQuestion, OwnPort
from letterlock.services.publish.records import plan_records


def run(config: Config, clock: Clock, *, is_new: bool) -> tuple[Remark, ...]:
    """Look, in an event loop of its own; `is_new`: no node ran here yet. Raises LocalError."""
    return asyncio.run(look_at_host(config, clock, is_new=is_new))


async def look_at_host(
    config: Config,
    clock: Clock,
    *,
    is_new: bool,
    find_addresses: FindAddresses = find_outgoing_addresses,
) -> tuple[Remark, ...]:
    """Do `run` in an event loop that is there. Without a network it is done soon, too."""
    backend = make_backend(config.dns, random.SystemRandom())
    looker = FirstLooker(
        backend,
        CachingResolver(backend, clock),
        fetch_greeting,
        partial(_knock, config),
        config.dns.signed_name,
        config.dns.bogus_name,
        config.deliver.port,
    )
    question = make_question(config, clock, is_new=is_new, find_addresses=find_addresses)
    return tuple(list_remarks(await looker.look(question)))


def make_question(
    config: Config, clock: Clock, *, is_new: bool, find_addresses: FindAddresses
) -> HostQuestion:
    """Say what the settings tell of this host."""
    now = clock.now()
    return HostQuestion(
        config.hostname,
        outgoing=find_addresses(),
        known=describe_host(config, (), NOTHING_KEPT, find_addresses).addresses,
        plans={
            domain: plan_records(
                describe_domain(config, domain, (), NOTHING_KEPT, now, find_addresses)
            )
            for domain in config.domains
        },
        ports=tuple(_list_ports(config)),
        sends_itself=config.deliver.relayhost is None,
        is_new=is_new,
    )


def _list_ports(config: Config) -> Iterator[OwnPort]:
    """List where the node is to listen for others; behind a proxy it greets only through that."""
    if not config.receive.proxy_from:
        for listen in config.receive.listen:
            yield _make_port(listen, "receive.listen", is_smtp=True)
    section = config.certificates
    if section.authorities and ChallengeKind.HTTP in section.challenges and not section.webroot:
        for listen in section.http_listen:
            yield _make_port(listen, "certificates.http_listen", is_smtp=False)


def _make_port(listen: ListenAddress, setting: str, *, is_smtp: bool) -> OwnPort:
    place = find_own_address(listen)
    return OwnPort(place.host, place.port, setting, is_smtp)


async def _knock(config: Config, ip: str, port: int, seconds: float) -> Greeting | Lost:
    """Connect from where deliveries do."""
    source = config.deliver.source_ipv6 if ":" in ip else config.deliver.source_ipv4
    return await fetch_greeting(ip, port, seconds, source=None if source is None else str(source))
