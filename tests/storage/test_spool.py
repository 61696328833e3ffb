"""Bodies that are looked at before they are stored."""

import time
from pathlib import Path

import pytest

from letterlock.storage.queue import SPILL_BYTES, StoreUnavailable
from letterlock.storage.spool import Spool


def has_no_names(folder: Path) -> bool:
    return not any(folder.iterdir())


async def read(spool: Spool) -> bytes:
    return b"".join([piece async for piece in spool.read()])


@pytest.mark.parametrize("size", [0, 1, SPILL_BYTES, SPILL_BYTES + 1, 3 * SPILL_BYTES + 7])
async def test_what_is_read_is_what_was_written_as_often_as_one_likes(
    size: int, tmp_path: Path
) -> None:
    octets = bytes(number % 251 for number in range(size))
    spool = Spool(tmp_path)
    for at in range(0, size, 70_000):
        if (waiting := spool.write(octets[at : at + 70_000])) is not None:
            await waiting
    assert spool.size == size
    assert await read(spool) == octets
    assert await read(spool) == octets
    spool.close()
    assert has_no_names(tmp_path)


async def test_a_folder_that_is_not_there_makes_the_store_unavailable(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "none")
    waiting = spool.write(bytes(SPILL_BYTES + 1))
    assert waiting is not None
    with pytest.raises(StoreUnavailable):
        await waiting


async def test_a_spool_that_was_closed_is_not_read(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    waiting = spool.write(bytes(SPILL_BYTES + 1))
    assert waiting is not None
    await waiting
    spool.close()
    with pytest.raises(StoreUnavailable):
        await read(spool)


async def test_small_pieces_cost_no_more_the_more_there_are(tmp_path: Path) -> None:
    """A client chooses its pieces: BDAT has chunks of one octet (RFC 3030 §2)."""
    spool = Spool(tmp_path)
    waiting = spool.write(bytes(SPILL_BYTES + 1))
    assert waiting is not None
    await waiting
    started = time.process_time()
    for _ in range(60_000):
        assert spool.write(b"x") is None
    # To count them all each time costs half a minute; to remember the count, hundredths.
    assert time.process_time() - started < 5
    assert spool.size == SPILL_BYTES + 60_001
    spool.close()
