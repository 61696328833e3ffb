"""Until when all that a domain's mail rests on is signed: records, hosts, and each zone above them.

RFC 4035 §5 (from a record up to the root: the zone's DNSKEY records, the DS record above them), RFC
7672 §2.2. Each is asked for once in a run. What is signed and what not is the resolver's word;
these are the days until when it holds.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass

from letterlock.protocols.check.facts import DomainFacts, HostFacts
from letterlock.protocols.check.signatures import Signature, pick_lasting

AT_ONCE = 32
MAX_QUESTIONS = 100
"""For the names of one domain."""
MAX_ZONES = 20
MAX_KEPT = 20_000
"""Questions whose answers are kept; the oldest are asked again."""
ROOT = "."

Question = tuple[str, str]
Asking = Callable[[str, str], Awaitable[tuple[Signature, ...] | str]]


@dataclass(frozen=True, slots=True)
class Signed:
    """The signatures that were found; none: nothing is signed, or `undecided` says why not."""

    signatures: tuple[Signature, ...] = ()
    undecided: tuple[str, ...] = ()


class SignatureLooker:
    """Asks for signatures. `ask` is `network.dns_signatures.ask_signatures` of some resolver."""

    def __init__(self, ask: Asking) -> None:
        self._ask = ask
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._kept: OrderedDict[Question, tuple[Signature, ...] | str] = OrderedDict()

    async def look(self, facts: DomainFacts, port: int) -> Signed:
        """Look at a domain, whose hosts are asked at a port."""
        found, undecided = await self._ask_all(_list_questions(facts, port))
        asked: set[str] = set()
        while new := sorted({each.zone for each in found} - asked)[: MAX_ZONES - len(asked)]:
            asked |= set(new)
            more, failed = await self._ask_all(_list_of_zones(new))
            found += more
            undecided += failed
        return Signed(pick_lasting(found), tuple(dict.fromkeys(undecided)))

    async def _ask_all(self, questions: Iterable[Question]) -> tuple[list[Signature], list[str]]:
        asked = list(dict.fromkeys(questions))[:MAX_QUESTIONS]
        answers = await asyncio.gather(*(self._ask_once(each) for each in asked))
        found = [each for answer in answers if not isinstance(answer, str) for each in answer]
        failed = [
            f"signature of {rdtype} of {name}: {answer}"
            for (name, rdtype), answer in zip(asked, answers, strict=True)
            if isinstance(answer, str)
        ]
        return found, failed

    async def _ask_once(self, question: Question) -> tuple[Signature, ...] | str:
        async with self._slots:
            if question not in self._kept:
                self._kept[question] = await self._ask(*question)
                if len(self._kept) > MAX_KEPT:
                    self._kept.popitem(last=False)
            return self._kept[question]


def _list_questions(facts: DomainFacts, port: int) -> Iterator[Question]:
    if facts.mx_security is not None:
        yield facts.domain, "MX"
    for host in facts.hosts:
        yield from _list_of_host(host, port)


def _list_of_host(host: HostFacts, port: int) -> Iterator[Question]:
    if host.name is None:
        return
    for address in host.addresses:
        yield host.name, "A" if address.ip.version == 4 else "AAAA"
    if host.tlsa is not None and host.tlsa.records:
        yield f"_{port}._tcp.{host.tlsa.base_domain or host.name}", "TLSA"


def _list_of_zones(zones: Iterable[str]) -> Iterator[Question]:
    for zone in zones:
        yield zone, "DNSKEY"
        if zone != ROOT:
            yield zone, "DS"
