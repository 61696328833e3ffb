"""A connection to a milter; what comes of each answer is tested in `tests/services/filter`."""

from typing import cast

from letterlock.base.config.filters import MilterAddress
from letterlock.network.milter_client import Broken, MilterConnection, dial
from letterlock.network.wire import Lost, Wire
from letterlock.protocols.milter.options import Actions, Options, Steps
from letterlock.protocols.milter.packets import PacketReader, format_packet
from letterlock.protocols.milter.responses import Word
from tests.milter_server import running_milter


class SlowWire:
    """Gives octets one read after the other, and notes for how long each may wait."""

    def __init__(self, *reads: bytes | Lost) -> None:
        self._reads = iter(reads)
        self.waits: list[float] = []

    def has_unread(self) -> bool:
        return False

    async def write(self, _data: bytes, _seconds: float) -> None:
        return None

    async def read(self, seconds: float) -> bytes | Lost:
        self.waits.append(seconds)
        return next(self._reads)


def connect(wire: SlowWire) -> MilterConnection:
    options = Options(6, Actions(0), Steps(0))
    return MilterConnection(cast("Wire", wire), options, PacketReader())


async def test_progress_begins_the_time_anew() -> None:
    wire = SlowWire(*(format_packet(b"p"),) * 3, format_packet(b"c"))
    assert await connect(wire).ask(format_packet(b"E"), 300.0) is Word.CONTINUE
    assert wire.waits == [300.0] * 4


async def test_progress_without_an_end_has_one() -> None:
    wire = SlowWire(*(format_packet(b"p"),) * 3, Lost("timed out", is_timeout=True))
    assert await connect(wire).ask(format_packet(b"E"), 300.0) == Broken("no answer in 300 s")


async def test_a_milter_at_a_name_is_found() -> None:
    async with running_milter() as milter:
        port = int(milter.address.rpartition(":")[2])
        connection = await dial(MilterAddress(host="localhost", port=port), 30.0)
        assert isinstance(connection, MilterConnection)
        connection.close()


async def test_nobody_listens() -> None:
    async with running_milter() as milter:
        port = int(milter.address.rpartition(":")[2])
    found = await dial(MilterAddress(host="127.0.0.1", port=port), 30.0)
    assert found == Broken("cannot connect: Connection refused")
