"""Fuzzing without coverage: inputs made from a target's seeds by chance, the same for a seed.

For where there is no Atheris (it has wheels for Linux on x86-64 only), and for the short run that
is part of the tests everywhere. It finds less: nothing tells it which inputs reached new code.
"""

import random
import time
from collections.abc import Callable, Iterator

from tests.fuzz.target import Target

MAX_SECONDS = 5.0
"""Of CPU for one input: work that does not grow with the square of the input stays far below."""

_POOL = 200
_ODD = (b"\0", b"\xff", b"\x7f", b"\x80", b"\r", b"\n", b"\r\n", b" ", b".", b"<", b">", b'"', b"%")


class TooSlowError(AssertionError):
    """An input took longer than any of its size should."""


class Finding(Exception):  # noqa: N818 - what is looked for, not a mistake
    """An input for which a target's invariant does not hold; its cause says how."""

    def __init__(self, target: Target, octets: bytes) -> None:
        super().__init__(f"{target.name}: {octets!r}")
        self.octets = octets


def run_target(
    target: Target,
    *,
    runs: int | None = None,
    seconds: float | None = None,
    seed: int = 0,
) -> int:
    """Give a target inputs, its seeds first; gives how many. Raises Finding at the first one.

    Ends after `runs`, or after `seconds`, whichever comes first; None is no limit.
    """
    end = None if seconds is None else time.monotonic() + seconds
    count = 0
    for count, octets in enumerate(make_inputs(target, seed), start=1):
        check(target, octets)
        if count == runs or (end is not None and time.monotonic() >= end):
            break
    return count


def check(target: Target, octets: bytes) -> None:
    """Give a target one input; raises Finding."""
    start = time.process_time()
    try:
        target.check(octets)
    except Exception as error:
        raise Finding(target, octets) from error
    if (taken := time.process_time() - start) > MAX_SECONDS:
        raise Finding(target, octets) from TooSlowError(f"{taken:.1f} s of CPU")


def make_inputs(target: Target, seed: int) -> Iterator[bytes]:
    """Give the seeds, nothing, and then what chance makes of them, without end."""
    chance = random.Random(f"{target.name} {seed}")
    yield b""
    yield from target.seeds
    pool = list(target.seeds)
    while True:
        octets = chance.choice(pool)
        for _ in range(1 + int(chance.expovariate(0.5))):
            octets = chance.choice(_CHANGES)(octets, target, chance)
        octets = octets[: target.max_octets]
        # Some of them are changed further, so that inputs move away from the seeds.
        if chance.random() < 0.1:
            if len(pool) < _POOL:
                pool.append(octets)
            else:
                pool[chance.randrange(len(target.seeds), _POOL)] = octets
        yield octets


def _flip_bit(octets: bytes, _: Target, chance: random.Random) -> bytes:
    if not octets:
        return b"\0"
    at = chance.randrange(len(octets))
    return octets[:at] + bytes((octets[at] ^ 1 << chance.randrange(8),)) + octets[at + 1 :]


def _change_octet(octets: bytes, _: Target, chance: random.Random) -> bytes:
    at = chance.randrange(len(octets) + 1)
    return octets[:at] + chance.randbytes(1) + octets[at + 1 :]


def _insert_word(octets: bytes, target: Target, chance: random.Random) -> bytes:
    at = chance.randrange(len(octets) + 1)
    return octets[:at] + chance.choice((*target.words, *_ODD)) + octets[at:]


def _replace_by_word(octets: bytes, target: Target, chance: random.Random) -> bytes:
    start, end = _choose_range(octets, chance)
    return octets[:start] + chance.choice((*target.words, *_ODD)) + octets[end:]


def _remove_range(octets: bytes, _: Target, chance: random.Random) -> bytes:
    start, end = _choose_range(octets, chance)
    return octets[:start] + octets[end:]


def _repeat_range(octets: bytes, target: Target, chance: random.Random) -> bytes:
    start, end = _choose_range(octets, chance)
    times = chance.choice((2, 2, 3, 10, 300))
    return octets[:start] + octets[start:end] * times + octets[end : target.max_octets]


def _move_range(octets: bytes, _: Target, chance: random.Random) -> bytes:
    start, end = _choose_range(octets, chance)
    rest = octets[:start] + octets[end:]
    at = chance.randrange(len(rest) + 1)
    return rest[:at] + octets[start:end] + rest[at:]


def _cross(octets: bytes, target: Target, chance: random.Random) -> bytes:
    other = chance.choice(target.seeds)
    start, end = _choose_range(other, chance)
    at = chance.randrange(len(octets) + 1)
    return octets[:at] + other[start:end] + octets[at:]


def _choose_range(octets: bytes, chance: random.Random) -> tuple[int, int]:
    start = chance.randrange(len(octets) + 1)
    return start, min(len(octets), start + 1 + int(chance.expovariate(0.15)))


_CHANGES: tuple[Callable[[bytes, Target, random.Random], bytes], ...] = (
    _flip_bit,
    _change_octet,
    _insert_word,
    _insert_word,
    _replace_by_word,
    _remove_range,
    _repeat_range,
    _move_range,
    _cross,
)
