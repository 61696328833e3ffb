"""What must never happen: a signature for a name that CAA forbids, or was not asked about in time.

RFC 8659 §3, Baseline Requirements 3.2.2.8: over random orders, ages and zones, through the whole of
issuing, while zones change, time passes, the switch is thrown, keys and databases go away and
processes die. What is right is said here once more, from the answers that were given alone.
"""

import asyncio
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from letterlock.base.domains import Domain
from letterlock.protocols.acme.states import OrderStatus
from letterlock.protocols.caa.decide import CaaDecision
from letterlock.protocols.caa.rechecks import USUAL_AGE
from letterlock.protocols.dns.answers import Answer, CaaRecord, Security
from letterlock.protocols.pki.issuance.signing import KeyUnavailable
from letterlock.storage.ca import kept
from letterlock.storage.queue import StoreUnavailable
from letterlock.storage.sqlite.ca.store import SqliteAuthority
from tests.fakes import FakeClock, FixtureResolver
from tests.services.ca.issuing.office import (
    ALLOWS,
    DAY,
    FORBIDS,
    KilledError,
    Office,
    OrderedName,
    Signature,
)

RECORDS = {
    "allows": (ALLOWS,),
    "forbids": (FORBIDS,),
    "wildcards-only": (CaaRecord(0, b"issuewild", b"ca.example"), FORBIDS),
    "no-wildcards": (ALLOWS, CaaRecord(0, b"issuewild", b";")),
    "critical": (ALLOWS, CaaRecord(128, b"tbs", b"x")),
    "other-account": (CaaRecord(0, b"issue", b"ca.example; accounturi=https://ca.example/x"),),
    "other-method": (CaaRecord(0, b"issue", b"ca.example; validationmethods=http-01"),),
    "empty": (),
}
PERMITS = {
    # kind: (for the name, for its wildcard)
    "allows": (True, True),
    "wildcards-only": (False, True),
    "no-wildcards": (True, False),
}
"""All others permit nothing; `empty` leaves it to the name above, where all begin with `empty`."""
KINDS = (*RECORDS, "failed", "bogus")
TOP = "example"
NAMES = [f"n{number}.{TOP}" for number in range(6)]
MAX_ROUNDS = 12
MARGIN = timedelta(minutes=5)
"""So that a few minutes in the middle of an issuance make the difference."""


@dataclass(frozen=True)
class Look:
    """A question that was answered."""

    moment: datetime
    name: str
    kind: str


class ChangingZones(FixtureResolver):
    """Answers from zones as they are at that moment, and notes what it was asked."""

    def __init__(self, office: Office, zones: dict[str, str]) -> None:
        super().__init__()
        self._office = office
        self.zones = dict(zones)
        self.looks: list[Look] = []

    async def ask(self, name: Domain, rdtype: str) -> Answer:
        # An answer is as old as its question.
        began = self._office.clock.now()
        self._office.steps.begin("ask")
        kind = self.zones.get(name, "empty")
        if rdtype == "CAA":
            self.looks.append(Look(began, str(name), kind))
        if kind in RECORDS:
            self.set(name, rdtype, *(RECORDS[kind] if rdtype == "CAA" else ()))
        else:
            self.fail(name, rdtype, Security(kind))
        await asyncio.sleep(0)
        return await super().ask(name, rdtype)


@dataclass(frozen=True)
class Disturbance:
    """What happens before a step, counted from the beginning."""

    step: int
    what: str
    name: str = TOP
    kind: str = "forbids"


disturbances = st.builds(
    Disturbance,
    st.integers(1, 60),
    st.sampled_from(
        ["kill", "down", "key-away", "spoil", "halt", "hours", "minutes", "back", "zone"]
    ),
    st.sampled_from([*NAMES, TOP]),
    st.sampled_from(KINDS),
)
ordered_names = st.lists(
    st.builds(
        OrderedName,
        st.sampled_from([*NAMES, *(f"*.{name}" for name in NAMES)]),
        st.none() | st.integers(0, 20).map(lambda halves: timedelta(hours=halves / 2) - MARGIN),
        st.sampled_from([CaaDecision.ALLOW] * 4 + [CaaDecision.DENY, CaaDecision.ERROR]),
    ),
    min_size=1,
    max_size=6,
    unique_by=lambda each: each.text,
)
zones = st.dictionaries(
    st.sampled_from([*NAMES, TOP]),
    st.sampled_from([*("allows",) * 5, *KINDS]),
)


class Run:
    """One order, from its finalizing until it is settled or nobody goes on with it."""

    def __init__(
        self, office: Office, names: Sequence[OrderedName], plan: Sequence[Disturbance]
    ) -> None:
        self.office = office
        self.names = tuple(names)
        self.began = office.clock.now()
        self._plan = {each.step: each for each in plan}
        self._is_key_away = False

    async def go(self) -> kept.Claimed:
        office = self.office
        first = await office.add_order(*self.names)
        office.steps.before = self._disturb
        office.signer.spoil = self._spoil
        claimed: kept.Claimed | None = first
        for _ in range(MAX_ROUNDS):
            if claimed is None:
                break
            with suppress(KilledError, BaseExceptionGroup, StoreUnavailable):
                await office.issuing().do(claimed)
            self._is_key_away = False
            claimed = await office.claim_again()
        return first

    def _disturb(self, number: int, step: str) -> None:
        found = self._plan.get(number)
        if found is not None and found.what in STEPS and step in ("sign", "signed"):
            # Between the last look at the clock and the signature is no time.
            return
        match found.what if found is not None else "":
            case "kill":
                raise KilledError
            case "down":
                raise StoreUnavailable("disk I/O error")
            case "key-away":
                self._is_key_away = True
            case "halt":
                self.office.store.halt = kept.Halt(is_halted=True, why="a key was lost")
            case "hours" | "minutes" | "back" as much:
                self.office.clock.move(STEPS[much])
            case "zone":
                assert found is not None
                assert isinstance(self.office.resolver, ChangingZones)
                self.office.resolver.zones[found.name] = found.kind
            case "spoil":
                self.office.signer.spoil = lambda signature: signature[::-1]
            case _:
                pass

    def _spoil(self, signature: bytes) -> bytes:
        if self._is_key_away:
            raise KeyUnavailable("it is away")
        return signature


STEPS = {
    "hours": timedelta(hours=4),
    "minutes": timedelta(minutes=9),
    "back": -timedelta(hours=2),
}


def is_permitted(kind: str, name: OrderedName) -> bool:
    return PERMITS.get(kind, (False, False))[name.text.startswith("*.")]


def may_be_signed(run: Run, looks: Sequence[Look], name: OrderedName, moment: datetime) -> bool:
    """Say from what was kept and answered whether this name was allowed then."""

    def is_young(began: datetime) -> bool:
        return timedelta() <= moment - began < USUAL_AGE

    is_kept = name.decision is CaaDecision.ALLOW and name.age is not None
    if is_kept and is_young(run.began - (name.age or timedelta())):
        return True
    base = name.text.removeprefix("*.")
    above = [each for each in looks if each.name == TOP and is_young(each.moment)]
    is_open_above = any(is_open(each.kind, name) for each in above)
    return any(
        is_permitted(each.kind, name) or (each.kind == "empty" and is_open_above)
        for each in looks
        if each.name == base and is_young(each.moment)
    )


def is_open(kind: str, name: OrderedName) -> bool:
    return kind == "empty" or is_permitted(kind, name)


def check_signature(run: Run, looks: Sequence[Look], made: Signature) -> None:
    by_name = {each.text: each for each in run.names}
    assert made.names == sorted(by_name)
    forbidden = [
        name for name, each in by_name.items() if not may_be_signed(run, looks, each, made.moment)
    ]
    assert forbidden == []


@settings(max_examples=10 + settings().max_examples // 10)  # each has a database
@given(ordered_names, zones, st.lists(disturbances, max_size=6))
async def test_no_name_is_signed_that_was_not_allowed_within_its_time(
    names: list[OrderedName], at_first: dict[str, str], plan: list[Disturbance]
) -> None:
    """RFC 8659 §3. Rules 245 and 246"""
    with tempfile.TemporaryDirectory() as folder:
        clock = FakeClock()
        store = SqliteAuthority(Path(folder) / "authority.db", clock)
        await store.open()
        try:
            office = Office(store, clock)
            zones = ChangingZones(office, at_first)
            office.resolver = zones  # type: ignore[assignment]
            run = Run(office, names, plan)
            first = await run.go()
            await check_all(run, zones, first)
        finally:
            await store.close()


async def check_all(run: Run, zones: ChangingZones, first: kept.Claimed) -> None:
    office, is_halted, taken = run.office, True, set()
    for what, about in office.steps.done:
        if what == "halt":
            is_halted = about
        elif what == "AddSerial":
            taken.add(about.serial.name.serial)
        elif what == "sign":
            assert not is_halted
            assert about.serial in taken
            check_signature(run, zones.looks, about)
    issued = await office.find_issued(first)
    order = await office.find_order(first)
    assert (order.status is OrderStatus.VALID) == (issued is not None)
    unused = await office.kept.list_unused_serials(office.clock.now() + DAY, 100)
    known = {each.name.serial for each in unused}
    if issued is not None:
        known.add(issued.certificate.name.serial)
    assert {each.serial for each in office.signatures} <= known
    if not run._plan and may_all_be_signed(run, zones):
        assert issued is not None


def may_all_be_signed(run: Run, zones: ChangingZones) -> bool:
    moment = run.office.clock.now()
    return all(may_be_signed(run, zones.looks, each, moment) for each in run.names)
