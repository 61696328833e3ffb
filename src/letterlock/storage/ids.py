"""Queue ids: short names for messages, ordered by time, unique over processes and nodes.

Nine digits of microseconds since 2020 (enough until 2108) and six of chance, to base 52: digits
and consonants, so that no id is a word. Their order as ASCII is the order of time.
"""

import re
import secrets
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from random import Random

from letterlock.base.clock import Clock
from letterlock.storage.queue import QueueId

ALPHABET = "0123456789BCDFGHJKLMNPQRSTVWXYZbcdfghjklmnpqrstvwxyz"
EPOCH = datetime(2020, 1, 1, tzinfo=UTC)
TIME_DIGITS = 9
CHANCE_DIGITS = 6

_BASE = len(ALPHABET)
_PAIRS = tuple(high + low for high in ALPHABET for low in ALPHABET)
_PAIR = len(_PAIRS)
_CHANCES = _BASE**CHANCE_DIGITS
_MICROSECOND = timedelta(microseconds=1)
_QUEUE_ID = re.compile(rf"[{ALPHABET}]{{{TIME_DIGITS + CHANCE_DIGITS}}}\Z")


class QueueIds:
    """Makes queue ids; those of one process are strictly ordered, a clock set back or not."""

    def __init__(self, clock: Clock, random: Callable[[], float] | None = None) -> None:
        """Make a process's own; `random` gives numbers from 0 up to 1."""
        self._clock = clock
        # Nothing is secret about an id: chance only keeps those of two processes apart.
        self._random = random or Random(secrets.randbits(128)).random  # noqa: S311
        self._latest = -1
        self._slow, self._slow_digits = -1, ""

    def make(self) -> QueueId:
        """Make an id that was not made before."""
        moment = (self._clock.now() - EPOCH) // _MICROSECOND
        self._latest = latest = max(moment, self._latest + 1)
        rest, third = divmod(int(self._random() * _CHANCES), _PAIR)
        first, second = divmod(rest, _PAIR)
        rest, low = divmod(latest, _PAIR)
        slow, high = divmod(rest, _PAIR)
        if slow != self._slow:
            # These change every seven seconds.
            self._slow, self._slow_digits = slow, _digits(slow, TIME_DIGITS - 4)
        pairs = _PAIRS
        chance = f"{pairs[first]}{pairs[second]}{pairs[third]}"
        return QueueId(f"{self._slow_digits}{pairs[high]}{pairs[low]}{chance}")


def is_queue_id(text: str) -> bool:
    """Tell whether a text has the form of a queue id."""
    return _QUEUE_ID.match(text) is not None


def find_time(queue_id: str) -> datetime | None:
    """Give the moment an id was made at; None for a text of another form."""
    if not is_queue_id(queue_id):
        return None
    moment = 0
    for digit in queue_id[:TIME_DIGITS]:
        moment = moment * _BASE + ALPHABET.index(digit)
    return EPOCH + moment * _MICROSECOND


def _digits(number: int, width: int) -> str:
    digits = ""
    while len(digits) < width:
        number, digit = divmod(number, _BASE)
        digits = ALPHABET[digit] + digits
    return digits
