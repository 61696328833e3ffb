"""Memory on large pages: what is full of objects, and nothing else."""

import subprocess
import sys

import pytest

from letterlock.node.huge_pages import find_full_ranges

SIZE = 2 << 20
MIB = 1024


def make_mapping(text: str, kib: int) -> list[str]:
    return [text, "Size:           99999 kB", f"Rss:            {kib:5d} kB", "Pss:   0 kB"]


@pytest.mark.parametrize(
    ("text", "kib", "expected"),
    [
        ("7f0000100000-7f0000900000 rw-p 00000000 00:00 0 ", 8 * MIB, [(1, 4)]),
        ("55d000000000-55d000400000 rw-p 00000000 00:00 0          [heap]", 4 * MIB, [(0, 2)]),
        ("7f0000000000-7f0000400000 rw-p 00000000 00:00 0 ", 3 * MIB, [(0, 2)]),
        ("7f0000000000-7f0000800000 rw-p 00000000 00:00 0 ", 100, []),
        ("7f0000000000-7f0000400000 rw-p 00000000 00:00 0      [stack]", 4 * MIB, []),
        ("7f0000000000-7f0000400000 r--p 00000000 00:00 0 ", 4 * MIB, []),
        ("7f0000000000-7f0000400000 rw-p 00000000 fe:01 77   /lib/libc.so.6", 4 * MIB, []),
        ("7f0000100000-7f0000300000 rw-p 00000000 00:00 0 ", 2 * MIB, []),
    ],
    ids=["aligned", "heap", "most", "stack", "named", "read only", "file", "no room"],
)
def test_what_is_full_and_has_room_is_moved(
    text: str, kib: int, expected: list[tuple[int, int]]
) -> None:
    base = int(text.split("-", maxsplit=1)[0], 16) // SIZE * SIZE
    # Where there is no word on what is in memory, there is none.
    lines = [*make_mapping(text, kib), *make_mapping("0-1000 ---p 00000000 00:00 0", 4 * MIB)]
    found = [((a - base) // SIZE, (b - base) // SIZE) for a, b in find_full_ranges(lines, SIZE)]
    assert found == expected


def test_a_process_goes_on_with_what_it_had() -> None:
    """Where the kernel cannot do it, nothing is done."""
    script = (
        "from letterlock.node.huge_pages import use_huge_pages\n"
        "kept = [str(number) for number in range(200_000)]\n"
        "moved = use_huge_pages()\n"
        "assert moved >= 0 and moved % 4096 == 0\n"
        "print(sum(map(int, kept)))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    assert int(done.stdout) == 19_999_900_000
