"""Tells senders what was seen, once for each test, and ends tests whose time is over.

The mail is left in the drop folder, and so is signed and sent as a program's of this machine is. It
goes to one address, that of the first message (or the one that was named when the test was made),
when nothing came for a while: RFC 3834 §2, §4.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from letterlock.base.clock import Clock
from letterlock.base.domains import Domain
from letterlock.base.log import Log, Service
from letterlock.protocols.inbound.cases import HostNames
from letterlock.protocols.inbound.document import describe_result
from letterlock.protocols.inbound.facts import InboundTest
from letterlock.protocols.inbound.mail import Answering, format_answer
from letterlock.services.observe.register import Register
from letterlock.storage.drop import DropError

LOOK_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Answerer:
    """Looks after the tests. `leave(recipient, message)` hands mail in; it blocks."""

    names: HostNames
    register: Register
    author: str
    hostname: Domain
    quiet: timedelta
    find_page: Callable[[str], str | None]
    leave: Callable[[str, bytes], None]
    clock: Clock
    log: Log

    async def run(self) -> None:
        """Look now and then, until cancelled."""
        while True:
            try:
                await self.look()
            except OSError as error:
                self.log.write(Service.INBOUND, f"warning: tests cannot be read: {error}")
            await asyncio.sleep(LOOK_SECONDS)

    async def look(self) -> None:
        """Write the mails that are due, and forget what is over. Raises OSError."""
        for test in await self.register.take_due(self.quiet):
            await self._tell(test)
        for token in await self.register.forget_ended():
            self.log.write(Service.INBOUND, f"test {token}: its time is over")

    async def _tell(self, test: InboundTest) -> None:
        recipient = test.report_to or ""
        document = describe_result(test, self.names, self.find_page(test.token))
        answering = Answering(self.author, recipient, self.hostname, self.clock.now())
        message = format_answer(document, answering)
        try:
            await asyncio.to_thread(self.leave, recipient, message)
        except (OSError, DropError) as error:
            text = f"warning: test {test.token}: to=<{recipient}> cannot be told: {error}"
        else:
            text = f"test {test.token}: to=<{recipient}> is told what was seen"
        self.log.write(Service.INBOUND, text, to=(recipient,))
