"""Delivery into a mail store that takes LMTP: each recipient has an answer of its own.

RFC 2033 §4.2. The store adds Return-Path. What a sender asked of TLS on the way (RFC 8689) is for
hops, and this is none: it ends here, as in a mailbox of ours.
"""

from dataclasses import dataclass
from typing import assert_never

from msgspec.structs import replace

from letterlock.base.clock import Clock
from letterlock.base.domains import Domain
from letterlock.network.lmtp_client import LmtpDialer
from letterlock.network.smtp_client import Connected
from letterlock.network.smtp_speaker import Refused, Target, Unreachable
from letterlock.protocols.smtp.envelope import TlsDemand
from letterlock.protocols.tables.transport import LmtpHost, LmtpSocket
from letterlock.services.deliver.journey import Journey
from letterlock.services.deliver.outgoing import MAX_ADDRESSES
from letterlock.services.deliver.sending import Sender
from letterlock.services.deliver.story import Story
from letterlock.services.discover.next_hop import parse_next_hop
from letterlock.services.discover.routes import NoRoute, RouteFinder
from letterlock.services.queue.outcomes import Delivery
from letterlock.storage.queue import Claim, QueueStore


@dataclass(frozen=True, slots=True)
class LmtpDelivery:
    """Delivers claims to LMTP servers. The sender's settings say that it is LMTP."""

    hostname: Domain
    finder: RouteFinder
    dialer: LmtpDialer
    sender: Sender
    clock: Clock

    async def deliver(
        self, claim: Claim, server: LmtpSocket | LmtpHost, store: QueueStore
    ) -> Delivery:
        """Try the server's addresses in order until each recipient has an answer."""
        journey = Journey(replace(claim, tls_demand=TlsDemand.NORMAL), store, self.clock)
        journey.is_host_chosen = True
        targets = await self._find_targets(server)
        if isinstance(targets, NoRoute):
            journey.end_without_route(targets)
            return journey.end()
        for target in targets:
            try:
                await self._try_target(journey, target)
            except Exception as error:
                if not journey.break_off(error):
                    raise
                break
            if not journey.waiting or journey.sessions:
                break
        return _make_final(journey.end())

    async def _find_targets(self, server: LmtpSocket | LmtpHost) -> list[Target] | NoRoute:
        match server:
            case LmtpSocket(path):
                return [Target(self.hostname, path, 0, self.hostname)]
            case LmtpHost(host, port):
                route = await self.finder.find(parse_next_hop(f"[{host}]:{port}"))
                if isinstance(route, NoRoute):
                    # The name is our operator's: mail waits until it is right.
                    return NoRoute(is_permanent=False, status="4.4.4", reason=route.reason)
                addresses = [
                    (host, address.ip) for host in route.hosts for address in host.addresses
                ]
                return [
                    Target(host.name or str(ip), str(ip), port, self.hostname)
                    for host, ip in addresses[:MAX_ADDRESSES]
                ]
            case _:
                assert_never(server)

    async def _try_target(self, journey: Journey, target: Target) -> None:
        journey.start_attempt()
        dialled = await self.dialer.dial(target)
        match dialled:
            case Connected():
                await self._send(journey, dialled)
            case Refused(reply):
                text = f"host {target.relay} refused to talk to me: {reply.text}"
                journey.note_refused(target.relay, reply, text)
                journey.end_attempt(target.relay, text, Story(dialogue=dialled.dialogue))
            case Unreachable(detail):
                text = f"connect to {target.relay}: {detail}"
                journey.note_problem(target.relay, "4.4.1", text)
                journey.end_attempt(target.relay, text, Story(dialogue=dialled.dialogue))
            case _:
                assert_never(dialled)

    async def _send(self, journey: Journey, connection: Connected) -> None:
        journey.note_connected()
        try:
            sent = await self.sender.send(journey, connection)
        except BaseException:
            connection.abort()
            raise
        dialogue = connection.take_dialogue()
        story = Story(None, None, connection.verdict, dialogue, sent.summary)
        journey.end_attempt(connection.target.relay, sent.summary, story, numbers=sent.numbers)
        if sent.must_close:
            connection.abort()
        else:
            await connection.quit()


def _make_final(delivery: Delivery) -> Delivery:
    """RFC 3461 §5.2.3: what is in a mail store was delivered, not relayed."""
    outcomes = tuple(replace(each, is_final=True) for each in delivery.outcomes)
    return replace(delivery, outcomes=outcomes)
