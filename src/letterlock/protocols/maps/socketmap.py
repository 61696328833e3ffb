"""The socketmap protocol: `MAP KEY` is asked, `OK VALUE` answered, each in a netstring.

Postfix's socketmap_table(5), from Sendmail's. The map's name is not looked at: there is one map.
"""

from functools import lru_cache

from letterlock.protocols.maps.messages import BadQuery, Event, Reply, Status, Violation
from letterlock.protocols.maps.netstrings import NetstringReader, format_netstring

MAX_QUERY_OCTETS = 10_000
"""Postfix sends no longer ones."""
MAX_REPLY_OCTETS = 100_000
"""Postfix takes no longer ones."""


class SocketmapReader:
    """Turns received octets into queries."""

    def __init__(self) -> None:
        self._netstrings = NetstringReader(MAX_QUERY_OCTETS)

    def receive(self, octets: bytes) -> list[Event]:
        """Take octets from the client; give the queries that they complete."""
        return [_read_query(content) for content in self._netstrings.receive(octets)]

    @property
    def is_between(self) -> bool:
        """Nothing is held: what comes next begins a query."""
        return self._netstrings.is_between


def _read_query(content: bytes | Violation) -> Event:
    if isinstance(content, Violation):
        return content
    _, space, key = content.partition(b" ")
    return key if space else BadQuery("a query is a map's name, a space and a key")


@lru_cache(maxsize=1024)  # the same answers again and again
def format_socketmap_reply(reply: Reply) -> bytes:
    """Format an answer; one that is too long for Postfix becomes a failure."""
    # socketmap_table(5): there is a space behind NOTFOUND too.
    content = f"{reply.status} {reply.text}".encode()
    if len(content) > MAX_REPLY_OCTETS:
        content = f"{Status.PERM} the answer is longer than {MAX_REPLY_OCTETS} octets".encode()
    return format_netstring(content)
