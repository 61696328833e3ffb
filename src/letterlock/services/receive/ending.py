"""The end of a message's content: what was held back is written, and signatures get their text."""

from letterlock.services.filter.message import WholeMessage
from letterlock.services.sign.signer import Signing
from letterlock.storage.queue import BodyWriter


async def end_content(
    writer: BodyWriter, rest: bytes, signing: Signing | None, room_at: int
) -> None:
    """End a content with its last octets. Room for signatures, if any, begins at offset `room_at`.

    Raises StoreUnavailable.
    """
    fields = b""
    if signing is not None:
        rest = signing.receive(rest)
        held, fields = signing.finish()
        rest += held
    if rest and (waiting := writer.write(rest)) is not None:
        await waiting
    if fields:
        await writer.rewrite(room_at, fields)


async def write_filtered(
    writer: BodyWriter, message: WholeMessage, signing: Signing | None
) -> None:
    """Write what filters left of a message, up to its end. Raises StoreUnavailable."""
    await _write(writer, message.header + b"\r\n", signing)
    async for piece in message.read_body():
        await _write(writer, piece, signing)


async def _write(writer: BodyWriter, octets: bytes, signing: Signing | None) -> None:
    if signing is not None:
        octets = signing.receive(octets)
    if octets and (waiting := writer.write(octets)) is not None:
        await waiting
