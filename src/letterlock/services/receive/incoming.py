"""A message on its way in: what its session keeps of it until it is stored."""

from msgspec import Struct

from letterlock.protocols.smtp.envelope import Envelope
from letterlock.protocols.smtp.replies import Reply
from letterlock.services.receive.opening import Opening
from letterlock.services.sign.signer import Signing
from letterlock.storage.queue import BodyWriter, QueueId


class IncomingMessage(Struct):
    """A message on its way in."""

    queue_id: QueueId
    envelope: Envelope
    verb: str
    """DATA or BDAT."""
    writer: BodyWriter
    opening: Opening
    trace_octets: int
    """How long our Received field is, above which nothing is put."""
    signing: Signing | None
    refusal: Reply | None = None

    @property
    def header(self) -> bytes:
        """The header section, of a message that was received to its end."""
        return self.opening.header or b""
