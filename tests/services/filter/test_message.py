"""A message is cut into header section and body, however it came."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from letterlock.protocols.smtp.envelope import Envelope
from letterlock.services.filter.message import MessageCutter
from letterlock.storage.queue import SPILL_BYTES, StoreUnavailable

ENVELOPE = Envelope("", ())


def has_no_names(folder: Path) -> bool:
    return not any(folder.iterdir())


async def cut(folder: Path, *pieces: bytes) -> tuple[bytes, bytes]:
    cutter = MessageCutter(folder)
    try:
        for piece in pieces:
            if (waiting := cutter.receive(piece)) is not None:
                await waiting
        message = await cutter.finish("Q1", ENVELOPE)
        body = b"".join([piece async for piece in message.read_body()])
        assert message.body_octets == len(body)
        return message.header, body
    finally:
        cutter.close()


@pytest.mark.parametrize(
    ("content", "header", "body"),
    [
        (b"A: 1\r\n\r\ntext\r\n", b"A: 1\r\n", b"text\r\n"),
        (b"A: 1\r\n\r\n\r\ntext\r\n", b"A: 1\r\n", b"\r\ntext\r\n"),
        (b"\r\ntext\r\n", b"", b"text\r\n"),
        (b"A: 1\r\n", b"A: 1\r\n", b""),
        (b"A: 1\r\n\r\n", b"A: 1\r\n", b""),
        (b"", b"", b""),
        # RFC 5322 §2.1 knows no such line: who reads it later takes it for the body's first.
        (b"A: 1\r\nno field\r\nB: 2\r\n\r\ntext", b"A: 1\r\n", b"no field\r\nB: 2\r\n\r\ntext"),
        (b"A: 1\r\nno field\r\n", b"A: 1\r\n", b"no field\r\n"),
        (b"A: 1\r\n and\r\nB: 2\r\n\r\n", b"A: 1\r\n and\r\nB: 2\r\n", b""),
    ],
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=20)
@given(data=st.data())
async def test_header_and_body_are_parted(
    content: bytes, header: bytes, body: bytes, data: st.DataObject, tmp_path: Path
) -> None:
    at = data.draw(st.integers(0, len(content)))
    assert await cut(tmp_path, content[:at], content[at:]) == (header, body)
    assert await cut(tmp_path, *(bytes([octet]) for octet in content)) == (header, body)


async def test_a_large_body_is_the_same_octets(tmp_path: Path) -> None:
    body = bytes(range(256)) * 4096
    pieces = [body[at : at + 50_000] for at in range(0, len(body), 50_000)]
    assert await cut(tmp_path, b"A: 1\r\n\r\n", *pieces) == (b"A: 1\r\n", body)
    assert has_no_names(tmp_path)


async def test_a_new_body_is_on_disk_as_long_as_the_message_lasts(tmp_path: Path) -> None:
    """Twenty clients whose bodies of 50 MB a filter replaces cost no memory."""
    cutter = MessageCutter(tmp_path)
    message = await cutter.finish("Q1", ENVELOPE)
    body = message.begin_body()
    waiting = body.write(bytes(SPILL_BYTES + 1))
    assert waiting is not None, "it is not kept in memory"
    await waiting
    assert sum([len(piece) async for piece in body.read()]) == SPILL_BYTES + 1
    cutter.close()
    with pytest.raises(StoreUnavailable):
        await anext(body.read())
    assert has_no_names(tmp_path)
