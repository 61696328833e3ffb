"""One filter in one session, with what is done when it fails: a link of the chain.

What it wants changed is carried out here. In the words of Postfix (milter_default_action).
"""

import asyncio
from dataclasses import dataclass
from typing import Protocol, assert_never

from msgspec import Struct
from msgspec.structs import replace

from letterlock.base.config.filters import FilterDefault, FilteredMail
from letterlock.protocols.smtp.envelope import Envelope, Recipient
from letterlock.protocols.smtp.header_edits import EditError, edit_header
from letterlock.protocols.smtp.header_section import MAX_HEADER_OCTETS
from letterlock.protocols.smtp.paths import AddressError, parse_mailbox
from letterlock.protocols.smtp.replies import reply
from letterlock.services.filter.contract import (
    Answer,
    Discarded,
    Failed,
    Filter,
    FilterClient,
    Filtering,
    FilterMail,
    Judgement,
    Passed,
    Refused,
)
from letterlock.services.filter.message import WholeMessage

MAX_RECIPIENTS_ADDED = 1000
"""By one filter to one message."""


UNAVAILABLE = Refused(reply(451, "4.7.1", "Service unavailable - try again later"))
REJECTED = Refused(reply(550, "5.5.0", "Service unavailable"))
PASSED = Passed()
_TOO_LATE = "the time that all filters have for one message was over"


@dataclass(frozen=True, slots=True)
class ChainedFilter:
    """A filter, whose mail it sees, and what is done when it fails."""

    filter: Filter
    sources: frozenset[FilteredMail]
    default_action: FilterDefault = FilterDefault.TEMPFAIL


class Judged(Struct, frozen=True):
    """What was said of a message. `by` names the filter that did not let it pass, or holds it.

    With Passed, `message` is what was left of it, and `hold` why it is kept back, or None.
    """

    answer: Passed | Refused | Discarded
    message: WholeMessage
    hold: str | None = None
    by: str = ""


class Notes(Protocol):
    """Where it is kept how filters are."""

    def warn(self, text: str) -> None:
        """Take a line for the log."""

    def note(self, name: str, failure: str | None) -> None:
        """Take how a filter is: why it fails, or None."""


class Link:
    """One filter in one session."""

    def __init__(self, chained: ChainedFilter, client: FilterClient, notes: Notes) -> None:
        self._chained = chained
        self._client = client
        self._notes = notes
        self._filtering: Filtering | None = None
        # That it failed counts for the rest of the transaction.
        self._failure: str | None = None

    @property
    def name(self) -> str:
        return self._chained.filter.name

    async def begin(self, mail: FilterMail) -> Passed | Refused | Discarded:
        """Begin a transaction; what failed in the one before is tried anew."""
        self._failure = None
        if self._filtering is None:
            self._filtering = self._chained.filter.begin(self._client)
        return self._settle(await self._filtering.begin(mail))

    async def take_recipient(
        self, address: str, parameters: tuple[str, ...]
    ) -> Passed | Refused | Discarded:
        if self._filtering is None:
            return self._act()
        return self._settle(await self._filtering.take_recipient(address, parameters))

    async def judge(self, message: WholeMessage, until: float) -> Judged:
        """Judge the whole message, and carry out what is to be changed.

        `until`: when it counts as failed, by the event loop's time.
        """
        if self._filtering is None:
            return self._act_on(message)
        try:
            async with asyncio.timeout_at(until):
                judgement = await self._filtering.judge(message)
        except TimeoutError:
            judgement = Judgement(Failed(_TOO_LATE))
        answer = self._settle(judgement.answer)
        if self._failure is not None:
            return self._act_on(message)
        if not isinstance(answer, Passed):
            return Judged(answer, message, by=self.name)
        try:
            changed = self._change(message, judgement)
        except EditError as error:
            self._settle(Failed(str(error)))
            return self._act_on(message)
        return Judged(PASSED, changed, judgement.quarantine, self.name)

    def abort(self) -> None:
        """End the transaction without a message."""
        if self._filtering is not None:
            self._filtering.abort()

    def close(self) -> None:
        """End the session."""
        if self._filtering is not None:
            self._filtering.close()
            self._filtering = None

    # ours

    def _settle(self, answer: Answer) -> Passed | Refused | Discarded:
        if not isinstance(answer, Failed):
            self._notes.note(self.name, None)
            return answer
        self._failure = answer.reason
        self._notes.note(self.name, answer.reason)
        self.close()
        return self._act()

    def _act(self) -> Passed | Refused:
        """Do what is set for a filter that fails."""
        match self._chained.default_action:
            case FilterDefault.TEMPFAIL:
                return UNAVAILABLE
            case FilterDefault.REJECT:
                return REJECTED
            case FilterDefault.ACCEPT | FilterDefault.QUARANTINE:
                return PASSED
            case action:
                assert_never(action)

    def _act_on(self, message: WholeMessage) -> Judged:
        hold = None
        if self._chained.default_action is FilterDefault.QUARANTINE:
            hold = f"{self.name} could not be asked: {self._failure}"
        return Judged(self._act(), message, hold, self.name)

    def _change(self, message: WholeMessage, judgement: Judgement) -> WholeMessage:
        """Raise EditError."""
        envelope = self._change_envelope(message.envelope, judgement)
        header = message.header
        if judgement.edits:
            header = edit_header(header, judgement.edits)
            if len(header) > MAX_HEADER_OCTETS:
                raise EditError("its changes make the header too long")
        body = message.body if judgement.body is None else judgement.body
        return replace(message, envelope=envelope, header=header, body=body)

    def _change_envelope(self, envelope: Envelope, judgement: Judgement) -> Envelope:
        """Change sender and recipients; text that is no address is told of and left out."""
        recipients = {each.address: each for each in envelope.recipients}
        for text in judgement.removed:
            recipients.pop(self._parse(text, envelope) or text, None)
        for text in judgement.added[:MAX_RECIPIENTS_ADDED]:
            if (address := self._parse(text, envelope)) is not None:
                recipients.setdefault(address, Recipient(address))
        sender = envelope.sender
        if judgement.sender is not None:
            found = self._parse(judgement.sender, envelope) if judgement.sender else ""
            sender = sender if found is None else found
        return replace(envelope, sender=sender, recipients=tuple(recipients.values()))

    def _parse(self, text: str, envelope: Envelope) -> str | None:
        try:
            return parse_mailbox(text, may_be_unicode=envelope.smtputf8).format()
        except AddressError as error:
            self._notes.warn(f"warning: {self.name}: {text[:100]!r} is not an address: {error}")
            return None
