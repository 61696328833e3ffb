"""The status page with its form, put together from the settings."""

import asyncio
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address

from starlette.routing import BaseRoute

from letterlock.base.clock import Clock
from letterlock.base.config.sections import Config
from letterlock.base.domains import Domain
from letterlock.network.challenge_look import Unseen
from letterlock.network.dns import Resolver
from letterlock.network.served_look import AskedName, look_over_smtp, look_over_tls
from letterlock.protocols.acme.fields import parse_url
from letterlock.protocols.acme.server.places import Places
from letterlock.protocols.incidents.places import Place, Speech
from letterlock.services.ca.incidents.public import StatusKeeper
from letterlock.services.ca.validating.hosts import ValidationBounds
from letterlock.services.incidents.findings import Finding
from letterlock.services.incidents.hosts import HostLooker, IpAddress
from letterlock.storage.ca.store import AuthorityStore
from letterlock.web.ca.status.checking import HostChecker, Look
from letterlock.web.ca.status.pages import Pages
from letterlock.web.ca.status.routes import StatusRoutes

MAX_ADDRESSES = 2
"""Of each family that are asked of one host."""
CONNECTION_SECONDS = 8.0


def make_status_routes(
    config: Config, store: AuthorityStore, clock: Clock, places: Places, resolver: Resolver
) -> Sequence[BaseRoute]:
    """Make the routes; none where there is to be no page."""
    section = config.ca.status
    if not section.page:
        return ()
    pages = Pages(config.ca.name, places.base, has_form=section.host_checks)
    checker = None
    if section.host_checks:
        checker = HostChecker(store, make_look(config, resolver), clock)
    routes = StatusRoutes(pages, StatusKeeper(store, clock), checker)
    return routes.list_routes(parse_url(places.base).target.rstrip("/"))


def make_look(config: Config, resolver: Resolver) -> Look:
    """Make what looks at hosts: at no address that names could not be validated at, either."""
    bounds = ValidationBounds(networks=config.ca.validation.networks)
    helo = config.deliver.helo_ipv4 or config.hostname

    async def look(ip: str, port: int, asked: AskedName, speech: Speech) -> bytes | Unseen:
        # Whatever led here, a name, an address or `localhost`: this is the only way out.
        if not bounds.may_connect(ip_address(ip)):
            return Unseen("not an address of the Internet")
        if speech is Speech.STARTTLS:
            return await look_over_smtp(ip, port, asked, helo, CONNECTION_SECONDS)
        return await look_over_tls(ip, port, asked, CONNECTION_SECONDS)

    async def find_addresses(host: Domain) -> Sequence[IpAddress] | str:
        return await _find_addresses(resolver, host)

    async def look_at(places: Sequence[Place]) -> list[Finding]:
        return await HostLooker(find_addresses, look).look_at(places)

    return look_at


async def _find_addresses(resolver: Resolver, host: Domain) -> Sequence[IpAddress] | str:
    answers = await asyncio.gather(*(resolver.ask(host, kind) for kind in ("AAAA", "A")))
    found = [
        ip
        for answer in answers
        if answer.is_answer
        for ip in [each for each in answer.records if isinstance(each, IPv4Address | IPv6Address)][
            :MAX_ADDRESSES
        ]
    ]
    return found or "it has no address"
