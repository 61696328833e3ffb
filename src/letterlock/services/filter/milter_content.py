"""A message told to a milter, field by field and piece by piece, and what it then wants changed."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import assert_never

from msgspec import Struct, field
from msgspec.structs import astuple

from letterlock.network.milter_client import Broken, MilterConnection
from letterlock.protocols.milter import commands
from letterlock.protocols.milter.options import Stage, Steps
from letterlock.protocols.milter.packets import MAX_CHUNK_OCTETS
from letterlock.protocols.milter.responses import (
    AddField,
    AddRecipient,
    PutField,
    Quarantine,
    RemoveRecipient,
    ReplaceBody,
    ReplyCode,
    Response,
    SetField,
    SetMacros,
    SetSender,
    Word,
)
from letterlock.protocols.smtp.field_edits import (
    AppendField,
    ChangeField,
    DeleteField,
    FieldEdit,
    InsertField,
)
from letterlock.protocols.smtp.header_edits import cut_fields
from letterlock.services.filter.contract import FilterMessage, Judgement, NewBody
from letterlock.services.filter.milter_macros import Macros

MAX_CHANGES = 1000
"""What a milter may want changed in one message, its new body not counted."""
MAX_CHANGE_OCTETS = 1024 * 1024
"""Of all these changes together."""

_Change = (
    AddField
    | PutField
    | SetField
    | AddRecipient
    | RemoveRecipient
    | SetSender
    | Quarantine
    | SetMacros
)
"""All but a new body, which is written as it comes."""
_PASSING = (Word.CONTINUE, Word.ACCEPT, Word.SKIP)


@dataclass(frozen=True, slots=True)
class ContentLimits:
    """How long each answer may take, and how large a new body may be."""

    seconds: float
    max_body_octets: int


class _Wanted(Struct):
    """What a milter wants changed, as it comes in."""

    has_leading_space: bool
    edits: list[FieldEdit] = field(default_factory=list)
    added: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    sender: str | None = None
    quarantine: str | None = None
    body: NewBody | None = None
    count: int = 0
    octets: int = 0

    def judgement(self) -> Judgement:
        return Judgement(
            edits=tuple(self.edits),
            quarantine=self.quarantine,
            sender=self.sender,
            added=tuple(self.added),
            removed=tuple(self.removed),
            body=self.body,
        )


async def tell_content(
    connection: MilterConnection, macros: Macros, message: FilterMessage, limits: ContentLimits
) -> Judgement | Response | Broken:
    """Tell a message, from its first field to its end.

    Gives what is to be changed where it passes; else the answer that ended it.
    """
    telling = _Telling(connection, macros, limits)
    for tell in (telling.tell_header, telling.tell_body):
        ended = await tell(message)
        if ended is Word.ACCEPT:
            return Judgement()
        if ended is not None:
            return ended
    return await telling.end(message)


class _Telling:
    """The message's way; methods give None to go on, or the answer that ends it."""

    def __init__(self, connection: MilterConnection, macros: Macros, limits: ContentLimits) -> None:
        self._connection = connection
        self._steps = connection.options.steps
        self._macros = macros
        self._limits = limits

    async def tell_header(self, message: FilterMessage) -> Response | Broken | None:
        steps = self._steps
        has_space = Steps.LEADING_SPACE in steps
        if Steps.NO_FIELDS not in steps:
            for each in cut_fields(message.header):
                packet = commands.format_header_field(
                    each.name, each.value, has_leading_space=has_space
                )
                answer = await self._say(packet, Steps.SILENT_FIELD)
                if answer is Word.SKIP:
                    break
                if answer is not Word.CONTINUE:
                    return answer
        if Steps.NO_END_OF_HEADER in steps:
            return None
        packet = self._with_macros(Stage.END_OF_HEADER, commands.END_OF_HEADER)
        return _go_on(await self._say(packet, Steps.SILENT_END_OF_HEADER))

    async def tell_body(self, message: FilterMessage) -> Response | Broken | None:
        if Steps.NO_BODY in self._steps:
            return None
        async for chunk in _cut_chunks(message.read_body()):
            answer = await self._say(commands.format_body(chunk), Steps.SILENT_BODY)
            if answer is Word.SKIP:
                return None
            if answer is not Word.CONTINUE:
                return answer
        return None

    async def end(self, message: FilterMessage) -> Judgement | Response | Broken:
        """Say that this was all; collect what is to be changed, until the last word.

        Raises StoreUnavailable: a new body is written as it comes.
        """
        wanted = _Wanted(Steps.LEADING_SPACE in self._steps)
        packet = self._with_macros(Stage.END_OF_MESSAGE, commands.END_OF_MESSAGE)
        answer = await self._connection.ask(packet, self._limits.seconds)
        while not isinstance(answer, Word | ReplyCode | Broken):
            if isinstance(answer, ReplaceBody):
                broken = await self._write_body(wanted, message, answer.chunk)
            else:
                broken = self._note(wanted, answer)
            if broken is not None:
                return broken
            answer = await self._connection.listen(self._limits.seconds)
        return wanted.judgement() if answer in _PASSING else answer

    # ours

    def _with_macros(self, stage: Stage, packet: bytes) -> bytes:
        kind = {
            Stage.END_OF_HEADER: commands.END_OF_HEADER_KIND,
            Stage.END_OF_MESSAGE: commands.END_OF_MESSAGE_KIND,
        }[stage]
        return commands.format_macros(kind, self._macros.find(stage)) + packet

    async def _say(self, packet: bytes, silent: Steps) -> Response | Broken:
        seconds = self._limits.seconds
        if silent in self._steps:
            return await self._connection.tell(packet, seconds) or Word.CONTINUE
        return await self._connection.ask(packet, seconds)

    async def _write_body(
        self, wanted: _Wanted, message: FilterMessage, chunk: bytes
    ) -> Broken | None:
        """Write a piece of a new body; Broken: it is too much."""
        if wanted.body is None:
            wanted.body = message.begin_body()
        if wanted.body.size + len(chunk) > self._limits.max_body_octets:
            return Broken("its new body is too large")
        if (waiting := wanted.body.write(chunk)) is not None:
            await waiting
        return None

    def _note(self, wanted: _Wanted, change: _Change) -> Broken | None:
        """Note a change that is wanted; Broken: it is too much."""
        wanted.count += 1
        wanted.octets += _count_octets(change)
        if wanted.count > MAX_CHANGES or wanted.octets > MAX_CHANGE_OCTETS:
            return Broken(f"it wants more than {MAX_CHANGES} changes, or too large ones")
        _note_change(wanted, change)
        return None


def _note_change(
    wanted: _Wanted,
    change: _Change,
) -> None:
    space = b"" if wanted.has_leading_space else b" "
    match change:
        case AddField(name, value):
            wanted.edits.append(AppendField(name, space + value))
        case PutField(index, name, value):
            # Sendmail and Postfix count our Received field too: 1, OpenDKIM's, is right below it.
            wanted.edits.append(InsertField(max(0, index - 1), name, space + value))
        case SetField(number, name, b""):
            wanted.edits.append(DeleteField(name, number))
        case SetField(number, name, value):
            wanted.edits.append(ChangeField(name, number, space + value))
        case AddRecipient(address):
            wanted.added.append(address)
        case RemoveRecipient(address):
            wanted.removed.append(address)
        case SetSender(address):
            wanted.sender = address
        case Quarantine(reason):
            wanted.quarantine = reason
        case SetMacros():
            pass
        case _:
            assert_never(change)


def _count_octets(change: _Change) -> int:
    """Count the octets and characters of a change."""
    return sum(len(text) for text in astuple(change) if isinstance(text, bytes | str))


def _go_on(answer: Response | Broken) -> Response | Broken | None:
    return None if answer in (Word.CONTINUE, Word.SKIP) else answer


async def _cut_chunks(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Give pieces as they may be told: full ones, and what is left."""
    held = b""
    async for piece in pieces:
        held += piece
        while len(held) >= MAX_CHUNK_OCTETS:
            yield held[:MAX_CHUNK_OCTETS]
            held = held[MAX_CHUNK_OCTETS:]
    if held:
        yield held
