"""Counters that all worker processes share, in memory mapped before the fork.

Each worker writes only its own column, and a total is the sum over the columns: no lock, no
atomic operation, and a dead worker's column is set to zero by the supervisor. A key has a slot by
a keyed hash; two keys that meet in one slot are counted together, which at worst refuses one
client among tens of thousands early, and which nobody outside can bring about.
"""

import hashlib
import mmap
from collections.abc import Callable, Sequence

DEFAULT_SLOTS = 1 << 16
_CELL_BYTES = 8
_WINDOW_SHIFT = 24
_COUNT_MASK = (1 << _WINDOW_SHIFT) - 1


class SharedCounters:
    """A table of counters, `workers` columns wide. Make it before the fork."""

    def __init__(self, workers: int, secret: bytes, *, slots: int = DEFAULT_SLOTS) -> None:
        self._workers = workers
        self._slots = slots
        self._secret = secret[:64]
        self._map = mmap.mmap(-1, workers * slots * _CELL_BYTES)
        self._cells = memoryview(self._map).cast("q")

    def slot(self, key: str) -> int:
        """Give the slot of a key."""
        digest = hashlib.blake2b(key.encode(), digest_size=8, key=self._secret).digest()
        return int.from_bytes(digest) % self._slots

    def add(self, worker: int, slot: int, step: int = 1) -> None:
        """Count in a worker's own column."""
        self._cells[slot * self._workers + worker] += step

    def count(self, worker: int, slot: int) -> int:
        """Count one more in a worker's own column; give the sum over all workers."""
        first = slot * self._workers
        self._cells[first + worker] += 1
        return sum(self._cells[first : first + self._workers])

    def cell(self, worker: int, slot: int) -> int:
        """Give one worker's count."""
        return self._cells[slot * self._workers + worker]

    def column(self, worker: int) -> memoryview:
        """Give all counts of one worker, by slot: what is written there counts."""
        return self._cells[worker :: self._workers]

    def total(self, slot: int) -> int:
        """Sum a slot over all workers."""
        first = slot * self._workers
        return sum(self._cells[first : first + self._workers])

    def add_in_window(self, worker: int, slot: int, window: int) -> None:
        """Count what is over when its window of time is: an older window's count is forgotten."""
        cell = slot * self._workers + worker
        value = self._cells[cell]
        is_same = value >> _WINDOW_SHIFT == window
        self._cells[cell] = value + 1 if is_same else window << _WINDOW_SHIFT | 1

    def total_in_window(self, slot: int, window: int) -> int:
        """Sum what was counted with `add_in_window` in this window."""
        total, first = 0, slot * self._workers
        for cell in self._cells[first : first + self._workers]:
            if cell >> _WINDOW_SHIFT == window:
                total += cell & _COUNT_MASK
        return total

    def count_in_window(self, worker: int, slot: int, window: int) -> int:
        """Count as `add_in_window` does; give `total_in_window`."""
        first = slot * self._workers
        row = self._cells[first : first + self._workers]
        value = row[worker]
        row[worker] = value + 1 if value >> _WINDOW_SHIFT == window else window << _WINDOW_SHIFT | 1
        # Nearly all are zero: there is a column for each worker that there could be.
        used = filter(None, row)
        return sum([cell & _COUNT_MASK for cell in used if cell >> _WINDOW_SHIFT == window])

    def clear_worker(self, worker: int) -> None:
        """Forget what a worker that is gone had open."""
        for cell in range(worker, len(self._cells), self._workers):
            self._cells[cell] = 0


class NamedCounters:
    """A few counters that only grow, for `letterlock status`; kept when a worker ends."""

    def __init__(self, names: Sequence[str], workers: int) -> None:
        self._slots = {name: number for number, name in enumerate(names)}
        self._counters = SharedCounters(workers, b"", slots=max(1, len(names)))

    def adder(self, worker: int) -> Callable[[str], None]:
        """Give what counts one more of a name in a worker's column.

        A name that was not given at the start is a KeyError.
        """
        cells, slots = self._counters.column(worker), self._slots

        def add(name: str) -> None:
            cells[slots[name]] += 1

        return add

    def of_worker(self, worker: int) -> dict[str, int]:
        """Give what one worker counted."""
        return {name: self._counters.cell(worker, slot) for name, slot in self._slots.items()}

    def totals(self) -> dict[str, int]:
        """Give every counter, summed over workers."""
        return {name: self._counters.total(slot) for name, slot in self._slots.items()}
