"""How a notice gets to the postmaster: as mail in this node's queue, or by a program.

Each way says whether it was taken, or why not, in one line. A notice that is told twice, since the
node died in between, has the same Message-ID and `id`.
"""

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Protocol

from letterlock.base.clock import Clock
from letterlock.protocols.smtp.envelope import Envelope
from letterlock.protocols.smtp.header_fields import format_date
from letterlock.services.alert.wording import Letter, describe_notice, format_mail, make_subject
from letterlock.services.queue.own_mail import Outbox, OwnMail
from letterlock.storage.alerts import Notice
from letterlock.storage.queue import QueueId

COMMAND_LIMIT = timedelta(minutes=1)
VARIABLE = "LETTERLOCK_ALERTS"
MAX_VARIABLE_OCTETS = 100_000
"""Linux takes 128 KiB for one variable."""

RunProgram = Callable[[Path, Sequence[str], Mapping[str, str], timedelta], Awaitable[str | None]]


class Teller(Protocol):
    """One way to tell. `name` is its own among the ways."""

    @property
    def name(self) -> str: ...

    async def tell(self, notice: Notice) -> str | None:
        """Give None when it was taken, or else why not. Raises StoreUnavailable."""


@dataclass(frozen=True, slots=True)
class MailTeller:
    """Puts notices into the queue of this node. Nobody is told of one that cannot be delivered."""

    letter: Letter
    outbox: Outbox
    clock: Clock
    make_id: Callable[[], QueueId]
    lifetime: timedelta
    redirect: Callable[[Envelope], Envelope] = lambda envelope: envelope
    """Follows the aliases of those who get a notice here."""
    sign: Callable[[bytes], bytes] = bytes
    name: str = "mail"

    async def tell(self, notice: Notice) -> str | None:
        now = self.clock.now()
        content = self.sign(format_mail(notice, self.letter, format_date(now)))
        mail = OwnMail(self.outbox, self.make_id, self.redirect, self.lifetime)
        letter = self.letter
        await mail.put(letter.sender, letter.recipients, content, now, {"alert": notice.id})
        return None


@dataclass(frozen=True, slots=True)
class CommandTeller:
    """Runs the operator's program once for each notice."""

    program: Path
    run: RunProgram
    name: str = "command"

    async def tell(self, notice: Notice) -> str | None:
        document = describe_notice(notice)
        while len(text := json.dumps(document)) > MAX_VARIABLE_OCTETS:
            document["alerts"] = document["alerts"][: len(document["alerts"]) // 2]
        return await self.run(self.program, [make_subject(notice)], {VARIABLE: text}, COMMAND_LIMIT)
