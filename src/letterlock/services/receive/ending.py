"""The end of a message's content: what was held back is written, and signatures get their text."""

from letterlock.protocols.smtp.first_line import FirstLine
from letterlock.services.sign.signer import Signing
from letterlock.storage.queue import BodyWriter


async def end_content(
    writer: BodyWriter, first_line: FirstLine, signing: Signing | None, room_at: int
) -> None:
    """End a content. Room for signatures, where there is some, begins at the offset `room_at`.

    Raises StoreUnavailable.
    """
    rest = b"" if first_line.is_decided else first_line.finish()
    fields = b""
    if signing is not None:
        rest = signing.receive(rest)
        held, fields = signing.finish()
        rest += held
    if rest and (waiting := writer.write(rest)) is not None:
        await waiting
    if fields:
        await writer.rewrite(room_at, fields)
