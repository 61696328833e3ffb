"""A list of serial numbers like the one of 2020, as long and as large, of made-up certificates.

One line each: `serial`, 18 octets, an account, 64 digits that mean nothing, names, the name that
was not looked up, when. Sorted by account. The same seed makes the same list.
"""

import gzip
import random
from collections.abc import Iterator
from pathlib import Path

ENTRIES = 3_048_289
LINES_AT_A_TIME = 20_000

_WORDS = ("mail", "www", "shop", "cpanel", "webdisk", "autodiscover", "blog", "dev", "webmail")


def write_list(path: Path, entries: int = ENTRIES, seed: int = 2020) -> list[str]:
    """Write a packed list; gives every 1000th serial number in it."""
    chance = random.Random(seed)
    kept: list[str] = []
    with gzip.open(path, "wb", compresslevel=1) as file:
        lines: list[str] = []
        for number, (serial, line) in enumerate(_make_lines(entries, chance)):
            lines.append(line)
            if number % 1000 == 0:
                kept.append(serial)
            if len(lines) == LINES_AT_A_TIME:
                file.write("".join(lines).encode("ascii"))
                lines.clear()
        file.write("".join(lines).encode("ascii"))
    return kept


def _make_lines(entries: int, chance: random.Random) -> Iterator[tuple[str, str]]:
    account = 131
    for number in range(entries):
        # As in 2020: one of two first octets, then chance.
        serial = f"{3 + (number & 1):02x}{chance.randbytes(17).hex()}"
        account += number & 7
        domain = f"{chance.getrandbits(40):010x}.example"
        names = " ".join([domain, *(f"{word}.{domain}" for word in _WORDS[: 3 + number % 7])])
        line = (
            f"serial {serial} {account} {chance.randbytes(32).hex()} names: [{names}] missing CAA "
            f"checking results for {domain} at 2019-12-03 21:{number % 60:02}:34.826011675 +0000 "
            "UTC\n"
        )
        yield serial, line
