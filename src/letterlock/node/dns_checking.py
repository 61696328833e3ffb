"""What a domain should publish, and what is wrong with what it does, as a command asks it."""

import asyncio
import random
from dataclasses import replace
from typing import Any

from letterlock.base.clock import Clock
from letterlock.base.config.sections import Config
from letterlock.base.domains import Domain
from letterlock.network.dns import Resolver
from letterlock.network.dns_backends import make_backend
from letterlock.network.dns_cache import CachingResolver
from letterlock.node.mta_sts import make_fetcher
from letterlock.node.posts import find_address
from letterlock.node.publishing import Chain, describe_domain, load_kept
from letterlock.node.signing import find_dkim_keys
from letterlock.protocols.pki.anchors import TrustAnchors
from letterlock.services.deliver.anchors import AnchorFiles
from letterlock.services.discover.authorities import AuthorityFinder
from letterlock.services.discover.resolver_check import SelfTest, check_resolver
from letterlock.services.publish.check import check
from letterlock.services.publish.document import describe_report
from letterlock.services.publish.looking import Looker
from letterlock.services.publish.records import Plan, plan_records

NO_ADDRESS_NOTE = (
    "TLSRPT: no address for reports by HTTPS yet: the node makes it when it starts, or `letterlock "
    "tlsrpt address`"
)


async def check_domain(
    config: Config, domain: Domain, chains: tuple[Chain, ...], clock: Clock
) -> dict[str, Any]:
    """Check what a domain publishes; one that is not ours by itself.

    `chains` are those of `publishing.find_chains`. Raises LocalError.
    """
    backend = make_backend(config.dns, random.SystemRandom())
    # Empty yet: what is asked for is what stands there now.
    resolver = CachingResolver(backend, clock)
    plan = None
    if domain in config.domains:
        plan = await _plan(config, domain, chains, resolver, clock)
    state = await check_resolver(backend, config.dns.signed_name, config.dns.bogus_name)
    is_validating = backend.is_trusted and state.self_test is not SelfTest.FAILED
    files = AnchorFiles(config.policy.trust_files)
    anchors = files.load()
    fetcher = make_fetcher(config, resolver, files.load, clock)
    authorities = AuthorityFinder(resolver, config.dns_changes.port)
    looker = Looker(resolver, fetcher, clock, authorities, is_validating=is_validating)
    observed = await looker.look(domain, plan)
    usable = anchors if isinstance(anchors, TrustAnchors) else None
    report = check(observed, plan, clock.now(), usable)
    return describe_report(domain, plan, report) | {"resolver": state.describe()}


async def plan_domain(
    config: Config, domain: Domain, chains: tuple[Chain, ...], clock: Clock
) -> Plan:
    """Say what a domain of ours should publish; `chains` as above. Raises LocalError."""
    resolver = make_backend(config.dns, random.SystemRandom())
    return await _plan(config, domain, chains, resolver, clock)


async def _plan(
    config: Config, domain: Domain, chains: tuple[Chain, ...], resolver: Resolver, clock: Clock
) -> Plan:
    kept = await load_kept(config, domain, resolver, clock)
    keys, notes = find_dkim_keys(config, domain)
    posted = find_address(config, domain)
    if posted is None and config.tlsrpt.posts.enabled:
        notes = (*notes, NO_ADDRESS_NOTE)
    kept = replace(kept, dkim_keys=keys, post_address=posted, notes=(*kept.notes, *notes))
    plan = plan_records(describe_domain(config, domain, chains, kept, clock.now()))
    return Plan(plan.own, plan.records, (*plan.notes, *kept.notes))


def run_check(
    config: Config, domain: Domain, chains: tuple[Chain, ...], clock: Clock
) -> dict[str, Any]:
    """Do `check_domain` in an event loop of its own."""
    return asyncio.run(check_domain(config, domain, chains, clock))


def run_plan(config: Config, domain: Domain, chains: tuple[Chain, ...], clock: Clock) -> Plan:
    """Do `plan_domain` in an event loop of its own."""
    return asyncio.run(plan_domain(config, domain, chains, clock))
