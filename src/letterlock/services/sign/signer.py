"""Signing of a message while it comes in: its fields get their place at once, and their text last.

RFC 6376 §5. What is written for the message is what is signed and what is sent. The place of a
field is as long as the field will be, so that nothing is copied when the body has ended.
"""

from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache

from letterlock.base.clock import Clock
from letterlock.base.domains import Domain
from letterlock.protocols.dkim.author import find_author_domains
from letterlock.protocols.dkim.canonical import BodyHash
from letterlock.protocols.dkim.fields import find_authors, split_fields
from letterlock.protocols.dkim.signing import (
    BODY_FORM,
    PlannedSignature,
    SigningKey,
    plan_signature,
    select_fields,
)
from letterlock.services.sign.keyring import Keyring

MAX_HEADER_OCTETS = 128 * 1024
"""Of a header section that is signed. It is held back until it is whole."""

_FILLER = b"-"
_USUAL_OCTETS = 200
"""Of a From field: those that are longer are read anew each time."""


@dataclass(frozen=True, slots=True)
class Signer:
    """Signs mail of our domains. `lifetime` None: signatures don't expire."""

    keyring: Keyring
    clock: Clock
    lifetime: timedelta | None = None

    def begin(self) -> "Signing":
        """Begin a message."""
        return Signing(self)

    def sign(self, content: bytes) -> bytes:
        """Give a whole message of ours with its signatures in front; as it is, if nobody signs."""
        signing = self.begin()
        written = signing.receive(content)
        rest, fields = signing.finish()
        whole = written + rest
        return fields + whole[len(fields) :]


@dataclass(frozen=True, slots=True)
class _Decided:
    """How a message is signed."""

    signatures: tuple[PlannedSignature, ...]
    body: BodyHash

    @property
    def room(self) -> int:
        return sum(each.octets for each in self.signatures)


class Signing:
    """One message. Lines end with CRLF; what is in front of it (Received) does not come by here."""

    def __init__(self, signer: Signer) -> None:
        self._signer = signer
        # A line end before the first line: so an empty line is found there as anywhere.
        self._header: bytearray | None = bytearray(b"\r\n")
        self._decided: _Decided | None = None

    @property
    def keys(self) -> tuple[SigningKey, ...]:
        """The keys that sign, once that is known; none: nobody does."""
        planned = self._decided.signatures if self._decided is not None else ()
        return tuple(each.key for each in planned)

    def receive(self, octets: bytes) -> bytes:
        """Take the next octets; gives what is to be written now, with room for the fields."""
        if self._header is None:
            if self._decided is not None:
                self._decided.body.receive(octets)
            return octets
        start = max(0, len(self._header) - 3)
        self._header += octets
        end = self._header.find(b"\r\n\r\n", start)
        if (end if end >= 0 else len(self._header)) > MAX_HEADER_OCTETS:
            return self._take_held()
        return self._end_header(end + 2) if end >= 0 else b""

    def finish(self) -> tuple[bytes, bytes]:
        """End the message; gives what is still to be written, and the fields for the room.

        That room is at the beginning of all that was given to be written; it has their length.
        """
        rest = b"" if self._header is None else self._end_header(len(self._header))
        if self._decided is None:
            return rest, b""
        decided = self._decided
        digest = decided.body.finish()
        fields = b"".join([each.make(digest) for each in decided.signatures])
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
        authors = find_authors(header)
        domain = self._find_domain(authors[0]) if len(authors) == 1 else None
        keys = self._signer.keyring.find(domain) if domain is not None else ()
        if not keys:
            return None
        fields, now = select_fields(split_fields(header)), self._signer.clock.now()
        lifetime = self._signer.lifetime
        planned = tuple(plan_signature(key, fields, now, lifetime) for key in keys)
        return _Decided(planned, BodyHash(BODY_FORM))

    def _find_domain(self, author: bytes) -> Domain | None:
        """Give the first domain of ours among those of the authors."""
        is_usual = len(author) <= _USUAL_OCTETS
        domains = _find_usual_domains(author) if is_usual else find_author_domains(author)
        return next(filter(None, map(self._signer.keyring.find_domain, domains)), None)


@lru_cache(maxsize=1024)
def _find_usual_domains(author: bytes) -> tuple[Domain, ...]:
    """Keep what was found: the same authors write again and again."""
    return find_author_domains(author)
