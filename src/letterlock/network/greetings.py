"""What a port says first, as SMTP servers do (RFC 5321 §3.1): whether one gets there, and to whom.

Nothing is asked and nobody is told who we are, but for a QUIT.
"""

from dataclasses import dataclass

from letterlock.network.wire import Lost, connect

MAX_LINE_OCTETS = 512
"""RFC 5321 §4.5.3.1.5."""
_QUIT_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Greeting:
    """Somebody is there. `line` is the first one said, without its end; empty: nothing in time."""

    line: str


async def fetch_greeting(
    ip: str, port: int, seconds: float, *, source: str | None = None
) -> Greeting | Lost:
    """Connect, from `source` if given, and read a line: each of the two may take `seconds`."""
    wire = await connect(ip, port, seconds, source=source)
    if isinstance(wire, Lost):
        return wire
    said = b""
    try:
        while b"\n" not in said and len(said) < MAX_LINE_OCTETS:
            more = await wire.read(seconds)
            if isinstance(more, Lost):
                break
            said += more
        if said:
            await wire.write(b"QUIT\r\n", _QUIT_SECONDS)
            # Who hangs up first leaves an error in the other's log.
            await wire.read(_QUIT_SECONDS)
    finally:
        wire.close()
    return Greeting(said[:MAX_LINE_OCTETS].partition(b"\n")[0].decode("latin-1").rstrip("\r"))
