"""What asks DNS for CAA records as the settings say, for a command and without a node."""

import asyncio
import random
from collections.abc import Callable, Iterable

from letterlock.base.clock import Clock
from letterlock.base.config.sections import Config
from letterlock.network.dns_backends import make_backend
from letterlock.network.dns_cache import CachingResolver
from letterlock.protocols.caa.decide import Issuance
from letterlock.services.discover.caa import CaaAnswer, CaaFinder
from letterlock.services.explain.caa import check_all


async def check(
    config: Config, issuances: Iterable[Issuance], clock: Clock, tell: Callable[[CaaAnswer], None]
) -> str | None:
    """Check names and tell each answer in turn; gives what else is to be known of all, or None.

    What is above several names is asked for once, for as long as the answer holds. Raises
    LocalError where there is nothing to ask DNS with.
    """
    backend = make_backend(config.dns, random.SystemRandom())
    await check_all(CaaFinder(CachingResolver(backend, clock), clock), issuances, tell)
    if backend.is_trusted:
        return None
    return (
        f"the word of {backend.address} on DNSSEC does not count, so that nothing is secure here: "
        "ask a validating resolver on this machine, or see dns.trust_ad"
    )


def run(
    config: Config, issuances: Iterable[Issuance], clock: Clock, tell: Callable[[CaaAnswer], None]
) -> str | None:
    """Do `check` in an event loop of its own."""
    return asyncio.run(check(config, issuances, clock, tell))
