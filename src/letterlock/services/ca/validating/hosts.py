"""From a name to a connection, as one perspective finds it.

RFC 8555 §10.4 (server-side request forgery): a name is resolved once, and what is connected to are
those addresses, none of which may be special unless the configuration lists it. IPv6 comes first,
then IPv4 where no connection could be opened, one address of each, as Let's Encrypt has it.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from letterlock.base.domains import DomainError, parse_domain
from letterlock.network.public_addresses import is_public
from letterlock.network.wire import Wire
from letterlock.protocols.acme.problems import Problem
from letterlock.protocols.acme.server.refusals import ErrorType
from letterlock.protocols.dns.answers import Answer, Security
from letterlock.protocols.pki.names import IpAddress, parse_ip
from letterlock.services.ca.validating.outcomes import Notes, refuse
from letterlock.services.ca.validating.perspectives import Perspective


@dataclass(frozen=True, slots=True)
class ValidationBounds:
    """What a look may take, and where it may go besides the Internet.

    `seconds` are for all of it, `connect_seconds` for one address. `networks` are special ones
    (loopback, private) that may be connected to all the same.
    """

    seconds: float = 30.0
    connect_seconds: float = 10.0
    networks: tuple[IPv4Network | IPv6Network, ...] = ()

    def may_connect(self, ip: IpAddress) -> bool:
        return is_public(ip) or any(ip in network for network in self.networks)


async def reach(
    perspective: Perspective, host: str, port: int, bounds: ValidationBounds, notes: Notes
) -> Wire | Problem:
    """Connect to a host."""
    found = await _find_addresses(perspective, host, notes)
    if isinstance(found, Problem):
        return found
    usable = [ip for ip in found if bounds.may_connect(ip)]
    if not usable:
        shown = ", ".join(str(ip) for ip in found)
        return refuse(ErrorType.CONNECTION, f"{host}: {shown}: not an address of the Internet")
    losses = []
    for ip in usable:
        wire = await perspective.dialer.connect(str(ip), port, bounds.connect_seconds)
        if isinstance(wire, Wire):
            notes.steps.append(f"connected to {ip} port {port}")
            return wire
        losses.append(f"{ip} port {port}: {wire.detail}")
        notes.steps.append(losses[-1])
    return refuse(ErrorType.CONNECTION, f"{host}: {'; '.join(losses)}")


async def _find_addresses(
    perspective: Perspective, host: str, notes: Notes
) -> Sequence[IpAddress] | Problem:
    """Give the first IPv6 address and the first IPv4 one."""
    if ip := parse_ip(host):
        return [ip]
    try:
        name = parse_domain(host)
    except DomainError as error:
        return refuse(ErrorType.DNS, str(error))
    answers = await asyncio.gather(
        *(perspective.resolver.ask(name, rdtype) for rdtype in ("AAAA", "A"))
    )
    notes.lookups += answers
    if forged := next((each for each in answers if each.security is Security.BOGUS), None):
        return refuse(
            ErrorType.DNS, f"{host} {forged.rdtype}: DNSSEC validation failed: {forged.reason}"
        )
    found = [ip for answer in answers if (ip := _find_first(answer))]
    if not found:
        failed = next((each for each in answers if not each.is_answer), None)
        reason = f"{failed.rdtype}: {failed.reason}" if failed else "the name has no address"
        return refuse(ErrorType.DNS, f"{host} {reason}")
    return found


def _find_first(answer: Answer) -> IpAddress | None:
    if not answer.is_answer:
        return None
    return next(
        (each for each in answer.records if isinstance(each, IPv4Address | IPv6Address)), None
    )
