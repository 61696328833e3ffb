"""What is wrong with the DNS of a domain, as a command asks it, without a node."""

import asyncio
import random
from typing import Any

from letterlock.base.clock import Clock
from letterlock.base.config.sections import Config
from letterlock.base.domains import Domain
from letterlock.network.dns_backends import make_backend
from letterlock.node.mta_sts import make_fetcher
from letterlock.node.publishing import describe_domain
from letterlock.services.deliver.anchors import AnchorFiles
from letterlock.services.discover.resolver_check import SelfTest, check_resolver
from letterlock.services.publish.check import check
from letterlock.services.publish.document import describe_report
from letterlock.services.publish.looking import Looker
from letterlock.services.publish.records import plan_records


async def check_domain(config: Config, domain: Domain, clock: Clock) -> dict[str, Any]:
    """Check what a domain publishes; one that is not ours by itself. Raises LocalError."""
    plan = plan_records(describe_domain(config, domain)) if domain in config.domains else None
    # No cache: what is asked for is what stands there now.
    resolver = make_backend(config.dns, random.SystemRandom())
    state = await check_resolver(resolver, config.dns.signed_name, config.dns.bogus_name)
    is_validating = resolver.is_trusted and state.self_test is not SelfTest.FAILED
    anchors = AnchorFiles(config.policy.trust_files)
    fetcher = make_fetcher(config, resolver, anchors.load, clock)
    observed = await Looker(resolver, fetcher, is_validating=is_validating).look(domain, plan)
    report = check(observed, plan, clock.now())
    return describe_report(domain, plan, report) | {"resolver": state.describe()}


def run(config: Config, domain: Domain, clock: Clock) -> dict[str, Any]:
    """Do `check_domain` in an event loop of its own."""
    return asyncio.run(check_domain(config, domain, clock))
