"""What the supervisor has to tell, where its workers can read it: a page mapped before the fork.

`letterlock status` asks workers; a reload that failed is known to the supervisor alone.
"""

import mmap

PAGE_OCTETS = 16 * 1024
_LENGTH_OCTETS = 4


class SharedNotices:
    """A few lines, written by one process and read by others. Make it before the fork."""

    def __init__(self) -> None:
        self._page = mmap.mmap(-1, PAGE_OCTETS)

    def set(self, lines: tuple[str, ...]) -> None:
        """Replace the lines; what is too long for the page is cut."""
        octets = "\n".join(lines).encode()[: PAGE_OCTETS - _LENGTH_OCTETS]
        # Empty in between: one who reads meanwhile finds no half of two texts.
        self._page[:_LENGTH_OCTETS] = bytes(_LENGTH_OCTETS)
        self._page[_LENGTH_OCTETS : _LENGTH_OCTETS + len(octets)] = octets
        self._page[:_LENGTH_OCTETS] = len(octets).to_bytes(_LENGTH_OCTETS)

    def get(self) -> tuple[str, ...]:
        length = int.from_bytes(self._page[:_LENGTH_OCTETS])
        octets = self._page[_LENGTH_OCTETS : _LENGTH_OCTETS + length]
        return tuple(octets.decode(errors="replace").splitlines())
