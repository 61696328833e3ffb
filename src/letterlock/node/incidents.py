"""What asks files and live hosts for `incident check`, as the settings say, without a node."""

import asyncio
import random
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from letterlock.base.clock import Clock
from letterlock.base.config.sections import Config
from letterlock.base.domains import Domain
from letterlock.base.errors import LocalError
from letterlock.network.challenge_look import Unseen
from letterlock.network.dns_backends import make_backend
from letterlock.network.dns_cache import CachingResolver
from letterlock.network.served_look import AskedName, look_over_smtp, look_over_tls
from letterlock.protocols.incidents.places import Place, Speech
from letterlock.services.discover.next_hop import parse_next_hop
from letterlock.services.discover.routes import NoRoute, RouteFinder
from letterlock.services.incidents.files import read_files
from letterlock.services.incidents.findings import Finding, NotOffered
from letterlock.services.incidents.hosts import HostLooker, IpAddress
from letterlock.services.incidents.results import Result, check
from letterlock.storage.serial_lists.index import OpenedList, open_list
from letterlock.storage.serial_lists.source import Tell


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked. `kept`: where the index is; None: where it usually is. `seconds`: a look's."""

    list_path: Path
    kept: Path | None
    files: tuple[str, ...]
    places: tuple[Place, ...]
    names: tuple[Domain, ...]
    seconds: float


@dataclass(frozen=True, slots=True)
class ListAnswer:
    """What is to be told of the list."""

    entries: int
    form: str
    unreadable: int
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer; `not_offered` are usual ports where nothing listens."""

    listed: ListAnswer
    results: tuple[Result, ...]
    not_offered: tuple[NotOffered, ...]


@dataclass(frozen=True, slots=True)
class _List:
    """An opened list as `services.incidents.results` wants it."""

    opened: OpenedList

    @property
    def issuer(self) -> bytes | None:
        return self.opened.index.description.issuer

    def find(self, serial: int) -> int | None:
        return self.opened.index.find(serial)

    def read_entries(self, places: Collection[int]) -> Mapping[int, str]:
        return self.opened.read_entries(places)


def run(config: Config, question: Question, clock: Clock, tell: Tell) -> Answer:
    """Answer it; `tell` is told of the making of an index.

    Raises LocalError for what cannot be opened, ListUnusable for a list that says nothing.
    """
    opened = open_list(question.list_path, question.kept, tell)
    with opened.index:
        findings: list[Finding] = list(read_files(question.files))
        if question.places:
            findings += asyncio.run(_look(config, question, clock))
        asked = [each for each in findings if not isinstance(each, NotOffered)]
        return Answer(
            _describe(opened),
            tuple(check(_List(opened), asked)),
            tuple(each for each in findings if isinstance(each, NotOffered)),
        )


async def _look(config: Config, question: Question, clock: Clock) -> list[Finding]:
    helo = config.deliver.helo_ipv4 or config.hostname

    async def look(ip: str, port: int, asked: AskedName, speech: Speech) -> bytes | Unseen:
        if speech is Speech.STARTTLS:
            return await look_over_smtp(ip, port, asked, helo, question.seconds)
        return await look_over_tls(ip, port, asked, question.seconds)

    finders: list[RouteFinder] = []

    async def find_addresses(host: Domain) -> Sequence[IpAddress] | str:
        try:
            if not finders:  # where only addresses are asked, no resolver is needed
                finders.append(_make_finder(config, clock))
        except LocalError as error:
            return str(error)
        route = await finders[0].find(parse_next_hop(f"[{host}]"))
        if isinstance(route, NoRoute):
            return route.reason
        return [address.ip for each in route.hosts for address in each.addresses]

    return await HostLooker(find_addresses, look, question.names).look_at(question.places)


def _make_finder(config: Config, clock: Clock) -> RouteFinder:
    chance = random.SystemRandom()
    resolver = CachingResolver(make_backend(config.dns, chance), clock)
    return RouteFinder(resolver, chance, families=config.deliver.families)


def _describe(opened: OpenedList) -> ListAnswer:
    told = opened.index.description
    notes = [] if opened.note is None else [opened.note]
    if told.unreadable:
        shown = "; ".join(f"line {fault.line}: {fault.reason}" for fault in told.faults)
        notes.append(
            f"{opened.path}: lines without a serial number that can be read: {told.unreadable}; "
            f"whom they are about nobody knows: {shown}"
        )
    return ListAnswer(opened.index.entries, told.form.value, told.unreadable, tuple(notes))
