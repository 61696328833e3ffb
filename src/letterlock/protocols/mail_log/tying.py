"""Ties the lines of a log to deliveries: by process, then by queue id, and never by a guess.

No line about TLS has a queue id in Postfix: it belongs to the next delivery of the same process.
A process of ours carries many deliveries at once, and tlsproxy(8) the handshakes of connections
that are used again: there, what was said last of the peer belongs to a delivery to it. That a
process does so shows: a delivery ends at one host while another's handshake is not accounted for.
What belongs to nothing is counted. Bounded: processes and peers that were not heard of for longest
are forgotten.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field

from letterlock.protocols.mail_log.deliveries import LoggedDelivery, Tally
from letterlock.protocols.mail_log.explaining import Said, explain
from letterlock.protocols.mail_log.lines import LogLine
from letterlock.protocols.mail_log.postfix import (
    Ended,
    HostFailed,
    TlsUp,
    find_queue_id,
    find_subject,
    is_about,
    read_event,
)

MAX_PROCESSES = 20_000
MAX_PEERS = 20_000
MAX_EVENTS = 60
"""Of one delivery: each host tried has a handful."""

_PROXY = "tlsproxy"
_MAX_OF_PEER = 8


@dataclass(slots=True)
class _Session:
    """What a process said since its last delivery."""

    events: list[Said] = field(default_factory=list)
    last_id: str = ""
    last_events: list[Said] = field(default_factory=list)
    is_shared: bool = False
    """Several deliveries are under way in it at a time."""


class PostfixTier:
    """Takes lines in the order of the log, and gives deliveries as they end."""

    def __init__(self, tally: Tally) -> None:
        self.tally = tally
        self._sessions: OrderedDict[tuple[str, str], _Session] = OrderedDict()
        self._by_peer: OrderedDict[tuple[str, str, str], list[Said]] = OrderedDict()

    def take(self, line: LogLine) -> LoggedDelivery | None:
        """Take a line of an SMTP client or of tlsproxy; gives the delivery that it ends."""
        event = read_event(line.text)
        if event is None:
            return None
        said = event, line.text
        if line.program == _PROXY:
            self._keep_by_peer(line.host, _PROXY, said)
            return None
        session = self._find(line)
        if isinstance(event, Ended):
            return self._end(line, event, session)
        if session.is_shared and not isinstance(event, HostFailed):
            self._keep_by_peer(line.host, line.process, said)
        elif len(session.events) < MAX_EVENTS:
            session.events.append(said)
        else:
            self.tally.untied += 1
        return None

    def close(self) -> None:
        """Count what waited for a delivery that did not come."""
        self.tally.untied += sum(len(each.events) for each in self._sessions.values())
        self._sessions.clear()

    def _find(self, line: LogLine) -> _Session:
        key = (line.host, line.process)
        session = self._sessions.get(key)
        if session is not None:
            self._sessions.move_to_end(key)
            return session
        if len(self._sessions) >= MAX_PROCESSES:
            _, forgotten = self._sessions.popitem(last=False)
            self.tally.untied += len(forgotten.events)
        session = self._sessions[key] = _Session()
        return session

    def _keep_by_peer(self, host: str, process: str, said: Said) -> None:
        """Keep what is said of a peer, from its newest handshake on."""
        peer = find_subject(said[0])
        if not peer:
            self.tally.untied += 1
            return
        key = (host, process, peer)
        kept = self._by_peer.setdefault(key, [])
        self._by_peer.move_to_end(key)
        if isinstance(said[0], TlsUp):
            # A handshake's faults are told before it: those of an older one stand before that.
            ups = [place for place, each in enumerate(kept) if isinstance(each[0], TlsUp)]
            del kept[: ups[-1] + 1 if ups else 0]
        kept.append(said)
        del kept[:-_MAX_OF_PEER]
        if len(self._by_peer) > MAX_PEERS:
            self._by_peer.popitem(last=False)

    def _end(self, line: LogLine, ended: Ended, session: _Session) -> LoggedDelivery:
        if not session.is_shared and _is_shared(session.events, ended):
            session.is_shared = True
            for said in session.events:
                if not isinstance(said[0], HostFailed):
                    self._keep_by_peer(line.host, line.process, said)
            session.events = [each for each in session.events if isinstance(each[0], HostFailed)]
        if session.is_shared:
            events = self._take_shared(session, ended)
        elif session.last_id == ended.queue_id:
            # Another recipient of the same message: what was said before is of both.
            events = session.last_events + session.events
        else:
            events = session.events
        if not session.is_shared:
            del events[:-MAX_EVENTS]
            session.last_id, session.last_events, session.events = ended.queue_id, events, []
        own = self._by_peer.get((line.host, line.process, ended.relay), ())
        proxied = self._by_peer.get((line.host, _PROXY, ended.relay), ())
        return explain(line.stamp, ended, [*proxied, *own, *events])

    def _take_shared(self, session: _Session, ended: Ended) -> list[Said]:
        """Take what other hosts did to this message; of others it stays."""
        mine = [each for each in session.events if find_queue_id(each[0]) == ended.queue_id]
        session.events = [
            each for each in session.events if find_queue_id(each[0]) != ended.queue_id
        ][-MAX_EVENTS:]
        return mine


def _is_shared(events: Sequence[Said], ended: Ended) -> bool:
    """Say if a handshake with another host is there that no failure accounts for."""
    pending: set[str] = set()
    for event, _ in events:
        if isinstance(event, TlsUp):
            pending.add(event.peer)
        elif isinstance(event, HostFailed):
            if event.queue_id not in ("", ended.queue_id):
                return True
            pending = {each for each in pending if event.peer and not is_about(event.peer, each)}
    return any(not is_about(each, ended.relay) for each in pending)
