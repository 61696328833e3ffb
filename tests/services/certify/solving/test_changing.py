"""Changing records: at which server, in which zone, and by the operator's own program."""

from collections.abc import Sequence
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest

from letterlock.base.clock import SystemClock
from letterlock.base.domains import Domain
from letterlock.network.dns_update import Add, Change, DnsUpdater, Remove, UpdateFailed
from letterlock.network.zone_records import ZoneRecord
from letterlock.protocols.dns.answers import SoaRecord
from letterlock.services.certify.solving.changing import HookChanger, UpdateChanger
from letterlock.services.discover.authorities import AuthorityFinder
from tests.fakes import FixtureResolver

ZONE = Domain("example.org")
RECORD = ZoneRecord(Domain("_acme-challenge.mx1.example.org"), "TXT", "value", 60)
TLSA = ZoneRecord(Domain("_25._tcp.mx1.example.org"), "TLSA", "3 1 1 " + "ab" * 32, 3600)
LIMIT = timedelta(minutes=1)


class Updater(DnsUpdater):
    """Keeps what it is to do, and fails as it is told."""

    def __init__(self, *failures: UpdateFailed | None) -> None:
        super().__init__(None, SystemClock())
        self.failures = list(failures)
        self.updates: list[tuple[tuple[str, int], Domain, Sequence[Change]]] = []

    async def update(
        self, server: tuple[str, int], zone: Domain, changes: Sequence[Change]
    ) -> UpdateFailed | None:
        self.updates.append((server, zone, changes))
        return self.failures.pop(0) if self.failures else None


@pytest.fixture
def resolver() -> FixtureResolver:
    made = FixtureResolver()
    made.set("example.org", "SOA", SoaRecord(Domain("ns1.example.org"), 1, 60))
    made.set("ns1.example.org", "AAAA", ip_address("2001:db8::1"))
    made.set("ns1.example.org", "A", ip_address("192.0.2.1"))
    return made


async def test_the_primary_of_the_names_zone_is_told(resolver: FixtureResolver) -> None:
    """RFC 2136 §4.3."""
    updater = Updater()
    changer = UpdateChanger(updater, AuthorityFinder(resolver))
    assert await changer.add(RECORD) is None
    assert await changer.remove(RECORD) is None
    server = ("2001:db8::1", 53)
    assert updater.updates == [(server, ZONE, [Add(RECORD)]), (server, ZONE, [Remove(RECORD)])]


async def test_its_next_address_is_tried_when_one_is_silent(resolver: FixtureResolver) -> None:
    updater = Updater(UpdateFailed("[2001:db8::1]:53: no answer"))
    assert await UpdateChanger(updater, AuthorityFinder(resolver)).add(RECORD) is None
    assert [server for server, *_ in updater.updates] == [("2001:db8::1", 53), ("192.0.2.1", 53)]


async def test_what_one_address_says_is_not_asked_of_the_next(resolver: FixtureResolver) -> None:
    updater = Updater(UpdateFailed("[2001:db8::1]:53: REFUSED: no", "REFUSED"))
    failure = await UpdateChanger(updater, AuthorityFinder(resolver)).add(RECORD)
    assert failure == f"TXT {RECORD.name}: [2001:db8::1]:53: REFUSED: no"
    assert len(updater.updates) == 1


@pytest.mark.parametrize(
    ("server", "expected"),
    [
        (("192.0.2.9", 5353), ("192.0.2.9", 5353)),
        (("hidden.example.net", 53), ("192.0.2.7", 53)),
    ],
)
async def test_a_server_of_the_settings_comes_before_the_primary(
    resolver: FixtureResolver, server: tuple[str, int], expected: tuple[str, int]
) -> None:
    resolver.set("hidden.example.net", "A", ip_address("192.0.2.7"))
    updater = Updater()
    changer = UpdateChanger(updater, AuthorityFinder(resolver), server=server)
    assert await changer.add(RECORD) is None
    assert updater.updates == [(expected, ZONE, [Add(RECORD)])]


async def test_a_zone_of_the_settings_is_not_looked_for(resolver: FixtureResolver) -> None:
    updater = Updater()
    sub = Domain("mx1.example.org")
    server = ("192.0.2.9", 53)
    changer = UpdateChanger(updater, AuthorityFinder(resolver), zone=sub, server=server)
    assert await changer.add(RECORD) is None
    assert updater.updates == [(server, sub, [Add(RECORD)])]
    assert resolver.asked == []
    other = ZoneRecord(Domain("_acme-challenge.example.org"), "TXT", "value", 60)
    assert await changer.add(other) == (
        "_acme-challenge.example.org is not in the zone of dns_changes.zone, mx1.example.org"
    )


async def test_a_zone_of_the_settings_has_the_primary_that_it_says(
    resolver: FixtureResolver,
) -> None:
    updater = Updater()
    changer = UpdateChanger(updater, AuthorityFinder(resolver), zone=ZONE, port=5353)
    assert await changer.add(RECORD) is None
    assert updater.updates == [(("2001:db8::1", 5353), ZONE, [Add(RECORD)])]


async def test_what_is_not_found_is_told(resolver: FixtureResolver) -> None:
    changer = UpdateChanger(Updater(), AuthorityFinder(resolver))
    resolver.set("example.org", "SOA", SoaRecord(Domain("ns9.example.org"), 1, 60))
    assert await changer.add(RECORD) == "ns9.example.org: it has no address"
    resolver.set("example.org", "SOA", SoaRecord(None, 1, 60))
    assert await changer.add(RECORD) == (
        "the SOA record of example.org names no host: set dns_changes.server"
    )
    resolver.fail("example.org", "SOA")
    assert await changer.add(RECORD) == "SOA of example.org: no answer"


# programs


def write(folder: Path, body: str) -> Path:
    path = folder / "hook"
    path.write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
    path.chmod(0o700)
    return path


async def test_a_program_made_for_lego_is_called_as_lego_calls_it(tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    changer = HookChanger(write(tmp_path, f'echo "$LETTERLOCK_TTL $# $*" >> "{seen}"'), LIMIT)
    assert await changer.add(RECORD) is None
    assert await changer.remove(RECORD) is None
    assert seen.read_text().splitlines() == [
        "60 3 present _acme-challenge.mx1.example.org. value",
        "60 3 cleanup _acme-challenge.mx1.example.org. value",
    ]


async def test_records_of_other_types_have_other_words(tmp_path: Path) -> None:
    """A program that knows TXT alone must not make one of it."""
    seen = tmp_path / "seen"
    changer = HookChanger(write(tmp_path, f'echo "$LETTERLOCK_TTL $# $*" >> "{seen}"'), LIMIT)
    assert await changer.add(TLSA) is None
    assert await changer.remove(TLSA) is None
    assert seen.read_text().splitlines() == [
        f"3600 4 add _25._tcp.mx1.example.org. TLSA {TLSA.value}",
        f"3600 4 remove _25._tcp.mx1.example.org. TLSA {TLSA.value}",
    ]


async def test_a_program_that_fails_is_told(tmp_path: Path) -> None:
    hook = write(tmp_path, "echo 'the API says no' >&2; exit 1")
    failure = await HookChanger(hook, LIMIT).add(RECORD)
    assert failure == f"TXT {RECORD.name}: {hook} ended with status 1: the API says no"
