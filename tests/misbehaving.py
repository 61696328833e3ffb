"""SMTP servers on loopback that do one thing wrong, and write down what they saw.

RFC 5321 §3, RFC 3207 §4. Not ours: the TLS side is the standard library's over memory BIOs, so that
its alerts reach the client whatever happens to the connection after them. A `Conduct` says what is
unlike a good server; `Seen` is what tests look at: above all every MAIL, and whether it came
under TLS.
"""

import asyncio
import contextlib
import socket
import ssl
import struct
import tempfile
import warnings
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from itertools import count
from pathlib import Path

from letterlock.protocols.check.openings import Speech
from letterlock.protocols.pki.throwaway_ca import Issued
from tests.accepting import accepting

LATER_SECONDS = 0.05
"""What a server does unasked comes this long after its last answer."""


class Act(Enum):
    """What a server does instead of answering."""

    CLOSE = "FIN"
    RESET = "RST"
    SILENCE = "nothing"


Answer = str | Act

GOOD_EXTENSIONS = ("PIPELINING", "8BITMIME", "SMTPUTF8", "DSN", "SIZE 10240000")


@dataclass(frozen=True, slots=True)
class TlsConduct:
    """How the TLS side is unlike a good one. `by_sni` are other certificates, by name asked for.

    `second` stands beside the server's certificate, with a key of another type.
    """

    by_sni: tuple[tuple[str, Issued], ...] = ()
    versions: tuple[ssl.TLSVersion, ssl.TLSVersion] | None = None
    ciphers: str | None = None
    is_sni_refused: bool = False
    second: Issued | None = None
    client_ca: bytes | None = None
    """PEM: a client certificate by this authority is demanded."""


@dataclass(frozen=True, slots=True)
class Conduct:
    """How a server behaves; as it should, where nothing is said.

    `answers` are by verb (`banner`, `EHLO`, `RCPT`, `.` for the end of the content), `under_tls`
    those that hold under TLS only, `for_recipients` those to RCPT by address. `instead_of_tls`
    comes instead of the handshake, `injected` in one segment with the 220. `once_idle` happens
    after a message was taken. `max_recipients`: more get 452.
    """

    certificate: Issued | None = None
    tls: TlsConduct = TlsConduct()
    extensions: Sequence[str] = GOOD_EXTENSIONS
    has_starttls: bool = True
    answers: Mapping[str, Answer] = field(default_factory=dict)
    under_tls: Mapping[str, Answer] = field(default_factory=dict)
    for_recipients: Mapping[str, Answer] = field(default_factory=dict)
    instead_of_tls: bytes | Act | None = None
    injected: bytes = b""
    once_idle: Answer | None = None
    is_deaf_to_content: bool = False
    """It says 354 and reads nothing more."""
    during_content: Act | None = None
    """What it does after the content's first line."""
    max_recipients: int = 1000
    login: "Callable[[], Responder] | None" = None
    """Begins what answers AUTH and each response, until one of its replies is no 334."""
    is_implicit_tls: bool = False
    speech: Speech = Speech.SMTP
    """IMAP and POP3 end with STARTTLS, NOOP and good-bye: nobody logs in."""
    keeps_commands: bool = False
    """What came in clear behind STARTTLS is done under TLS (CVE-2011-0411)."""
    is_strict_about_ends: bool = False
    """Of messages: else a bare LF ends a line as well."""


Responder = Callable[[str], str]
"""Takes a line, gives the reply to it."""


@dataclass(frozen=True, slots=True)
class Taken:
    """A message that a server took."""

    sender: str
    recipients: tuple[str, ...]
    content: bytes
    is_tls: bool


@dataclass(slots=True)
class Seen:
    """What a server saw. `commands`: every command line, and whether it came under TLS."""

    connections: int = 0
    commands: list[tuple[str, bool]] = field(default_factory=list)
    taken: list[Taken] = field(default_factory=list)
    snis: list[str | None] = field(default_factory=list)
    tls_errors: list[str] = field(default_factory=list)
    closes: list[str] = field(default_factory=list)
    """How clients ended: `close_notify`, `FIN` or `RST`."""
    has_ended: asyncio.Event = field(default_factory=asyncio.Event)
    """A connection ended."""

    def lines(self, verb: str) -> list[str]:
        """Give the command lines that begin with a verb."""
        return [line for line, _ in self.commands if line.upper().startswith(verb)]

    @property
    def mails_in_clear(self) -> list[str]:
        return [line for line, is_tls in self.commands if "MAIL" in line.upper() and not is_tls]

    @property
    def mails(self) -> list[str]:
        return self.lines("MAIL")


@dataclass(frozen=True, slots=True)
class Server:
    """A server that runs."""

    ip: str
    port: int
    seen: Seen


_LOOPBACK_HOSTS = count(2)


@contextlib.asynccontextmanager
async def serving(*conducts: Conduct) -> AsyncIterator[list[Server]]:
    """Run a server for each conduct, all on one port, each on an address of its own."""
    listeners = _listen(len(conducts))
    servers = []
    async with contextlib.AsyncExitStack() as stack:
        for conduct, listener in zip(conducts, listeners, strict=True):
            sessions = _Sessions(conduct, Seen())
            ip = listener.getsockname()[0]
            port = await stack.enter_async_context(accepting(sessions.run, listener=listener))
            servers.append(Server(ip, port, sessions.seen))
        yield servers


@contextlib.asynccontextmanager
async def serving_at(addresses: Sequence[str], port: int, conduct: Conduct) -> AsyncIterator[Seen]:
    """Run one server on these addresses."""
    sessions = _Sessions(conduct, Seen())
    async with accepting(sessions.run, addresses, port):
        yield sessions.seen


def _listen(number: int) -> list[socket.socket]:
    for _ in range(20):
        listeners: list[socket.socket] = []
        port = 0
        try:
            for _ in range(number):
                ip = f"127.0.{next(_LOOPBACK_HOSTS) % 200}.{next(_LOOPBACK_HOSTS) % 250 + 2}"
                listeners.append(socket.create_server((ip, port)))
                port = listeners[0].getsockname()[1]
        except OSError:
            for listener in listeners:
                listener.close()
        else:
            return listeners
    raise OSError("no port is free on as many loopback addresses")


class _Ended(Exception):  # noqa: N818 - how a session's code gets out, not a mistake
    """The session is over; `how` is Seen's word for it."""

    def __init__(self, how: str) -> None:
        super().__init__(how)
        self.how = how


class _Sessions:
    """Sessions of one server."""

    def __init__(self, conduct: Conduct, seen: Seen) -> None:
        self._conduct = conduct
        self.seen = seen

    async def run(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.seen.connections += 1
        session = _Session(self._conduct, self.seen, reader, writer)
        try:
            await session.run()
        except _Ended as ended:
            self.seen.closes.append(ended.how)
        except (ConnectionError, TimeoutError):
            self.seen.closes.append("RST")
        finally:
            self.seen.has_ended.set()
            writer.close()


class _Session:
    """One connection."""

    def __init__(
        self,
        conduct: Conduct,
        seen: Seen,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self._conduct = conduct
        self._seen = seen
        self._reader = reader
        self._writer = writer
        self._tls: _TlsSide | None = None
        self._received = b""
        self._sender = ""
        self._is_begun = False
        self._recipients: list[str] = []
        self._responder: Responder | None = None

    async def run(self) -> None:
        if self._conduct.is_implicit_tls:
            await self._shake_hands()
        if self._conduct.speech is not Speech.SMTP:
            await self._serve_mailbox()
        await self._answer("banner", "220 mx.test ESMTP")
        while True:
            line = (await self._read_line()).decode("utf-8", "replace")
            self._seen.commands.append((line, self._tls is not None))
            if line.upper().startswith("AUTH") and self._conduct.login is not None:
                self._responder = self._conduct.login()
            if self._responder is not None:
                await self._respond(line, self._responder)
            else:
                await self._obey(line)

    async def _serve_mailbox(self) -> None:
        is_imap = self._conduct.speech is Speech.IMAP
        await self._answer("banner", "* OK ready" if is_imap else "+OK ready")
        while True:
            line = (await self._read_line()).decode("utf-8", "replace")
            self._seen.commands.append((line, self._tls is not None))
            tag, _, verb = line.partition(" ") if is_imap else ("", "", line)
            good = f"{tag} OK" if is_imap else "+OK"
            match verb:
                case "STARTTLS" | "STLS":
                    await self._start_tls(f"{good} begin", good)
                case "LOGOUT" | "QUIT":
                    bye = "* BYE\r\n" if is_imap else ""
                    await self._answer("QUIT", f"{bye}{good} bye")
                    raise _Ended("QUIT")
                case _:
                    await self._answer(verb, f"{good} done" if is_imap else "-ERR log in first")

    async def _respond(self, line: str, responder: Responder) -> None:
        reply = responder(line) if line != "*" else "501 5.7.0 Cancelled"
        if not reply.startswith("334"):
            self._responder = None
        await self._answer("AUTH", reply)

    async def _obey(self, line: str) -> None:
        verb = line.partition(" ")[0].upper()
        match verb:
            case "EHLO":
                await self._answer(verb, self._greeting())
            case "HELO":
                await self._answer(verb, "250 mx.test")
            case "STARTTLS":
                await self._start_tls()
            case "MAIL":
                await self._begin(line)
            case "RCPT":
                await self._take_recipient(line)
            case "DATA":
                await self._take_content()
            case "RSET":
                self._recipients.clear()
                await self._answer(verb, "250 2.0.0 Ok")
            case "QUIT":
                await self._answer(verb, "221 2.0.0 Bye")
                await self._wait_for_the_end()
            case _:
                await self._answer(verb, "502 5.5.2 Error")

    def _greeting(self) -> str:
        words = [*self._conduct.extensions]
        if self._conduct.has_starttls and self._tls is None:
            words.append("STARTTLS")
        lines = ["mx.test", *words]
        return "\r\n".join([*(f"250-{word}" for word in lines[:-1]), f"250 {lines[-1]}"])

    async def _begin(self, line: str) -> None:
        self._sender = line.partition("<")[2].partition(">")[0]
        self._recipients.clear()
        self._is_begun = (await self._answer("MAIL", "250 2.1.0 Ok")).startswith("2")

    async def _take_recipient(self, line: str) -> None:
        address = line.partition("<")[2].partition(">")[0]
        special: Answer | None = self._conduct.for_recipients.get(address)
        if special is None and len(self._recipients) >= self._conduct.max_recipients:
            special = "452 4.5.3 Too many recipients"
        if not self._is_begun:
            special = "503 5.5.1 MAIL first"
        answer = await self._answer("RCPT", "250 2.1.5 Ok", special=special)
        if answer.startswith("2"):
            self._recipients.append(address)

    async def _take_content(self) -> None:
        answer = await self._answer(
            "DATA", "354 go" if self._recipients else "554 5.5.1 No valid recipients"
        )
        if not answer.startswith("3"):
            return
        if self._conduct.is_deaf_to_content:
            self._writer.transport.pause_reading()  # type: ignore[attr-defined] # it is a socket's
            await asyncio.Event().wait()
        content = b""
        end = b"\r\n" if self._conduct.is_strict_about_ends else b"\n"
        while (line := await self._read_line(end)) != b".":
            content += line.removeprefix(b".") + b"\r\n"
            if self._conduct.during_content is not None:
                await self._act(self._conduct.during_content)
        final = self._choose(".", "250 2.0.0 Ok: queued as TEST")
        if isinstance(final, str) and final.rpartition("\n")[2].startswith("2"):
            taken = Taken(
                self._sender, tuple(self._recipients), content, is_tls=self._tls is not None
            )
            # Before it is said: a test may look as soon as the client has the reply.
            self._seen.taken.append(taken)
        await self._answer(".", "", special=final)
        if (idle := self._conduct.once_idle) is not None:
            await asyncio.sleep(LATER_SECONDS)
            await self._answer("idle", idle if isinstance(idle, str) else "", special=idle)

    async def _start_tls(self, ready: str = "220 2.0.0 Ready", good: str = "220") -> None:
        conduct = self._conduct
        usual = ready if conduct.has_starttls else "502 5.5.1 Not here"
        answer = await self._answer("STARTTLS", usual, extra=conduct.injected)
        if not answer.startswith(good):
            return
        instead = conduct.instead_of_tls
        if isinstance(instead, bytes):
            # Together with the 220 it would be what the client must throw away (CVE-2011-0411).
            self._received = self._received or await self._read_octets()
            self._writer.write(instead)
            await self._wait_for_the_end()
        if isinstance(instead, Act):
            await self._act(instead)
        await self._shake_hands()

    async def _shake_hands(self) -> None:
        conduct = self._conduct
        assert conduct.certificate is not None
        context = _context(conduct.certificate, conduct.tls)
        tls = _TlsSide(context, self._seen)
        while not tls.is_done:
            if outgoing := tls.shake_hands():
                self._writer.write(outgoing)
            if tls.is_failed:
                await self._wait_for_the_end()
            if not tls.is_done:
                tls.receive(await self._read_octets())
        kept = self._received if conduct.keeps_commands else b""
        # With the client's Finished its first command may have come.
        self._tls, self._received = tls, kept + tls.decrypt(b"")

    async def _answer(
        self, verb: str, usual: str, *, special: Answer | None = None, extra: bytes = b""
    ) -> str:
        """Say what the conduct has for a verb, else the usual; gives what was said."""
        answer = self._choose(verb, usual) if special is None else special
        if isinstance(answer, Act):
            await self._act(answer)
            return ""
        self._send(answer.encode() + b"\r\n" + extra)
        await self._writer.drain()
        if answer.rpartition("\n")[2].startswith("421"):
            self._writer.close()
            raise _Ended("421")
        return answer

    def _choose(self, verb: str, usual: str) -> Answer:
        under_tls = self._conduct.under_tls.get(verb) if self._tls is not None else None
        return self._conduct.answers.get(verb, usual) if under_tls is None else under_tls

    async def _act(self, act: Act) -> None:
        match act:
            case Act.SILENCE:
                await self._wait_for_the_end()
            case Act.RESET:
                linger = struct.pack("ii", 1, 0)
                sock = self._writer.get_extra_info("socket")
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                self._writer.transport.abort()
            case Act.CLOSE:
                pass
        raise _Ended(act.value)

    def _send(self, data: bytes) -> None:
        self._writer.write(data if self._tls is None else self._tls.encrypt(data))

    async def _read_line(self, end: bytes = b"\n") -> bytes:
        while end not in self._received:
            octets = await self._read_octets()
            if self._tls is None:
                self._received += octets
                continue
            self._received += self._tls.decrypt(octets)
            if self._tls.is_closed:
                raise _Ended("close_notify")
        line, _, self._received = self._received.partition(end)
        return line.removesuffix(b"\r") if end == b"\n" else line

    async def _wait_for_the_end(self) -> None:
        while True:
            octets = await self._read_octets()
            if self._tls is not None:
                self._tls.decrypt(octets)
                if self._tls.is_closed:
                    raise _Ended("close_notify")

    async def _read_octets(self) -> bytes:
        octets = await self._reader.read(65536)
        if not octets:
            raise _Ended("FIN")
        return octets


class _TlsSide:
    """The server's side of a handshake; its alerts are always handed out."""

    def __init__(self, context: ssl.SSLContext, seen: Seen) -> None:
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._seen = seen
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self.is_done = self.is_failed = self.is_closed = False
        context.sni_callback = self._note_sni
        self._context = context
        self._is_name_noted = False

    def receive(self, data: bytes) -> None:
        self._incoming.write(data)

    def shake_hands(self) -> bytes:
        """Go on; gives what is to be sent."""
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError as error:
            self._note_error(error)
            self.is_failed = True
        else:
            self.is_done = True
        if self.is_done or self.is_failed:
            self._note_name(None)
        return self._outgoing.read()

    def encrypt(self, data: bytes) -> bytes:
        self._tls.write(data)
        return self._outgoing.read()

    def decrypt(self, data: bytes) -> bytes:
        self._incoming.write(data)
        plain = b""
        try:
            while piece := self._tls.read(65536):
                plain += piece
        except ssl.SSLWantReadError:
            return plain
        except ssl.SSLError as error:
            self._note_error(error)
        self.is_closed = True
        return plain

    def _note_name(self, name: str | None) -> None:
        if not self._is_name_noted:
            self._is_name_noted = True
            self._seen.snis.append(name)

    def _note_sni(
        self, tls: ssl.SSLObject, name: str | None, context: ssl.SSLContext
    ) -> int | None:
        # Before the client sees a certificate: who waits for what it says of one finds the name.
        self._note_name(name)
        chooser: _Chooser | None = getattr(context, "chooser", None)
        return chooser.choose(tls, name) if chooser is not None else None

    def _note_error(self, error: ssl.SSLError) -> None:
        self._seen.tls_errors.append(error.reason or str(error))


class _Chooser:
    """Picks the context by the name asked for."""

    def __init__(self, conduct: TlsConduct) -> None:
        self._is_refusing = conduct.is_sni_refused
        plain = TlsConduct(versions=conduct.versions, ciphers=conduct.ciphers)
        self._contexts = {name: _context(issued, plain) for name, issued in conduct.by_sni}

    def choose(self, tls: ssl.SSLObject, name: str | None) -> int | None:
        if self._is_refusing and name is not None:
            return ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME
        if name in self._contexts:
            tls.context = self._contexts[name]
        return None


class _ServerContext(ssl.SSLContext):
    chooser: _Chooser


def _load(issued_pem: bytes, key_pem: bytes, ciphers: str | None) -> _ServerContext:
    context = _ServerContext(ssl.PROTOCOL_TLS_SERVER)
    # Weak keys are what some of these servers are for.
    context.set_ciphers(ciphers or "DEFAULT:@SECLEVEL=0")
    _add(context, issued_pem + key_pem)
    return context


def _add(context: ssl.SSLContext, pem: bytes) -> None:
    with tempfile.NamedTemporaryFile() as file:
        Path(file.name).write_bytes(pem)
        context.load_cert_chain(file.name)


def _context(issued: Issued, conduct: TlsConduct) -> ssl.SSLContext:
    """Make a context of its own for each connection: the SNI callback is the connection's."""
    context = _load(issued.chain_pem, issued.key_pem, conduct.ciphers)
    if conduct.second is not None:
        _add(context, conduct.second.chain_pem + conduct.second.key_pem)
    if conduct.versions is not None:
        with warnings.catch_warnings():
            # Versions before 1.2 are deprecated; that is what they are here for.
            warnings.simplefilter("ignore", DeprecationWarning)
            context.minimum_version, context.maximum_version = conduct.versions
    if conduct.client_ca is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(cadata=conduct.client_ca.decode("ascii"))
    if conduct.by_sni or conduct.is_sni_refused:
        context.chooser = _Chooser(conduct)
    return context
