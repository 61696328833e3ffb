"""Talking SMTP as a client over one wire: commands, replies, transactions, and what was said.

RFC 5321 §3.1, §3.2, §4.5.3.2 (time-outs); RFC 2033 §4.1 (LHLO). What is sent and what replies mean
is in `protocols.smtp`; connecting, STARTTLS and its judgement are in `smtp_client`.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import assert_never

from msgspec import Struct

from letterlock.network.wire import Lost, Wire
from letterlock.protocols.policy.verdict import Verdict
from letterlock.protocols.smtp.capabilities import Capabilities, parse_capabilities
from letterlock.protocols.smtp.replies import Reply
from letterlock.protocols.smtp.reply_reader import ReplyReader, ReplyViolation
from letterlock.protocols.smtp.timeouts import ClientTimeouts
from letterlock.protocols.smtp.transaction import Transaction
from letterlock.protocols.smtp.transaction_result import Stage, TransactionResult
from letterlock.protocols.tls.handshake import Handshake

MAX_DIALOGUE_LINES = 400
SMALL_OCTETS = 64 * 1024


class Target(Struct, frozen=True):
    """One address of one host. `host` is a name, or the address itself when there is no name.

    `ip` is the path of a unix socket where LMTP is spoken over one; its port is 0.
    """

    host: str
    ip: str
    port: int
    helo: str
    source: str | None = None
    is_implicit_tls: bool = False

    @property
    def address(self) -> tuple[str, int]:
        return self.ip, self.port

    @property
    def relay(self) -> str:
        """The target as logs name it: `host[ip]:port`, or `host[path]` for a unix socket."""
        if self.ip.startswith("/"):
            return f"{self.host}[{self.ip}]"
        return f"{self.host}[{self.ip}]:{self.port}"


@dataclass(frozen=True, slots=True)
class Secured:
    """A handshake that was completed, and judged good enough, before the session ended."""

    handshake: Handshake
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Unreachable:
    """No SMTP session: no connection, or it was lost, or what came was not SMTP."""

    detail: str
    dialogue: tuple[str, ...] = ()
    stage: str = "connecting"
    secured: Secured | None = None
    is_silent: bool = False
    """There was no connection, or nothing came over it in the time for a greeting."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The host does not want us now or at all: its reply to the connection or to EHLO."""

    reply: Reply
    dialogue: tuple[str, ...] = ()
    secured: Secured | None = None


@dataclass(slots=True)
class Dialogue:
    """What was said, without message content; bounded."""

    lines: list[str] = field(default_factory=list)

    def add(self, mark: str, text: str) -> None:
        """Add a line; `mark` is `>` for what we said, `<` for the host, `!` for the rest."""
        self.extend((f"{mark} {text}",))

    def extend(self, lines: Sequence[str]) -> None:
        self.lines += lines[: MAX_DIALOGUE_LINES - len(self.lines)]

    def take(self) -> tuple[str, ...]:
        lines = tuple(self.lines)
        self.lines.clear()
        return lines


class Speaker:
    """Commands and replies over one wire."""

    def __init__(
        self, wire: Wire, target: Target, timeouts: ClientTimeouts, *, is_lmtp: bool = False
    ) -> None:
        self.wire = wire
        self._hello_verb = "LHLO" if is_lmtp else "EHLO"
        self.target = target
        self.timeouts = timeouts
        self.capabilities = Capabilities()
        self.hello_reply: Reply | None = None
        """The last reply to EHLO or HELO that took it."""
        self.dialogue = Dialogue()
        self._reader = ReplyReader()
        self._replies: list[Reply | ReplyViolation] = []

    def has_unread(self) -> bool:
        """Octets are here that nobody asked for."""
        return bool(self._replies) or self._reader.has_leftover or self.wire.has_unread()

    async def greet(self) -> Unreachable | Refused | None:
        """Wait for the greeting, and say hello."""
        return await self.take_greeting() or await self.say_hello()

    async def take_greeting(self) -> Unreachable | Refused | None:
        greeting = await self.reply(self.timeouts.greeting)
        if not isinstance(greeting, Reply):
            return self.gone(greeting, "greeting")
        if greeting.code != 220:
            await self.quit()
            return Refused(greeting, self.dialogue.take())
        return None

    async def hello_again(self) -> Unreachable | Refused | None:
        self._reader = ReplyReader()
        return await self.say_hello()

    async def ask(self, command: str, patience: timedelta) -> Reply | ReplyViolation | Lost:
        """Say one command and give its reply."""
        self.dialogue.add(">", command)
        lost = await self.wire.write(command.encode() + b"\r\n", patience.total_seconds())
        if lost is not None and not self.has_unread():
            self.dialogue.add("!", lost.detail)
            return lost
        # What the host said before it hung up is why it did.
        return await self.reply(patience)

    async def reply(
        self, patience: timedelta, show: Callable[[Reply], str] = lambda reply: reply.text
    ) -> Reply | ReplyViolation | Lost:
        lost = await self._await_reply(patience)
        if lost is not None:
            self.dialogue.add("!", lost.detail)
            return lost
        answer = self._replies.pop(0)
        if isinstance(answer, Reply):
            self.dialogue.add("<", show(answer))
        else:
            self.dialogue.add("!", f"not SMTP: {answer.reason}: {answer.excerpt}")
        return answer

    async def say_secret(
        self, line: str, shown: str, patience: timedelta, show: Callable[[Reply], str]
    ) -> Reply | ReplyViolation | Lost:
        """As `ask`; the dialogue has `shown`, and of the reply what `show` gives."""
        self.dialogue.add(">", shown)
        lost = await self.wire.write(line.encode() + b"\r\n", patience.total_seconds())
        if lost is not None and not self.has_unread():
            self.dialogue.add("!", lost.detail)
            return lost
        return await self.reply(patience, show)

    def gone(self, what: Lost | ReplyViolation, stage: str) -> Unreachable:
        """Close, and say that the session was over before it began."""
        self.wire.close()
        detail = what.detail if isinstance(what, Lost) else f"not SMTP: {what.reason}"
        is_silent = stage == "greeting" and isinstance(what, Lost) and what.is_timeout
        text = f"{detail} while waiting for {stage}"
        return Unreachable(text, self.dialogue.take(), stage, is_silent=is_silent)

    async def quit(self) -> None:
        # A peer that is slow with its 221 holds up nobody else: the answer does not matter.
        await self.ask("QUIT", self.timeouts.quit)
        self.wire.close()

    async def carry_out(
        self, transaction: Transaction, content: AsyncIterator[bytes], *, is_smtputf8: bool
    ) -> TransactionResult:
        """Do a transaction to its end, or to the connection's."""
        self._reader.is_smtputf8 = is_smtputf8
        lost: Lost | None = None
        while not transaction.is_done and lost is None:
            if commands := transaction.commands_to_send():
                lost = await self.wire.write(commands, self.timeouts.mail.total_seconds())
            elif transaction.wants_body and transaction.may_send_body:
                lost = await self._send_piece(transaction, content)
            else:
                lost = await self._receive(transaction)
        if lost is not None and self.has_unread():
            # The host may have said why before it hung up.
            await self._receive(transaction)
        if lost is not None:
            transaction.lost(lost.detail)
        self._reader.is_smtputf8 = False
        self.dialogue.extend(transaction.take_dialogue())
        result = transaction.result()
        if result.must_close:
            self.wire.close()
        return result

    async def _send_piece(
        self, transaction: Transaction, content: AsyncIterator[bytes]
    ) -> Lost | None:
        piece = await anext(content, None)
        octets = b"" if piece is None else transaction.encode_body(piece)
        if piece is not None and len(octets) < SMALL_OCTETS:
            # Most messages are one small piece: their end goes out with it.
            piece = await anext(content, None)
            octets += b"" if piece is None else transaction.encode_body(piece)
        if piece is None:
            octets += transaction.finish_body()
        patience = self.timeouts.data_block.total_seconds()
        lost = await self.wire.write(octets, patience) if octets else None
        if lost is None and self.wire.has_unread():
            # The server may refuse the content before its end.
            return await self._receive(transaction)
        return lost

    async def _receive(self, transaction: Transaction) -> Lost | None:
        lost = await self._await_reply(_patience(transaction.awaits, self.timeouts))
        if lost is not None:
            return lost
        while self._replies:
            answer = self._replies.pop(0)
            if isinstance(answer, ReplyViolation):
                return Lost(f"not SMTP: {answer.reason}: {answer.excerpt}")
            # One after the last is given too: it means that this connection is of no more use.
            transaction.receive(answer)
        return None

    async def _await_reply(self, patience: timedelta) -> Lost | None:
        """Read until a reply is whole: one that comes in drops has no more time than another."""
        if self._replies:
            return None
        loop = asyncio.get_running_loop()
        seconds = patience.total_seconds()
        end = loop.time() + seconds
        while True:
            octets = await self.wire.read(seconds)
            if isinstance(octets, Lost):
                return octets
            self._replies += self._reader.receive(octets)
            if self._replies:
                return None
            seconds = max(0.0, end - loop.time())

    async def say_hello(self) -> Unreachable | Refused | None:
        verb = self._hello_verb
        answer = await self.ask(f"{verb} {self.target.helo}", self.timeouts.helo)
        if isinstance(answer, Reply) and answer.code == 250:
            self.capabilities, self.hello_reply = parse_capabilities(answer), answer
            return None
        if isinstance(answer, Reply) and answer.is_permanent and verb == "EHLO":
            # RFC 5321 §3.2: a server that does not know EHLO is asked in the old way.
            answer = await self.ask(f"HELO {self.target.helo}", self.timeouts.helo)
            self.capabilities = Capabilities()
            if isinstance(answer, Reply) and answer.code == 250:
                self.hello_reply = answer
                return None
        if not isinstance(answer, Reply):
            return self.gone(answer, verb)
        await self.quit()
        return Refused(answer, self.dialogue.take())


def _patience(stage: Stage, timeouts: ClientTimeouts) -> timedelta:
    """Give how long the reply that comes next is waited for (RFC 5321 §4.5.3.2)."""
    match stage:
        case Stage.MAIL | Stage.NONE:
            return timeouts.mail
        case Stage.RCPT:
            return timeouts.rcpt
        case Stage.DATA:
            return timeouts.data_init
        case Stage.BDAT:
            return timeouts.data_block
        case Stage.END:
            return timeouts.data_end
        case _:
            assert_never(stage)
