"""What asks the hosts that a log names, for `log explain --probe`, as the settings say."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address

from letterlock.base.clock import Clock
from letterlock.base.config.sections import Config
from letterlock.base.errors import LocalError
from letterlock.network.probes import ProbeQuestion, ProbeTerms, probe_service
from letterlock.protocols.check.facts import Probe
from letterlock.protocols.check.second_look import SecondLook, look_again
from letterlock.protocols.check.terms import Terms
from letterlock.protocols.mail_log.causes import Cause
from letterlock.protocols.pki.anchors import TrustAnchors
from letterlock.services.check.asking import Asker, Door
from letterlock.services.deliver.anchors import AnchorFiles

CONNECTIONS = 3
"""With the host's name, without, and with another name that the address has."""
SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class LoggedHost:
    """A host as a log has it, and what the log says was wrong there."""

    mx: str
    ip: str
    port: int
    cause: Cause


def run(config: Config, hosts: Sequence[LoggedHost], clock: Clock) -> list[SecondLook]:
    """Ask each host; gives what was seen, in their order. Raises LocalError."""
    return asyncio.run(probe_hosts(config, hosts, clock))


async def probe_hosts(
    config: Config, hosts: Sequence[LoggedHost], clock: Clock
) -> list[SecondLook]:
    """Do `run` in an event loop that is there."""
    anchors = AnchorFiles(config.policy.trust_files).load()
    if not isinstance(anchors, TrustAnchors):
        raise LocalError(anchors.reason)
    helo = config.deliver.helo_ipv4 or config.hostname
    asking = ProbeTerms(helo, clock, SECONDS)

    async def probe(door: Door, question: ProbeQuestion) -> Probe:
        return await probe_service((str(door.ip), door.port), door.speech, question, asking)

    asker = Asker(probe, clock, connections=CONNECTIONS)
    terms = Terms(anchors, clock.now())

    async def look(host: LoggedHost) -> SecondLook:
        probes = await asker.ask(Door(ip_address(host.ip), host.port, host.mx))
        return look_again(host.cause, host.mx, probes, terms)

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(look(host)) for host in hosts]
    return [task.result() for task in tasks]
