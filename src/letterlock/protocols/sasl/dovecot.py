"""Dovecot's authentication protocol, as a client of its login service talks it: one password asked.

Dovecot Authentication Protocol v1.2 (doc/auth-protocol.txt of Dovecot). Lines of fields between
tabs. Passwords go by PLAIN (RFC 4616), whatever mechanism the client of ours chose.
"""

import re
from binascii import b2a_base64
from dataclasses import dataclass

MAX_LINE_OCTETS = 8192
"""AUTH_CLIENT_MAX_LINE_LENGTH of Dovecot."""
MAX_LINES = 200
"""Of a greeting and an answer: more is not the protocol."""
MAJOR_VERSION = 1

# What Dovecot's str_tabescape writes.
_ESCAPE = re.compile(rb"\x01([0-9a-z])")
_ESCAPED = {b"0": b"\0", b"1": b"\x01", b"t": b"\t", b"r": b"\r", b"n": b"\n"}


@dataclass(frozen=True, slots=True)
class Greeted:
    """The service has said what it can, and takes requests."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """The password is right. `user` is what the service calls the account."""

    user: str


@dataclass(frozen=True, slots=True)
class Denied:
    """The password is wrong, or the account is kept out."""


@dataclass(frozen=True, slots=True)
class NotAnswered:
    """The service could not say, or says what this protocol has not."""

    reason: str


Answer = Accepted | Denied | NotAnswered


def format_hello(client: int) -> bytes:
    """Begin a connection; `client` is a number that no other connection has."""
    return f"VERSION\t{MAJOR_VERSION}\t2\nCPID\t{client}\n".encode()


def format_question(name: str, password: str, ip: str) -> bytes:
    """Ask whether a password is an account's; both are prepared. `ip` is the client's address."""
    response = b2a_base64(f"\0{name}\0{password}".encode(), newline=False).decode()
    # `secured`: the client is under TLS, so that a password may be asked for.
    return f"AUTH\t1\tPLAIN\tservice=smtp\tsecured\trip={ip}\tresp={response}\n".encode()


class DovecotReader:
    """Reads what the service says on one connection. Give it lines without their ends."""

    def __init__(self) -> None:
        self._has_version = False
        self._has_plain = False
        self._has_greeted = False
        self._lines = 0

    def receive(self, line: bytes) -> Greeted | Answer | None:
        """Take a line; gives what it says, None for nothing yet."""
        self._lines += 1
        if self._lines > MAX_LINES or len(line) > MAX_LINE_OCTETS:
            return NotAnswered("it says too much")
        word, *fields = line.split(b"\t")
        if not self._has_greeted:
            return self._take_greeting(word, fields)
        return _read_answer(word, fields) if fields[:1] == [b"1"] else None

    def _take_greeting(self, word: bytes, fields: list[bytes]) -> Greeted | NotAnswered | None:
        if word == b"VERSION":
            if fields[:1] != [b"%d" % MAJOR_VERSION]:
                return NotAnswered("its protocol has another version")
            self._has_version = True
        elif word == b"MECH":
            self._has_plain = self._has_plain or fields[:1] == [b"PLAIN"]
        elif word == b"DONE":
            if not self._has_version or not self._has_plain:
                return NotAnswered("it offers no PLAIN (auth_mechanisms)")
            self._has_greeted = True
            return Greeted()
        return None


def _read_answer(word: bytes, fields: list[bytes]) -> Answer | None:
    given = dict(field.partition(b"=")[::2] for field in fields[1:])
    match word:
        case b"OK":
            try:
                return Accepted(_unescape(given[b"user"]).decode())
            except (KeyError, UnicodeDecodeError):
                return NotAnswered("it names no account")
        case b"FAIL":
            if b"temp" in given or given.get(b"code") == b"temp_fail":
                return NotAnswered("it failed for now: see Dovecot's log")
            return Denied()
        case b"CONT":
            return NotAnswered("it asks again where nothing is left to say")
        case _:
            return None


def _unescape(value: bytes) -> bytes:
    return _ESCAPE.sub(lambda match: _ESCAPED.get(match[1], match[1]), value)
