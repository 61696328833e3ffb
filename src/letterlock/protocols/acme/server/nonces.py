"""Nonces that any process of the server makes and knows again, and that are good once.

RFC 8555 §6.5, §6.5.1. A nonce has its time, chance, and a MAC over both: nobody else makes one, and
none that was given out is stored. Stored are those used, until they are too old anyway. Processes
share the keys and that store; `SpentNonces` is it for one process.
"""

import hmac
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import blake2b

from letterlock.protocols.acme.base64url import Base64UrlError, decode_base64url, encode_base64url
from letterlock.protocols.acme.server.refusals import ErrorType, Refusal, refuse

LIFETIME = timedelta(hours=1)
SKEW = timedelta(minutes=5)
"""By how much the clocks of two processes may differ."""
REMEMBERED_FOR = LIFETIME + SKEW
"""How long after it was made a nonce that was used is kept: no clock takes it any more then."""
CHANCE_OCTETS = 16
KEY_OCTETS = 32
MAX_SPENT = 1_000_000
"""Of one process: some 200 MB, and more than it can be asked in an hour."""

_TIME_OCTETS = 5
_MAC_OCTETS = 16
_OCTETS = _TIME_OCTETS + CHANCE_OCTETS + _MAC_OCTETS
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class NonceKeys:
    """The first makes nonces; all of them know their own again, so that keys can change."""

    keys: tuple[bytes, ...] = field(repr=False)

    def __post_init__(self) -> None:
        if not self.keys or any(len(each) != KEY_OCTETS for each in self.keys):
            raise ValueError(f"there is a key for nonces, of {KEY_OCTETS} octets")


@dataclass(frozen=True, slots=True)
class GoodNonce:
    """A nonce of ours that is not too old. Whether it was used, the store knows.

    The store keeps `id` until `forgotten`, and then refuses all that would be forgotten by then.
    """

    id: bytes
    forgotten: datetime


def make_nonce(keys: NonceKeys, now: datetime, chance: bytes) -> str:
    """Make a nonce; `chance` is CHANCE_OCTETS random octets."""
    if len(chance) != CHANCE_OCTETS:
        raise ValueError(f"chance has {CHANCE_OCTETS} octets")
    text = ((now - _EPOCH) // _SECOND).to_bytes(_TIME_OCTETS, "big") + chance
    return encode_base64url(text + _find_mac(keys.keys[0], text))


def judge_nonce(keys: NonceKeys, nonce: str, now: datetime) -> GoodNonce | Refusal:
    """Tell whether a nonce is one of ours, of the last hour."""
    try:
        octets = decode_base64url(nonce)
    except Base64UrlError as error:
        return refuse(ErrorType.MALFORMED, f"nonce: {error}")
    text, mac = octets[:-_MAC_OCTETS], octets[-_MAC_OCTETS:]
    if len(octets) != _OCTETS or not _is_ours(keys.keys, text, mac):
        return refuse_nonce("the nonce is none of ours")
    made = _EPOCH + int.from_bytes(text[:_TIME_OCTETS], "big") * _SECOND
    if not made - SKEW <= now < made + LIFETIME:
        return refuse_nonce("the nonce is too old")
    return GoodNonce(text[_TIME_OCTETS:], made + REMEMBERED_FOR)


def refuse_nonce(why: str = "the nonce was used before") -> Refusal:
    """Refuse a nonce; the answer has a new one, which the client uses (RFC 8555 §6.5)."""
    return refuse(ErrorType.BAD_NONCE, why)


class SpentNonces:
    """The nonces that one process took.

    When they are too many, the oldest are forgotten, and with them all of their age are refused:
    a client then gets a fresh one, and none is ever good twice.
    """

    def __init__(self, most: int = MAX_SPENT) -> None:
        self._most = most
        self._count = 0
        self._by_end: dict[datetime, set[bytes]] = {}
        self._forgotten = datetime.min.replace(tzinfo=UTC)

    def spend(self, nonce: GoodNonce, now: datetime) -> bool:
        """Take a nonce. False: it was taken before, or nobody knows any more."""
        self._forget(now)
        # Also where the clock was set back: what was forgotten would look unused.
        if nonce.forgotten <= self._forgotten:
            return False
        found = self._by_end.setdefault(nonce.forgotten, set())
        if nonce.id in found:
            return False
        found.add(nonce.id)
        self._count += 1
        return True

    def __len__(self) -> int:
        return self._count

    def _forget(self, now: datetime) -> None:
        while self._by_end:
            end = min(self._by_end)
            if end > now and self._count < self._most:
                break
            self._count -= len(self._by_end.pop(end))
            self._forgotten = max(self._forgotten, end)


def _is_ours(keys: Sequence[bytes], text: bytes, mac: bytes) -> bool:
    return any(hmac.compare_digest(_find_mac(each, text), mac) for each in keys)


def _find_mac(key: bytes, text: bytes) -> bytes:
    # A keyed hash is a MAC by itself; HMAC of OpenSSL costs several times that (RFC 7693 §1).
    return blake2b(text, digest_size=_MAC_OCTETS, key=key, person=b"acme nonce").digest()
