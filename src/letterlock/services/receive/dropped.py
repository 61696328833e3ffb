"""A dropped message as it is read: who it is for, by the rules of its envelope, and what is in it.

RFC 3461 §4 (what was asked for it), RFC 6152 §2 and RFC 6531 §3.4 (octets over 127). Addresses that
have no domain get the origin's.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from letterlock.base.domains import Domain
from letterlock.protocols.smtp.envelope import BodyType, Envelope, Notify, Recipient, Ret
from letterlock.protocols.smtp.header_section import HeaderTooLong, split_header
from letterlock.protocols.smtp.paths import AddressError, parse_mailbox
from letterlock.protocols.smtp.xtext import XtextError, encode_xtext
from letterlock.storage.drop import MAX_ENVELOPE_OCTETS, DropEnvelope, DropError, parse_envelope

PIECE_OCTETS = 128 * 1024
MAX_ENVID_CHARACTERS = 100
"""RFC 3461 §4.4, of xtext."""


class DroppedFile(Protocol):
    """An open file; it blocks."""

    def read(self, size: int, /) -> bytes | None: ...

    def seek(self, offset: int, /) -> int: ...


@dataclass(frozen=True, slots=True)
class LocalUser:
    """Who owns a dropped file. `name` is the login name, or `uid` and the number."""

    number: int
    name: str
    full_name: str = ""


@dataclass(frozen=True, slots=True)
class Dropped:
    """A dropped message, read as far as its envelope."""

    user: LocalUser
    file: DroppedFile
    start: int
    """Where the message begins in the file."""
    size: int
    moment: datetime
    envelope: Envelope
    full_name: str
    bad: tuple[Recipient, ...]
    """Recipients whose address is none."""


class DroppedReader:
    """Reads dropped messages. `origin` is the domain of addresses that have none."""

    def __init__(self, origin: Domain, max_message_bytes: int) -> None:
        self._origin = origin
        self._max_message_bytes = max_message_bytes

    def read(self, file: DroppedFile, user: LocalUser, dropped: float, now: datetime) -> Dropped:
        """Read the envelope, and look through the message. Blocks.

        `dropped`: when, in seconds since 1970. Raises DropError for a file that is no message, and
        OSError.
        """
        beginning = b""
        while len(beginning) < MAX_ENVELOPE_OCTETS and (piece := file.read(PIECE_OCTETS)):
            beginning += piece
        facts, rest = parse_envelope(beginning)
        start = len(beginning) - len(rest)
        is_ascii, size = rest.isascii(), len(rest)
        while (piece := file.read(PIECE_OCTETS)) and size <= self._max_message_bytes:
            is_ascii, size = is_ascii and piece.isascii(), size + len(piece)
        good, bad = self._recipients(facts)
        sender = self._sender(facts, user)
        has_utf8_header = not _cut_header(rest).isascii()
        has_utf8 = has_utf8_header or not all(each.isascii() for each in (sender, *good))
        return Dropped(
            user=user,
            file=file,
            start=start,
            size=size,
            moment=_find_moment(dropped, now),
            envelope=Envelope(
                sender=sender,
                recipients=tuple(good.values()),
                body_type=BodyType.SEVEN_BIT if is_ascii else BodyType.EIGHT_BIT,
                smtputf8=has_utf8,
                ret=_parse_ret(facts.facts.get("ret")),
                envid=_parse_envid(facts.facts.get("envid")),
            ),
            full_name=facts.facts.get("name", user.full_name),
            bad=bad,
        )

    def _recipients(
        self, facts: DropEnvelope
    ) -> tuple[dict[str, Recipient], tuple[Recipient, ...]]:
        """Give those that are addresses, each once, and those that are none."""
        notify = _parse_notify(facts.facts.get("notify"))
        good: dict[str, Recipient] = {}
        bad: list[Recipient] = []
        for text in facts.recipients:
            try:
                address = self._parse_address(text)
            except AddressError:
                bad.append(Recipient(text, notify))
            else:
                good[address] = Recipient(address, notify)
        return good, tuple(bad)

    def _sender(self, facts: DropEnvelope, user: LocalUser) -> str:
        """Give the reverse-path; the user himself where none was named, or none that is one."""
        named = facts.facts.get("sender")
        if named == "":
            return ""
        for text in (named, user.name, f"uid{user.number}"):
            try:
                if text is not None:
                    return self._parse_address(text)
            except AddressError:
                continue
        raise AssertionError("a number is a local part")

    def _parse_address(self, text: str) -> str:
        qualified = text if "@" in text else f"{text}@{self._origin}"
        return parse_mailbox(qualified).format()


def _cut_header(beginning: bytes) -> bytes:
    try:
        fields, _ = split_header(beginning)
    except HeaderTooLong:
        return beginning
    return b"".join(octets for _, octets in fields)


def _parse_notify(text: str | None) -> frozenset[Notify]:
    """Read what `send.options` wrote. Raises DropError."""
    if text is None:
        return frozenset()
    try:
        found = frozenset(Notify(word) for word in text.split(","))
    except ValueError:
        raise DropError("its notify means nothing") from None
    if Notify.NEVER in found and len(found) > 1:
        raise DropError("its notify means nothing")
    return found


def _parse_ret(text: str | None) -> Ret | None:
    try:
        return None if text is None else Ret(text)
    except ValueError:
        raise DropError("its ret means nothing") from None


def _parse_envid(text: str | None) -> str | None:
    """Give it as xtext; None for one that cannot be sent: nobody's mail waits for that."""
    try:
        xtext = encode_xtext(text or "")
    except XtextError:
        return None
    return xtext if 0 < len(xtext) <= MAX_ENVID_CHARACTERS else None


def _find_moment(dropped: float, now: datetime) -> datetime:
    """Give when it was dropped, which counts as its Date: not now, but not to come either."""
    try:
        return min(datetime.fromtimestamp(dropped, UTC), now)
    except (OverflowError, ValueError, OSError):
        return now
