"""A milter as a filter: sendmail's protocol, version 6, spoken along an SMTP session.

A connection lasts as long as the client's session, as sendmail and Postfix have it: a milter keeps
what it knows of a client beside its connection. It begins with the first sender, not with the
client: many clients come and go without mail. What a milter has against the client itself is
answered to its MAIL then (as with Postfix's smtpd_delay_reject).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from letterlock.base.config.filters import MilterAddress
from letterlock.network.milter_client import Broken, MilterConnection, dial
from letterlock.protocols.milter import commands
from letterlock.protocols.milter.options import Stage, Steps
from letterlock.protocols.milter.responses import ReplyCode, Response, Word
from letterlock.protocols.smtp.replies import Reply, reply
from letterlock.services.filter.contract import (
    Answer,
    Discarded,
    Failed,
    FilterClient,
    FilterMail,
    FilterMessage,
    Judgement,
    Passed,
    Refused,
)
from letterlock.services.filter.milter_content import ContentLimits, tell_content
from letterlock.services.filter.milter_macros import Macros

_PASSED = Passed()


@dataclass(frozen=True, slots=True)
class MilterTimeouts:
    """How long a milter may take for each answer."""

    connect: timedelta = timedelta(seconds=30)
    command: timedelta = timedelta(seconds=30)
    content: timedelta = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class MilterFilter:
    """A milter at an address. `max_body_octets` is the most that a new body of its may have."""

    address: MilterAddress
    timeouts: MilterTimeouts
    max_body_octets: int

    @property
    def name(self) -> str:
        return str(self.address)

    def begin(self, client: FilterClient) -> "MilterFiltering":
        return MilterFiltering(self, client)


class MilterFiltering:
    """One session's way through it."""

    def __init__(self, milter: MilterFilter, client: FilterClient) -> None:
        self._milter = milter
        self._client = client
        self._connection: MilterConnection | None = None
        self._macros: Macros
        # What it said of the client: of all its mail.
        self._of_client: Answer | None = None
        self._is_open = False
        self._is_content_unwanted = False

    async def begin(self, mail: FilterMail) -> Answer:
        if self._connection is not None and not self._connection.is_open:
            # Between two messages it may: some end what is idle.
            self.close()
            self._of_client = None
        if self._connection is None:
            failed = await self._connect()
            if failed is not None:
                return failed
        if self._of_client is not None:
            return self._of_client
        assert self._connection is not None
        self._is_open, self._is_content_unwanted = True, False
        self._macros.begin(mail)
        packet = commands.format_mail(mail.sender, mail.parameters)
        response = await self._say(Stage.MAIL, packet)
        return self._read(response)

    async def take_recipient(self, address: str, parameters: tuple[str, ...]) -> Answer:
        if self._is_content_unwanted or self._of_client is not None:
            return _PASSED
        self._macros.take_recipient(address)
        packet = commands.format_rcpt(address, parameters)
        return self._read(await self._say(Stage.RCPT, packet))

    async def judge(self, message: FilterMessage) -> Judgement:
        self._is_open = False
        if self._is_content_unwanted or self._of_client is not None:
            return Judgement()
        answer = self._read(await self._say(Stage.DATA, commands.DATA))
        if not isinstance(answer, Passed) or self._is_content_unwanted:
            return Judgement(answer)
        connection = self._connection
        assert connection is not None
        seconds = self._milter.timeouts.content.total_seconds()
        limits = ContentLimits(seconds, self._milter.max_body_octets)
        told = await tell_content(connection, self._macros, message, limits)
        return Judgement(read_answer(told)) if not isinstance(told, Judgement) else told

    def abort(self) -> None:
        if self._is_open and self._connection is not None:
            self._connection.tell_now(commands.ABORT)
        self._is_open = False

    def close(self) -> None:
        if self._connection is not None:
            self._connection.tell_now(commands.QUIT)
            self._connection.close()
            self._connection = None

    def connect(self, connection: MilterConnection) -> None:
        """Go on over this connection, whose milter has not been told of the client."""
        self._connection = connection
        self._macros = Macros(self._client, connection.options)

    # ours

    async def _connect(self) -> Failed | None:
        """Connect, and tell who the client is."""
        client, timeouts = self._client, self._milter.timeouts
        dialled = await dial(self._milter.address, timeouts.connect.total_seconds())
        if isinstance(dialled, Broken):
            return Failed(dialled.reason)
        self.connect(dialled)
        packets = (
            (Stage.CONNECT, commands.format_connect(client.name, client.ip, client.port)),
            (Stage.HELO, commands.format_helo(client.helo)),
        )
        for stage, packet in packets:
            response = await self._say(stage, packet)
            answer = read_answer(response)
            if isinstance(answer, Failed):
                return answer
            if response is Word.ACCEPT or not isinstance(answer, Passed):
                self._of_client = answer
                break
        return None

    async def _say(self, stage: Stage, packet: bytes) -> Response | Broken:
        """Tell macros and a command, unless they are unwanted; give the answer, if there is one."""
        connection = self._connection
        assert connection is not None
        unwanted, silent, kind = _STEPS[stage]
        steps = connection.options.steps
        if unwanted in steps:
            return Word.CONTINUE
        octets = commands.format_macros(kind, self._macros.find(stage)) + packet
        seconds = self._milter.timeouts.command.total_seconds()
        if silent in steps:
            return await connection.tell(octets, seconds) or Word.CONTINUE
        return await connection.ask(octets, seconds)

    def _read(self, response: Response | Broken) -> Answer:
        """Read an answer about a transaction."""
        answer = read_answer(response)
        if response is Word.ACCEPT or isinstance(answer, Discarded):
            self._is_content_unwanted = True
        return answer


def read_answer(response: Response | Broken) -> Answer:
    """Give what an answer means for the client."""
    match response:
        case Word():
            return _OF_WORDS[response]
        case ReplyCode(code, status, lines):
            return Refused(Reply(code, lines, status))
        case Broken(reason):
            return Failed(reason)
        case _:
            return Failed("it changes a message whose end it has not seen")


_OF_WORDS: Mapping[Word, Answer] = {
    Word.CONTINUE: _PASSED,
    Word.ACCEPT: _PASSED,
    Word.SKIP: _PASSED,
    Word.PROGRESS: _PASSED,
    Word.REJECT: Refused(reply(550, "5.7.1", "Command rejected")),
    Word.TEMPFAIL: Refused(reply(451, "4.7.1", "Service unavailable - try again later")),
    Word.HANG_UP: Refused(reply(421, "4.7.0", "Service unavailable - closing connection")),
    Word.DISCARD: Discarded("milter triggers DISCARD action"),
}
_STEPS = {
    Stage.CONNECT: (Steps.NO_CONNECT, Steps.SILENT_CONNECT, commands.CONNECT_KIND),
    Stage.HELO: (Steps.NO_HELO, Steps.SILENT_HELO, commands.HELO_KIND),
    Stage.MAIL: (Steps.NO_MAIL, Steps.SILENT_MAIL, commands.MAIL_KIND),
    Stage.RCPT: (Steps.NO_RCPT, Steps.SILENT_RCPT, commands.RCPT_KIND),
    Stage.DATA: (Steps.NO_DATA, Steps.SILENT_DATA, commands.DATA_KIND),
}
