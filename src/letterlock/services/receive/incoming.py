"""A message on its way in: what its session keeps of it until it is stored."""

from msgspec import Struct

from letterlock.protocols.smtp.envelope import Envelope
from letterlock.protocols.smtp.replies import Reply
from letterlock.services.filter.message import MessageCutter
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
    cutter: MessageCutter | None = None
    """Takes it for the filters; None: no filter sees it."""
    hold: str | None = None
    """Not None: it is kept back in the queue for this reason."""

    @property
    def header(self) -> bytes:
        """The header section, of a message that was received to its end."""
        return self.opening.header or b""

    def discard(self) -> None:
        """Forget what came of it."""
        self.writer.discard()
        self.discard_spool()

    def discard_spool(self) -> None:
        """Forget what filters were to see of it."""
        if self.cutter is not None:
            self.cutter.close()
