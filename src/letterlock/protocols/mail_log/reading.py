"""Reads a whole log of any form that is known, and gives the deliveries in it.

This loop sees every line of a log, most of which say nothing of deliveries: those cost a search for
a bracket and a look into a set. Memory does not grow with the log.
"""

from collections.abc import Iterable, Iterator
from itertools import chain

from letterlock.protocols.mail_log.deliveries import LoggedDelivery, Tally
from letterlock.protocols.mail_log.exim import EximTier
from letterlock.protocols.mail_log.journal import FIRST_FIELDS, read_export
from letterlock.protocols.mail_log.lines import MAX_CHARACTERS, LogLine, read_json_line, read_line
from letterlock.protocols.mail_log.tying import PostfixTier

_CLIENTS = frozenset({"smtp", "lmtp", "tlsproxy"})
_TAGS = frozenset({"/smtp", "/lmtp", "proxy"})
"""The last five characters before the bracket of a process number."""
_TAG = 5


class LogReader:
    """Reads logs, one file behind the other, oldest first: a delivery may go over two."""

    def __init__(self) -> None:
        self.tally = Tally()
        self._postfix = PostfixTier(self.tally)
        self._exim = EximTier(self.tally)

    def read(self, lines: Iterable[str]) -> Iterator[LoggedDelivery]:
        """Give the deliveries of a file as they end. Lines may have their end, or not."""
        rest = iter(lines)
        first = next(rest, None)
        if first is None:
            return
        if first.startswith(FIRST_FIELDS):
            yield from self._read_export(chain((first,), rest))
        else:
            yield from self._read_lines(chain((first,), rest))

    def close(self) -> None:
        """Count what was said of deliveries that did not come. No file follows."""
        self._postfix.close()
        self._exim.close()

    def _read_lines(self, lines: Iterable[str]) -> Iterator[LoggedDelivery]:
        tally, take = self.tally, self._postfix.take
        for line in lines:
            tally.lines += 1
            place = line.find("[")
            if line[place - _TAG : place] in _TAGS:
                parts = read_line(line)
                delivery = None if parts is None else take(parts)
            elif line[10:11] == " " and line[4:5] == "-":
                delivery = self._exim.take(line[:MAX_CHARACTERS].rstrip("\r\n"))
            elif line[:1] == "{":
                delivery = self._take(read_json_line(line.rstrip("\r\n")))
            else:
                if ": " not in line:
                    tally.unread += 1
                continue
            if delivery is not None:
                yield delivery

    def _read_export(self, lines: Iterable[str]) -> Iterator[LoggedDelivery]:
        for parts in read_export(lines):
            self.tally.lines += 1
            delivery = self._take(parts)
            if delivery is not None:
                yield delivery

    def _take(self, parts: LogLine | None) -> LoggedDelivery | None:
        if parts is None:
            self.tally.unread += 1
            return None
        if parts.program in _CLIENTS:
            return self._postfix.take(parts)
        if parts.program.startswith("exim"):
            return self._exim.take(parts.text)
        return None
