"""Change a zone at its name server: dynamic updates, signed.

RFC 2136 §2.5 (adding and deleting), §2.2 (what the server says); RFC 8945 §5.1 (signing), §5.4
(what of the answer is believed). All changes of one update are made, or none. Messages and
signatures are dnspython's work. Which zone a name is in, and who serves it, is in
`services.discover.authorities`.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import assert_never

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.rcode
import dns.rdatatype
import dns.tsig
import dns.update

from letterlock.base.clock import Clock, format_time
from letterlock.base.domains import Domain
from letterlock.base.errors import LocalError
from letterlock.base.secret_files import load_secret
from letterlock.network.dns import format_address
from letterlock.network.dns_exchange import exchange_tcp, exchange_udp, explain_os_error
from letterlock.network.zone_records import ZoneRecord, make_rdata
from letterlock.protocols.dns.tsig_keys import TsigKey, TsigKeyError, parse_tsig_key

UPDATE_SECONDS = 10.0
"""For each of the two transports."""
FUDGE_SECONDS = 300
"""RFC 8945 §10 recommends it: how far the clocks may be apart."""
MAX_DATAGRAM_OCTETS = 1232
"""An update that is longer goes by TCP only."""

_REASONS = {
    "NOTAUTH": "it is not the primary of the zone {zone}, or takes no updates {by}",
    "NOTZONE": "a name to change is not in the zone {zone}",
    "REFUSED": "its update policy does not let us change this {by}",
    "NOTIMP": "it takes no updates",
    "SERVFAIL": "it failed; its own log says why",
    "FORMERR": "it can't read the update",
    # Knot says so too where its access list has not this key for this change.
    "BADKEY": "it does not know {key}, or not for this change",
    "BADSIG": "the secret of {key} is another one there",
    "BADTRUNC": "it wants the signature by {key} in another length",
}
"""RFC 2136 §2.2, RFC 8945 §5.2."""


@dataclass(frozen=True, slots=True)
class Add:
    """Add a record to those that are there; all of them get its TTL (RFC 2136 §2.5.1)."""

    record: ZoneRecord


@dataclass(frozen=True, slots=True)
class Remove:
    """Remove this record and no other (RFC 2136 §2.5.4). Fine when it is not there."""

    record: ZoneRecord


@dataclass(frozen=True, slots=True)
class RemoveAll:
    """Remove all records of a name and type (RFC 2136 §2.5.2). With Add behind it: replace them."""

    name: Domain
    rdtype: str


Change = Add | Remove | RemoveAll


@dataclass(frozen=True, slots=True)
class UpdateFailed:
    """The zone is as it was, or it is not known what it is. `reason` is one line.

    `code` is the server's word (`REFUSED`, `BADKEY`, ...), empty when it said none that counts.
    """

    reason: str
    code: str = ""


def load_tsig_key(path: Path, default_name: Domain | None = None) -> TsigKey:
    """Read a key file. Raises LocalError, which names the file, also when others can read it."""
    text = load_secret(path)
    try:
        return parse_tsig_key(text, default_name)
    except TsigKeyError as error:
        raise LocalError(f"{path}: {error}") from error


@dataclass(frozen=True, slots=True)
class UpdateOutcome:
    """What a server said. It is sure when it is signed as it should be."""

    failure: UpdateFailed | None
    is_sure: bool


class UpdateRequest:
    """One update, and how to read what comes back."""

    def __init__(
        self, zone: Domain, changes: Sequence[Change], key: TsigKey | None, clock: Clock
    ) -> None:
        """Make it. Raises ValueError for a value that a record can't have."""
        self._zone = zone
        self._key = key and dns.tsig.Key(f"{key.name}.", key.secret, str(key.algorithm))
        self._key_name = f"the key {key.name} ({key.algorithm})" if key else ""
        self._clock = clock
        self._message = dns.update.UpdateMessage(f"{zone}.")
        for change in changes:
            _put(self._message, change)
        if self._key is not None:
            self._message.use_tsig(self._key, fudge=FUDGE_SECONDS)
        self.wire = self._message.to_wire()
        self.unsure: UpdateOutcome | None = None
        """What came by UDP, and may be from anybody: RFC 8945 §5.4 has us wait for better."""

    def read_sure(self, wire: bytes) -> UpdateOutcome | None:
        """Read an answer; None when it is not to this, or not sure."""
        found = self.read(wire)
        if found is not None and not found.is_sure:
            self.unsure = found
            return None
        return found

    def read(self, wire: bytes) -> UpdateOutcome | None:
        """Read an answer; None when it is none to this."""
        try:
            reply = dns.message.from_wire(wire, keyring=False)
        except (dns.exception.DNSException, ValueError):
            return None
        is_answer = bool(reply.flags & dns.flags.QR) and reply.opcode() == dns.opcode.UPDATE
        if not is_answer or reply.id != self._message.id:
            return None
        return self._judge(reply, wire)

    def _judge(self, reply: dns.message.Message, wire: bytes) -> UpdateOutcome:
        code = dns.rcode.to_text(reply.rcode())
        if self._key is None:
            return UpdateOutcome(self._explain(code), is_sure=True)
        if not reply.had_tsig:
            return self._doubt(code, "it has no signature")
        if reply.tsig_error:
            return self._explain_signature(reply)
        try:
            dns.message.from_wire(wire, keyring=self._key, request_mac=self._message.mac)
        except dns.tsig.BadTime:
            return self._doubt(code, "it was not signed now: the clocks differ")
        except (dns.exception.DNSException, ValueError):
            return self._doubt(code, "its signature is wrong")
        return UpdateOutcome(self._explain(code), is_sure=True)

    def _explain(self, code: str) -> UpdateFailed | None:
        if code == "NOERROR":
            return None
        words = _REASONS.get(code, "it refuses the update")
        by = f"with {self._key_name}" if self._key_name else "without a key"
        words = words.format(zone=self._zone, key=self._key_name, by=by)
        reason = f"{code}: {words}"
        return UpdateFailed(reason, code)

    def _doubt(self, code: str, why: str) -> UpdateOutcome:
        """Explain an answer that anybody may have sent: a good one counts for nothing."""
        failure = self._explain(code) or UpdateFailed("its answer is NOERROR")
        reason = f"{failure.reason} (not believed: {why})"
        return UpdateOutcome(UpdateFailed(reason, failure.code), is_sure=False)

    def _explain_signature(self, reply: dns.message.Message) -> UpdateOutcome:
        """RFC 8945 §5.4: what it says of our signature."""
        assert reply.tsig is not None
        tsig = reply.tsig[0]
        code = dns.rcode.to_text(tsig.error, tsig=True)
        if code == "BADTIME":
            words = self._explain_time(int.from_bytes(tsig.other))
            return UpdateOutcome(UpdateFailed(f"{code}: {words}", code), is_sure=False)
        return UpdateOutcome(self._explain(code), is_sure=False)

    def _explain_time(self, seconds: int) -> str:
        now = self._clock.now()
        try:
            there = datetime.fromtimestamp(seconds, UTC)
        except (OverflowError, ValueError, OSError):
            return "the clocks here and there differ"
        apart = f"{abs(there - now).total_seconds():.0f} seconds apart"
        return f"it is {format_time(there)} there and {format_time(now)} here, {apart}"


class DnsUpdater:
    """Sends updates by TCP, and by UDP to a server that says nothing by TCP."""

    def __init__(self, key: TsigKey | None, clock: Clock, seconds: float = UPDATE_SECONDS) -> None:
        """Sign with `key`; without one the server goes by our address, and anybody may answer."""
        self._key = key
        self._clock = clock
        self._seconds = seconds

    async def update(
        self, server: tuple[str, int], zone: Domain, changes: Sequence[Change]
    ) -> UpdateFailed | None:
        """Make changes in a zone, all or none. Raises ValueError for a value that can't be."""
        request = UpdateRequest(zone, changes, self._key, self._clock)
        outcome = await self._ask(server, self._by_tcp, request)
        if isinstance(outcome, str) and len(request.wire) <= MAX_DATAGRAM_OCTETS:
            by_udp = await self._ask(server, self._by_udp, request)
            # Why it did not go by TCP, where it should, says more.
            outcome = outcome if isinstance(by_udp, str) else by_udp
        where = format_address(*server)
        if isinstance(outcome, str):
            return UpdateFailed(f"{where}: {outcome}")
        return outcome.failure and replace(
            outcome.failure, reason=f"{where}: {outcome.failure.reason}"
        )

    async def _ask(
        self,
        server: tuple[str, int],
        send: Callable[[tuple[str, int], UpdateRequest], Awaitable[UpdateOutcome | str]],
        request: UpdateRequest,
    ) -> UpdateOutcome | str:
        """Give what the server said; a text says why it said nothing."""
        try:
            async with asyncio.timeout(self._seconds):
                return await send(server, request)
        except TimeoutError:
            return request.unsure or f"no answer within {self._seconds:g} seconds"
        except EOFError:
            return "it ended the connection without an answer"
        except OSError as error:
            return f"it can't be reached: {explain_os_error(error)}"

    async def _by_tcp(self, server: tuple[str, int], request: UpdateRequest) -> UpdateOutcome | str:
        return request.read(await exchange_tcp(server, request.wire)) or "it sent no answer to this"

    async def _by_udp(self, server: tuple[str, int], request: UpdateRequest) -> UpdateOutcome | str:
        found: UpdateOutcome | None = await exchange_udp(server, request.wire, request.read_sure)
        return found or request.unsure or "it sent no answer to this"


def _put(message: dns.update.UpdateMessage, change: Change) -> None:
    match change:
        case Add(record):
            rdata = make_rdata(record.rdtype, record.value)
            message.add(_absolute(record.name), record.ttl, rdata)
        case Remove(record):
            message.delete(_absolute(record.name), make_rdata(record.rdtype, record.value))
        case RemoveAll(name, rdtype):
            message.delete(_absolute(name), dns.rdatatype.from_text(rdtype))
        case _:
            assert_never(change)


def _absolute(name: Domain) -> dns.name.Name:
    return dns.name.from_text(f"{name}.")
