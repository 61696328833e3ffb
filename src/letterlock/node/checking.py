"""What checks domains and services for `letterlock check`, as the settings say, without a node."""

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from ipaddress import ip_address
from typing import Any

from letterlock.base.clock import Clock
from letterlock.base.config.sections import Config
from letterlock.base.domains import Domain
from letterlock.base.errors import LocalError
from letterlock.network.dns_backends import make_backend
from letterlock.network.dns_cache import CachingResolver
from letterlock.network.probes import ProbeQuestion, ProbeTerms, probe_service
from letterlock.node.building import DeliveryBuilder, build_own_addresses
from letterlock.node.check_besides import make_beside_looker
from letterlock.node.explaining import Silence
from letterlock.node.mta_sts import make_fetcher, make_finder
from letterlock.protocols.check.facts import Probe
from letterlock.protocols.check.openings import Speech
from letterlock.protocols.check.terms import Terms
from letterlock.protocols.pki.anchors import TrustAnchors
from letterlock.protocols.policy.requirement import Level
from letterlock.protocols.policy.table import PolicyTable, TableEntry
from letterlock.services.check.asking import Asker, Door
from letterlock.services.check.deep import DeepLooker, DeepTerms
from letterlock.services.check.document import describe_checked
from letterlock.services.check.looking import DomainChecker
from letterlock.services.check.repeating import Patience, Repeater
from letterlock.services.deliver.anchors import AnchorFiles
from letterlock.services.discover.authorities import AuthorityFinder
from letterlock.services.discover.next_hop import NextHop
from letterlock.services.discover.resolver_check import (
    ResolverState,
    SelfTest,
    check_resolver,
    has_answers,
)
from letterlock.services.publish.looking import Looker
from letterlock.storage.sqlite.node import MEMORY, NodeDatabase
from letterlock.storage.sqlite.policies import SqlitePolicies

Tell = Callable[[dict[str, Any]], None]


@dataclass(frozen=True, slots=True)
class Asked:
    """What is checked: a domain; or, where it is said what is spoken, one service of a host.

    `name` is as it was asked for.
    """

    name: str
    next_hop: NextHop
    speech: Speech | None = None


@dataclass(frozen=True, slots=True)
class CheckOptions:
    """How it is asked: connections to an address, seconds between them, days looked ahead.

    `patience` is with who puts us off, and `note` is told when it makes us wait.
    `is_dnssec_explained`: the chain of trust is followed to each name.
    """

    connections: int
    pace: float
    seconds: float
    days: int
    patience: Patience
    note: Callable[[str], None]
    deep: "DeepOptions | None" = None
    is_dnssec_explained: bool = False


@dataclass(frozen=True, slots=True)
class DeepOptions:
    """How deeply it is looked: connections to an address; a domain that is the asker's own."""

    connections: int
    owned: Domain | None = None


def run(
    config: Config, asked: Sequence[Asked], options: CheckOptions, clock: Clock, tell: Tell
) -> None:
    """Check domains; `tell` gets the document of each when it is done, in no order.

    Raises LocalError for settings that can't be used.
    """
    asyncio.run(check_domains(config, asked, options, clock, tell))


async def check_domains(
    config: Config, asked: Sequence[Asked], options: CheckOptions, clock: Clock, tell: Tell
) -> None:
    """Do `run` in an event loop that is there."""
    files = AnchorFiles(config.policy.trust_files)
    anchors = files.load()
    if not isinstance(anchors, TrustAnchors):
        raise LocalError(anchors.reason)
    config = _look_at_everything(config)
    # What anybody's mail meets, not ours: none of the operator's own entries.
    table = PolicyTable({}, TableEntry("*", Level.MAY, "letterlock check"))
    builder = DeliveryBuilder(config, table, clock, Silence(), workers=1)
    state = await check_resolver(builder.backend, config.dns.signed_name, config.dns.bogus_name)
    store = SqlitePolicies(NodeDatabase(MEMORY, clock))
    await store.open()
    finder = make_finder(config, builder.resolver, store, builder.anchors.load, clock, Silence())
    helo = config.deliver.helo_ipv4 or config.hostname
    asker = Asker(
        partial(_probe, terms=ProbeTerms(helo, clock, options.seconds)),
        clock,
        connections=options.connections,
        pace=options.pace,
    )
    looker = _make_looker(config, builder, state, files, clock)
    checker = DomainChecker(
        builder.route_finder(is_outside=True),
        builder.policy(finder),
        builder.resolver,
        looker,
        asker,
        make_beside_looker(
            config, builder.resolver, clock, state if options.is_dnssec_explained else None
        ),
        partial(has_answers, builder.backend, config.dns.signed_name),
        _make_deep_looker(options, asker, helo, clock),
    )
    terms = Terms(anchors, clock.now(), options.days)

    async def check(asked: Asked) -> dict[str, Any]:
        if asked.speech is None:
            document = describe_checked(await checker.check(asked.next_hop, terms))
        else:
            service = await checker.check_service(asked.next_hop, asked.speech, terms)
            document = describe_checked(service) | {"domain": asked.name}
        is_here = _takes_mail_here(config, document, asked.next_hop.port)
        return document | {"asked_from_itself": is_here, "resolver": state.describe()}

    try:
        await Repeater(check, asker, options.patience, options.note).run(asked, tell)
    finally:
        await finder.close()
        await store.close()


async def _probe(door: Door, question: ProbeQuestion, *, terms: ProbeTerms) -> Probe:
    return await probe_service((str(door.ip), door.port), door.speech, question, terms)


def _make_deep_looker(
    options: CheckOptions, asker: Asker, helo: str, clock: Clock
) -> DeepLooker | None:
    if options.deep is None:
        return None
    terms = DeepTerms(helo, options.seconds, options.deep.connections, options.deep.owned)
    return DeepLooker(asker, terms, clock, random.SystemRandom().randbytes)


def _make_looker(
    config: Config, builder: DeliveryBuilder, state: ResolverState, files: AnchorFiles, clock: Clock
) -> Looker:
    is_validating = builder.backend.is_trusted and state.self_test is not SelfTest.FAILED
    resolver = CachingResolver(make_backend(config.dns, random.SystemRandom()), clock)
    fetcher = make_fetcher(config, resolver, files.load, clock)
    authorities = AuthorityFinder(resolver, config.dns_changes.port)
    return Looker(resolver, fetcher, clock, authorities, is_validating=is_validating)


def _takes_mail_here(config: Config, document: dict[str, Any], port: int) -> bool:
    """Say whether one of the hosts is this one, from which it is not seen what others reach."""
    own = build_own_addresses(config)
    return any(
        host["name"] == config.hostname
        or any(own.has(ip_address(each["ip"]), port) for each in host["addresses"])
        for host in document["hosts"]
    )


def _look_at_everything(config: Config) -> Config:
    """Look up what senders of any kind go by, whatever this node follows."""
    return replace(config, policy=replace(config.policy, dane=True, mta_sts=True))
