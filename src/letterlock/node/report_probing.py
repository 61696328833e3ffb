"""What asks a domain's hosts for `tlsrpt summary --probe`: what `letterlock check` does, once."""

import asyncio
from collections.abc import Iterable
from typing import Any

from letterlock.base.clock import Clock
from letterlock.base.config.sections import Config
from letterlock.base.errors import LocalError
from letterlock.node.checking import Asked, CheckOptions, check_domains
from letterlock.protocols.check.terms import DEFAULT_DAYS
from letterlock.services.check.asking import DEFAULT_CONNECTIONS, PACE_SECONDS
from letterlock.services.check.host_now import HostNow, find_now
from letterlock.services.check.repeating import Patience
from letterlock.services.discover.next_hop import parse_next_hop

MAX_SECONDS = 180.0
"""For all of a domain's hosts."""
STEP_SECONDS = 15.0


def probe_hosts(
    config: Config, domain: str, hosts: Iterable[str], clock: Clock
) -> dict[str, HostNow]:
    """Check a domain, and say what there is now at each of these hosts.

    Raises LocalError for settings that can't be used.
    """
    document = asyncio.run(_check(config, domain, clock))
    renewed = {str(name) for name in config.certificates.names}
    if config.certificates.authorities:
        renewed.add(config.hostname)
    return {host: find_now(document, host, renewed) for host in hosts}


async def _check(config: Config, domain: str, clock: Clock) -> dict[str, Any]:
    found: list[dict[str, Any]] = []
    next_hop = parse_next_hop(domain, config.deliver.port)
    options = CheckOptions(
        connections=DEFAULT_CONNECTIONS,
        pace=PACE_SECONDS,
        seconds=STEP_SECONDS,
        days=DEFAULT_DAYS,
        patience=Patience(0, 0.0),
        note=lambda _: None,
    )
    try:
        async with asyncio.timeout(MAX_SECONDS):
            await check_domains(config, [Asked(domain, next_hop)], options, clock, found.append)
    except TimeoutError:
        text = f"{domain}: its hosts did not answer within {MAX_SECONDS:g} seconds"
        raise LocalError(text) from None
    return found[0]
