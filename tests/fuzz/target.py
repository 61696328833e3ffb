"""A fuzz target: a parser, what must hold for any octets, and octets to begin with.

`check` raises AssertionError where its invariant does not hold; any other exception is a finding
too. It must depend on its octets alone, so that a finding can be repeated.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Target:
    """`seeds` are good inputs, `words` what is worth inserting; `runs` is enough for a second."""

    name: str
    check: Callable[[bytes], None]
    seeds: tuple[bytes, ...]
    words: tuple[bytes, ...] = ()
    max_octets: int = 4096
    runs: int = 1000


def take_choices(octets: bytes, count: int) -> tuple[bytes, bytes]:
    """Take the first octets as choices, 0 where there are none; gives them and the rest."""
    return octets[:count].ljust(count, b"\0"), octets[count:]


def take_texts(octets: bytes, count: int) -> list[str]:
    """Cut octets into texts at 0xFF, which is never in UTF-8; the last ones may be empty."""
    pieces = octets.split(b"\xff", count - 1)
    pieces += [b""] * (count - len(pieces))
    return [piece.decode("utf-8", "replace") for piece in pieces]


def join_texts(*texts: str) -> bytes:
    """Make a seed that `take_texts` cuts again."""
    return b"\xff".join(text.encode() for text in texts)


def split_ways(octets: bytes, choice: int) -> Iterator[list[bytes]]:
    """Give octets in pieces: one by one, of a size that `choice` says, and cut in two."""
    yield [octets[at : at + 1] for at in range(len(octets))]
    size = choice % 7 + 2
    yield [octets[at : at + size] for at in range(0, len(octets), size)]
    cut = len(octets) * choice // 255
    yield [octets[:cut], octets[cut:]]
