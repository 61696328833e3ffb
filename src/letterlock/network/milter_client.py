"""A connection to a milter: dial, negotiate, tell, ask. Over a unix socket, or TCP.

What is told and answered, `protocols.milter` says; when, `services.filter.milter`. Every wait has
its end, and what the milter does is a value: `Broken`.
"""

from collections import deque

from msgspec import Struct

from letterlock.base.config.filters import MilterAddress
from letterlock.network.wire import Lost, Wire, connect, connect_socket
from letterlock.protocols.milter.options import NEGOTIATE, Options, format_offer, parse_options
from letterlock.protocols.milter.packets import Packet, PacketReader, Violation
from letterlock.protocols.milter.responses import Response, Word, parse_response

MAX_PROGRESS = 100
"""So often a milter may say that it is still at work; each time its time begins anew."""


class Broken(Struct, frozen=True):
    """The milter could not be reached, or not be understood. `reason` is one line for people."""

    reason: str


class MilterConnection:
    """A connection, after the negotiation. After Broken it is of no use."""

    def __init__(self, wire: Wire, options: Options, reader: PacketReader) -> None:
        self.options = options
        self._wire = wire
        self._reader = reader
        self._packets: deque[Packet | Violation] = deque()

    @property
    def is_open(self) -> bool:
        """The milter has not hung up, as far as we know."""
        return self._wire.is_open

    async def tell(self, octets: bytes, seconds: float) -> Broken | None:
        """Send packets that are not answered."""
        lost = await self._wire.write(octets, seconds)
        return None if lost is None else _broken(lost, seconds)

    async def ask(self, octets: bytes, seconds: float) -> Response | Broken:
        """Send packets of which the last is answered; gives the answer."""
        if self._packets or self._wire.has_unread():
            return Broken("it answers what it was not asked")
        return await self.tell(octets, seconds) or await self.listen(seconds)

    async def listen(self, seconds: float) -> Response | Broken:
        """Give the next answer."""
        for _ in range(MAX_PROGRESS):
            packet = await _read(self._wire, self._reader, self._packets, seconds)
            if isinstance(packet, Broken):
                return packet
            response = parse_response(packet)
            if isinstance(response, Violation):
                return Broken(f"it speaks no milter protocol: {response.reason}")
            if response is not Word.PROGRESS:
                return response
        return Broken("it is at work for too long")

    def tell_now(self, octets: bytes) -> None:
        """Send packets without waiting whether they are taken."""
        self._wire.write_now(octets)

    def close(self) -> None:
        """Close; what was told is still sent."""
        self._wire.close()


async def dial(address: MilterAddress, seconds: float) -> MilterConnection | Broken:
    """Connect and negotiate, each in as many seconds at most."""
    if address.path is not None:
        wire = await connect_socket(address.path, seconds)
    else:
        wire = await connect(address.host, address.port, seconds)
    if isinstance(wire, Lost):
        return Broken(f"cannot connect: {wire.detail}")
    try:
        options = await _negotiate(wire, reader := PacketReader(), seconds)
    except BaseException:
        wire.close()
        raise
    if isinstance(options, Broken):
        wire.close()
        return options
    return MilterConnection(wire, options, reader)


async def _negotiate(wire: Wire, reader: PacketReader, seconds: float) -> Options | Broken:
    lost = await wire.write(format_offer(), seconds)
    if lost is not None:
        return _broken(lost, seconds)
    packets: deque[Packet | Violation] = deque()
    packet = await _read(wire, reader, packets, seconds)
    if isinstance(packet, Broken):
        return packet
    if packet.kind != NEGOTIATE or packets:
        return Broken("it refuses to negotiate")
    options = parse_options(packet.content)
    return Broken(options.reason) if isinstance(options, Violation) else options


async def _read(
    wire: Wire, reader: PacketReader, packets: deque[Packet | Violation], seconds: float
) -> Packet | Broken:
    """Give the next packet; those behind it stay in `packets`."""
    while not packets:
        octets = await wire.read(seconds)
        if isinstance(octets, Lost):
            return _broken(octets, seconds)
        packets.extend(reader.receive(octets))
    packet = packets.popleft()
    if isinstance(packet, Violation):
        return Broken(f"it speaks no milter protocol: {packet.reason}")
    return packet


def _broken(lost: Lost, seconds: float) -> Broken:
    return Broken(f"no answer in {seconds:g} s" if lost.is_timeout else lost.detail)
