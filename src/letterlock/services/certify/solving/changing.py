"""Changing records in DNS: what every way of it can do, and two of them.

RFC 2136 (updates of our own), and a program of the operator's, called as the `exec` provider of the
ACME client lego calls it. Values are as `network.zone_records` has them. Waiting until a change is
seen is `served`.
"""

from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Protocol

from letterlock.base.domains import Domain
from letterlock.network.dns_update import Add, Change, DnsUpdater, Remove, UpdateFailed
from letterlock.network.zone_records import ZoneRecord
from letterlock.services.certify.hooks import run_hook
from letterlock.services.discover.authorities import AuthorityFinder, NotFound, Zone


class RecordChanger(Protocol):
    """One way to change the records of our zones. Other records of the same name stay."""

    async def add(self, record: ZoneRecord) -> str | None:
        """Add a record; fine when it is there. A text says in one line why that can't be done."""

    async def remove(self, record: ZoneRecord) -> str | None:
        """Remove this record alone; fine when it is not there. A text as for `add`."""


class UpdateChanger:
    """Changes records by RFC 2136, at the primary of each name's zone.

    `zone` is for names whose zone can't be found from here, `server` (a host or an address, and a
    port) for a primary that is not the one in the SOA record, or is hidden.
    """

    def __init__(
        self,
        updater: DnsUpdater,
        finder: AuthorityFinder,
        *,
        zone: Domain | None = None,
        server: tuple[str, int] | None = None,
        port: int = 53,
    ) -> None:
        self._updater = updater
        self._finder = finder
        self._zone = zone
        self._server = server
        self._port = port

    async def add(self, record: ZoneRecord) -> str | None:
        return await self._change(record, Add(record))

    async def remove(self, record: ZoneRecord) -> str | None:
        return await self._change(record, Remove(record))

    async def _change(self, record: ZoneRecord, change: Change) -> str | None:
        zone = await self._find_zone(record.name)
        if isinstance(zone, NotFound):
            return zone.reason
        servers = await self._find_servers(zone)
        if isinstance(servers, NotFound):
            return servers.reason
        failure: UpdateFailed | None = None
        for server in servers:
            failure = await self._updater.update(server, zone.name, [change])
            if failure is None or failure.code:
                break  # what it said it says at its other addresses too
        return None if failure is None else f"{record}: {failure.reason}"

    async def _find_zone(self, name: Domain) -> Zone | NotFound:
        if self._zone is None:
            return await self._finder.find_zone(name)
        if name != self._zone and not name.endswith(f".{self._zone}"):
            return NotFound(f"{name} is not in the zone of dns_changes.zone, {self._zone}")
        if self._server is not None:
            return Zone(self._zone, None)
        return await self._finder.find_zone(self._zone)

    async def _find_servers(self, zone: Zone) -> Sequence[tuple[str, int]] | NotFound:
        host, port = self._server or (zone.primary, self._port)
        if host is None:
            return NotFound(f"the SOA record of {zone.name} names no host: set dns_changes.server")
        with suppress(ValueError):
            return [(str(ip_address(host)), port)]
        found = await self._finder.find_host(Domain(host))
        if isinstance(found, NotFound):
            return found
        return [(str(each.address), port) for each in found]


class HookChanger:
    """Changes records by a program of the operator's, which is told what by its arguments.

    For TXT records they are lego's: `present FQDN VALUE` and `cleanup FQDN VALUE`, and the name
    ends with a dot. Others are `add FQDN TYPE VALUE` and `remove FQDN TYPE VALUE`, so that a
    program which knows only TXT fails at once. The TTL is in the variable LETTERLOCK_TTL.
    """

    def __init__(self, program: Path, limit: timedelta) -> None:
        self._program = program
        self._limit = limit

    async def add(self, record: ZoneRecord) -> str | None:
        return await self._run("present", "add", record)

    async def remove(self, record: ZoneRecord) -> str | None:
        return await self._run("cleanup", "remove", record)

    async def _run(self, for_text: str, for_others: str, record: ZoneRecord) -> str | None:
        name = f"{record.name}."
        arguments = [for_text, name, record.value]
        if record.rdtype != "TXT":
            arguments = [for_others, name, record.rdtype, record.value]
        variables = {"LETTERLOCK_TTL": str(record.ttl)}
        failure = await run_hook(self._program, arguments, variables, self._limit)
        return failure and f"{record}: {failure}"
