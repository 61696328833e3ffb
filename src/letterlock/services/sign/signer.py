"""Signing of a message while it comes in: its fields get their place at once, and their text last.

RFC 6376 §5. What is written for the message is what is signed and what is sent. The place of a
field is as long as the field will be, so that nothing is copied when the body has ended.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from letterlock.base.clock import Clock
from letterlock.base.domains import Domain
from letterlock.protocols.dkim.author import find_author_domains
from letterlock.protocols.dkim.canonical import BodyHash
from letterlock.protocols.dkim.fields import FieldStack, split_fields
from letterlock.protocols.dkim.signing import (
    BODY_FORM,
    SignedFields,
    SigningKey,
    make_signature,
    measure_signature,
    select_fields,
)
from letterlock.services.sign.keyring import Keyring

MAX_HEADER_OCTETS = 128 * 1024
"""Of a header section that is signed. It is held back until it is whole."""

_FILLER = b"-"


@dataclass(frozen=True, slots=True)
class Signer:
    """Signs mail of our domains. `lifetime` None: signatures don't expire."""

    keyring: Keyring
    clock: Clock
    lifetime: timedelta | None = None

    def begin(self) -> "Signing":
        """Begin a message."""
        return Signing(self)


@dataclass(frozen=True, slots=True)
class _Decided:
    """How a message is signed."""

    keys: tuple[SigningKey, ...]
    fields: SignedFields
    body: BodyHash
    now: datetime
    room: int


class Signing:
    """One message. Lines end with CRLF; what is in front of it (Received) does not come by here."""

    def __init__(self, signer: Signer) -> None:
        self._signer = signer
        # A line end before the first line: so an empty line is found there as anywhere.
        self._header: bytearray | None = bytearray(b"\r\n")
        self._decided: _Decided | None = None

    @property
    def domain(self) -> Domain | None:
        """The domain that signs, once that is known; None: nobody does."""
        return self._decided.keys[0].domain if self._decided is not None else None

    def receive(self, octets: bytes) -> bytes:
        """Take the next octets; gives what is to be written now, with room for the fields."""
        if self._header is None:
            if self._decided is not None:
                self._decided.body.receive(octets)
            return octets
        start = max(0, len(self._header) - 3)
        self._header += octets
        end = self._header.find(b"\r\n\r\n", start)
        if end >= 0:
            return self._end_header(end + 2)
        if len(self._header) > MAX_HEADER_OCTETS:
            return self._take_held()
        return b""

    def finish(self) -> tuple[bytes, bytes]:
        """End the message; gives what is still to be written, and the fields for the room.

        That room is at the beginning of all that was given to be written; it has their length.
        """
        rest = b"" if self._header is None else self._end_header(len(self._header))
        if self._decided is None:
            return rest, b""
        decided = self._decided
        digest = decided.body.finish()
        fields = b"".join(
            make_signature(key, decided.fields, digest, decided.now, self._signer.lifetime)
            for key in decided.keys
        )
        assert len(fields) == decided.room
        return rest, fields

    def _end_header(self, end: int) -> bytes:
        """Decide, with a header section that ends before its empty line, or with the message."""
        held = self._take_held()
        header, body = held[: end - 2], held[end:]
        self._decided = self._decide(header)
        if self._decided is None:
            return held
        self._decided.body.receive(body)
        return _FILLER * self._decided.room + held

    def _take_held(self) -> bytes:
        assert self._header is not None
        held, self._header = bytes(self._header[2:]), None
        return held

    def _decide(self, header: bytes) -> _Decided | None:
        """Choose who signs. None: it is nobody's of ours, or no message (RFC 6376 §3.8)."""
        fields = split_fields(header)
        authors = [field for name, field in fields if name == b"from"]
        if len(authors) != 1:
            return None
        keyring = self._signer.keyring
        domains = find_author_domains(authors[0].partition(b":")[2])
        domain = next(filter(None, map(keyring.find_domain, domains)), None)
        keys = keyring.find(domain) if domain is not None else ()
        if not keys:
            return None
        selected, now = select_fields(FieldStack(fields)), self._signer.clock.now()
        lifetime = self._signer.lifetime
        room = sum(measure_signature(key, selected, now, lifetime) for key in keys)
        return _Decided(keys, selected, BodyHash(BODY_FORM), now, room)
