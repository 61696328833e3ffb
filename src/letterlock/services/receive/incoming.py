"""A message on its way in: what its session keeps of it until it is stored."""

from msgspec import Struct

from letterlock.protocols.smtp.envelope import Envelope
from letterlock.protocols.smtp.first_line import FirstLine
from letterlock.protocols.smtp.replies import Reply
from letterlock.services.sign.signer import Signing
from letterlock.storage.queue import BodyWriter, QueueId

MAX_HEADER_OCTETS = 256 * 1024
"""So much of a message is looked at for fields that count: Received, TLS-Required."""


class IncomingMessage(Struct):
    """A message on its way in."""

    queue_id: QueueId
    envelope: Envelope
    verb: str
    """DATA or BDAT."""
    writer: BodyWriter
    header: bytearray
    first_line: FirstLine
    trace_octets: int
    """How long our Received field is, above which nothing is put."""
    signing: Signing | None
    is_header_whole: bool = False
    refusal: Reply | None = None

    def keep_header(self, data: bytes) -> None:
        """Keep the header section, as far as it is looked at."""
        header = self.header
        start = max(0, len(header) - 3)
        header += data[: MAX_HEADER_OCTETS - len(header)]
        end = header.find(b"\r\n\r\n", start)
        if end >= 0:
            del header[end + 2 :]
        self.is_header_whole = end >= 0 or len(header) >= MAX_HEADER_OCTETS
