"""What a Postfix asks for policies: one process that answers, and one that finds.

Two processes, not threads: a policy that is fetched costs milliseconds of the CPU at a time (TLS,
chains), and a thread at that holds the interpreter for 5 ms before it lets the one who answers in.
The process that answers does nothing else; the other one gives way to it where the CPU is short.
"""

import asyncio
import random
import socket
import weakref
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

from letterlock.base.clock import Clock
from letterlock.base.config.choices import AddressFamily
from letterlock.base.config.sections import Config
from letterlock.base.errors import describe_defect
from letterlock.base.log import LineLog, Service
from letterlock.network.map_server import MapLimits, MapServer
from letterlock.network.packets import PacketChannel, make_packet_sockets
from letterlock.node.building import DeliveryBuilder
from letterlock.node.mta_sts import MtaStsService
from letterlock.node.niceness import come_soon, give_way
from letterlock.node.process import Part, run_process
from letterlock.node.shared_database import name_process
from letterlock.protocols.maps.messages import Reply, Status
from letterlock.protocols.policy.postfix_reply import find_untellable
from letterlock.protocols.policy.postfix_version import AskingPostfix
from letterlock.protocols.policy.table import PolicyTable
from letterlock.services.answer.answers import UNDECIDED_SECONDS, Answer, AnswerFinder
from letterlock.services.answer.cache import AnswerCache
from letterlock.services.answer.lifetime import NotingResolver
from letterlock.services.answer.questions import (
    Question,
    format_answer,
    format_question,
    parse_answer,
    parse_question,
)
from letterlock.services.discover.hop_policy import HopPolicy
from letterlock.services.discover.resolver_check import ResolverCheck
from letterlock.services.discover.routes import RouteFinder
from letterlock.services.discover.tlsa import TlsaFinder

PROCESSES = 2
ANSWERING, FINDING = range(PROCESSES)
"""Their places, one behind the other."""

MAX_FOUND_AT_A_TIME = 100
"""New destinations, and as many that are found anew; more of them wait for their turn."""
NICENESS = 5
"""Of the process that finds: somebody waits for the one that answers."""
_MAX_TOLD = 10_000


@dataclass(frozen=True, slots=True, weakref_slot=True)
class PolicyService:
    """What both processes have in common; made before the fork."""

    config: Config
    table: PolicyTable
    listeners: Sequence[socket.socket]
    ends: tuple[socket.socket, socket.socket]
    clock: Clock
    log: LineLog
    is_alone: bool = True
    """No workers beside it, which refresh policies and look to the resolver."""

    def run_process(
        self, place: int, number: int, supervisor_gone: int, tell_ready: Callable[[], None]
    ) -> int:
        """Be the process of a place, as `Generation.run_worker` is."""

        def start() -> tuple[Part, Coroutine[Any, Any, None]]:
            if place == ANSWERING:
                answering = AnsweringProcess(self)
                return answering, answering.run(tell_ready)
            finding = FindingProcess(self, number)
            return finding, finding.run(tell_ready)

        name = "answering Postfix" if place == ANSWERING else "finding policies for Postfix"
        return run_process(name, self.log, start, supervisor_gone)


def make_policy_service(
    config: Config,
    table: PolicyTable,
    listeners: Sequence[socket.socket],
    clock: Clock,
    log: LineLog,
    *,
    is_alone: bool = True,
) -> PolicyService:
    """Make what the processes share; each call makes a pair of its own."""
    for line in find_untellable(table.on(clock.now().date()), find_asking(config)):
        log.write(Service.NODE, f"warning: {line}")
    ends = make_packet_sockets()
    service = PolicyService(config, table, listeners, ends, clock, log, is_alone)
    # The supervisor lets a generation go when its last process has ended.
    weakref.finalize(service, _close, ends)
    return service


def _close(ends: Sequence[socket.socket]) -> None:
    for end in ends:
        end.close()


class _Ending:
    """A part that ends in one way, whoever asks for it."""

    def __init__(self) -> None:
        self._end = asyncio.Event()

    def stop(self) -> None:
        self._end.set()

    def drain(self) -> None:
        self._end.set()

    def look_around(self) -> None:
        """Whoever takes the place of the other one has the same socket."""


class AnsweringProcess(_Ending):
    """Takes Postfix's connections, and answers."""

    def __init__(self, service: PolicyService) -> None:
        super().__init__()
        self._service = service

    async def run(self, tell_ready: Callable[[], None]) -> None:
        """Answer until stopped."""
        come_soon()
        service = self._service

        def ask(question: Question) -> None:
            channel.send(format_question(question))

        def take(packet: bytes) -> None:
            if (answer := parse_answer(packet)) is not None:
                cache.take(*answer)

        cache = AnswerCache(ask, service.clock)
        channel = PacketChannel(service.ends[ANSWERING], take)
        limits = MapLimits(connections=service.config.policy_service.max_connections)
        server = MapServer(cache, limits, service.clock)
        await server.open(list(service.listeners))
        async with asyncio.TaskGroup() as tasks:
            serving = tasks.create_task(server.run())
            tell_ready()
            await self._end.wait()
            serving.cancel()
        channel.close()


class FindingProcess(_Ending):
    """Finds what the other one is asked for and does not know."""

    def __init__(self, service: PolicyService, number: int) -> None:
        super().__init__()
        self._service = service
        config, clock, log = service.config, service.clock, service.log
        builder = DeliveryBuilder(config, service.table, clock, log, workers=1)
        self._mta_sts: MtaStsService | None = None
        if config.policy.mta_sts:
            name = f"{name_process(config, number)}/policy"
            self._mta_sts = MtaStsService(
                config, builder.resolver, builder.anchors.load, clock, log, name=name
            )
        self._finder = make_answer_finder(config, service.table, builder, self._mta_sts, clock)
        self._resolver_check = ResolverCheck(
            builder.backend, config.dns.signed_name, config.dns.bogus_name, log
        )
        self._slots = asyncio.Semaphore(MAX_FOUND_AT_A_TIME)
        # Of their own: what is in use never stands behind what is new.
        self._refresh_slots = asyncio.Semaphore(MAX_FOUND_AT_A_TIME)
        self._under_way: set[str] = set()
        self._told: dict[str, Reply] = {}

    async def run(self, tell_ready: Callable[[], None]) -> None:
        """Find until stopped; what is under way then is asked of the next one."""
        give_way(NICENESS)
        is_alone = self._service.is_alone
        if self._mta_sts is not None:
            await self._mta_sts.open()
        async with asyncio.TaskGroup() as tasks:
            others = []
            if self._mta_sts is not None:
                others.append(tasks.create_task(self._mta_sts.run(is_refreshing=is_alone)))
            if is_alone:
                others.append(tasks.create_task(self._resolver_check.run()))
            finding = tasks.create_task(self._find_all(tell_ready))
            await self._end.wait()
            # What finds stands on the others.
            for task in (finding, *others):
                task.cancel()
                await asyncio.wait([task])

    async def _find_all(self, tell_ready: Callable[[], None]) -> None:
        async with asyncio.TaskGroup() as tasks:

            def receive(packet: bytes) -> None:
                question = parse_question(packet)
                if question is not None and question.key not in self._under_way:
                    self._under_way.add(question.key)
                    slots = self._slots if question.is_awaited else self._refresh_slots
                    tasks.create_task(self._find(question.key, slots, channel))

            channel = PacketChannel(self._service.ends[FINDING], receive)
            try:
                tell_ready()
                await asyncio.Event().wait()
            finally:
                channel.close()

    async def _find(self, key: str, slots: asyncio.Semaphore, channel: PacketChannel) -> None:
        try:
            async with slots:
                answer = await self._finder.find(key)
        except Exception as error:  # noqa: BLE001 - one destination's defect is not the others'
            reason = describe_defect(error)
            answer = Answer(Reply(Status.TEMP, reason), reason, UNDECIDED_SECONDS)
        finally:
            self._under_way.discard(key)
        self._tell(key, answer)
        channel.send(format_answer(key, answer))

    def _tell(self, key: str, answer: Answer) -> None:
        """Log what Postfix is told, once for each answer, and why."""
        before = self._told.pop(key, None)
        self._told[key] = answer.reply
        if len(self._told) > _MAX_TOLD:
            del self._told[next(iter(self._told))]
        if answer.reply == before or (before is None and answer.reply.status is Status.NOTFOUND):
            return
        reply = answer.reply
        text = reply.text if reply.status is Status.OK else str(reply.status)
        self._service.log.write(
            Service.POLICY,
            f"{key}: {text} ({answer.reason})",
            next_hop=key,
            reply=text,
            reason=answer.reason,
        )


def make_answer_finder(
    config: Config,
    table: PolicyTable,
    builder: DeliveryBuilder,
    mta_sts: MtaStsService | None,
    clock: Clock,
) -> AnswerFinder:
    """Make what finds the answers for the Postfix of `[policy_service]`."""
    resolver = NotingResolver(builder.resolver)
    # Whose hosts are whose is Postfix's to know: it asks for hosts that it will connect to.
    routes = RouteFinder(resolver, random.SystemRandom(), families=tuple(AddressFamily))
    policy = HopPolicy(
        table,
        TlsaFinder(resolver) if config.policy.dane else None,
        mta_sts.finder if mta_sts is not None else None,
        clock,
    )
    return AnswerFinder(routes, policy, find_asking(config), clock)


def find_asking(config: Config) -> AskingPostfix:
    """Say what the Postfix that asks can take."""
    section = config.policy_service
    major, minor, patch = (*map(int, section.postfix_version.split(".")), 0)[:3]
    return AskingPostfix((major, minor, patch), section.has_dnssec)
