"""Counts of TLS sessions as they are kept beside the queue: for each day what came to the same.

RFC 8460 §4.1 (a day of UTC), §4.2. They are added in the transaction that settles the delivery, so
each is counted once, whatever becomes of the process. The engines are `storage.sqlite.tls_sessions`
and `storage.postgres.tls_sessions`; who adds them up is `services.collect.aggregate`.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import date
from functools import lru_cache
from hashlib import blake2b

import msgspec
from msgspec import Struct

from letterlock.protocols.tlsrpt.sessions import Outcome, Session
from letterlock.storage.records import from_micros, to_text

SessionRow = tuple[str, str, bytes, str, int]
"""Day, domain, what tells this session's result from others of the domain, the result, count."""


class CountedSession(Struct, frozen=True):
    """Sessions of a day that came to the same, and how many they were."""

    session: Session
    count: int


_ENCODER = msgspec.json.Encoder()
_DECODER = msgspec.json.Decoder(tuple[Outcome, ...])
_DIGEST_OCTETS = 16


def make_session_rows(settled: Iterable[tuple[int, Iterable[Session]]]) -> list[SessionRow]:
    """Give the rows to add, sorted, each once; `settled` has moments in microseconds."""
    counted = Counter((find_day(moment), each) for moment, found in settled for each in found)
    rows: dict[tuple[str, str, bytes], tuple[str, int]] = {}
    for (day, session), count in counted.items():
        domain, digest, text = _encode(session)
        before = rows.get((day, domain, digest))
        rows[day, domain, digest] = (text, count + (before[1] if before is not None else 0))
    return sorted((*key, *values) for key, values in rows.items())


def restore_session(domain: str, outcomes: str, count: int) -> CountedSession | None:
    """Decode what was stored; None: another release wrote it, and this one cannot."""
    try:
        return CountedSession(Session(domain, "", _DECODER.decode(outcomes)), count)
    except msgspec.MsgspecError:
        return None


def restore_sessions(rows: Iterable[tuple[str, str, int]]) -> Iterator[CountedSession]:
    """Decode rows of domain, outcomes and count; what cannot be read is left out."""
    return filter(None, (restore_session(*row) for row in rows))


@lru_cache(maxsize=64)
def _find_day(number: int) -> str:
    return from_micros(number * _DAY_MICROS).date().isoformat()


_DAY_MICROS = 86_400_000_000


def find_day(moment: int) -> str:
    """Give the day (UTC) of a moment in microseconds, as it is stored."""
    return _find_day(moment // _DAY_MICROS)


def format_day(day: date) -> str:
    """Give a day as it is stored; such texts are in the order of the days."""
    return day.isoformat()


@lru_cache(maxsize=4096)
def _encode(session: Session) -> tuple[str, bytes, str]:
    text = to_text(_ENCODER.encode(session.outcomes).decode())
    digest = blake2b(text.encode(), digest_size=_DIGEST_OCTETS).digest()
    return to_text(session.domain), digest, text
