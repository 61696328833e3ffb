"""Mailbox files: messages behind each other, each below a line that begins with `From `.

RFC 4155 §A (the default format). Such a line counts behind an empty one, and at the beginning; what
was quoted (`>From `) stays as it is.
"""

from collections.abc import Iterable, Iterator

_SEPARATOR = b"From "
_EMPTY = (b"\n", b"\r\n")


def is_mbox(beginning: bytes) -> bool:
    """Say whether a file begins as a mailbox does."""
    return beginning.startswith(_SEPARATOR)


def split_mbox(lines: Iterable[bytes], max_octets: int) -> Iterator[bytes]:
    """Give the messages of a mailbox, without the lines between them.

    `lines` have their ends. Of a message longer than `max_octets` its first octets are given, one
    more than that: so it is seen to be too long.
    """
    kept: list[bytes] | None = None
    size, is_behind_empty = 0, True
    for line in lines:
        if is_behind_empty and line.startswith(_SEPARATOR):
            if kept is not None:
                yield b"".join(kept)
            kept, size = [], 0
        elif kept is not None and size <= max_octets:
            kept.append(line[: max_octets + 1 - size])
            size += len(kept[-1])
        is_behind_empty = line in _EMPTY
    if kept is not None:
        yield b"".join(kept)
