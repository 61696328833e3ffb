"""What smtp(8), lmtp(8) and tlsproxy(8) of Postfix say in a line, as values; our log has its shape.

Postfix 2.11 to 3.12. A line that says nothing of a delivery or its TLS gives None. Which lines
belong together is `tying`.
"""

import re
from typing import NamedTuple

_ENDED = re.compile(
    r"to=<(?P<recipient>.*?)>, (?:orig_to=<.*?>, )?relay=(?P<relay>[^,]*)"
    r"(?:, conn_use=(?P<use>\d{1,9}))?(?:, delay=[^,]*)?(?:, delays=[^,]*)?"
    r"(?:, tls=(?P<level>[^,]*))?(?:, dsn=(?P<dsn>[\d.]*))?"
    r", status=(?P<status>[\w-]*) \((?P<text>.*)\)(?: tls=(?P<ours>[!?:/a-z-]+))?\Z"
)
_TLS = re.compile(
    r"(Anonymous|Untrusted|Trusted|Verified) TLS connection (established|reused) to (\S+?): "
    r"(\S+) with cipher (\S+)"
)
_VERIFICATION = re.compile(r"(?:(?:server|CA) )?certificate verification failed for (\S+?): (.*)")
_HANDSHAKE = re.compile(r"SSL_connect error to (\S+?): (.*)")
_LIBRARY = "warning: TLS library problem: "
_CONNECT = re.compile(r"connect to (\S+?\[.*?\](?::\d+)?): (.*)")
_QUEUE_ID = re.compile(r"(?:[0-9A-F]{6,15}|[0-9A-Za-z]{10,20})\Z")
_POLICY_LOOKUP = re.compile(r"warning: TLS policy lookup (?:error )?for \S+/(\S+?): (.*)")
_RELAY = re.compile(r"(?P<host>[^\[,]*)\[(?P<ip>[^\]]*)\](?::(?P<port>\d+))?\Z")
_VERBOSE = re.compile(r"^depth=|subject=|SNI hostname: |Matched |re-using session")
_SPOKEN_OF = re.compile(r"(?:host|with|server was) (\S+\[[^\]]*\](?::\d+)?)")


class Ended(NamedTuple):
    """One attempt for one recipient ended. `relay` is `mx[ip]:port`, or `none`."""

    queue_id: str
    recipient: str
    relay: str
    is_reused: bool
    level: str
    """What stands behind `tls=`: Postfix 3.11 and later say it, and we, at the line's end."""
    dsn: str
    status: str
    text: str


class TlsUp(NamedTuple):
    """A handshake was done."""

    peer: str
    trust: str
    version: str
    cipher: str
    is_reused: bool


class CertificateFault(NamedTuple):
    """The certificate of a peer was found wrong."""

    peer: str
    text: str


class HandshakeError(NamedTuple):
    """A handshake did not come to its end."""

    peer: str
    text: str


class LibraryError(NamedTuple):
    """OpenSSL's words for what came before."""

    text: str


class HostFailed(NamedTuple):
    """One host failed, and another may follow. What is not said is empty."""

    queue_id: str
    peer: str
    text: str


class Noted(NamedTuple):
    """Words of a policy, of DNS, or of a verbose handshake."""

    text: str


Event = Ended | TlsUp | CertificateFault | HandshakeError | LibraryError | HostFailed | Noted


def read_event(text: str) -> Event | None:
    """Read what stands behind `smtp[123]: `. None: it says nothing of a delivery."""
    head, found, rest = text.partition(": ")
    if found and rest.startswith("to=<"):
        return _read_end(head, rest)
    if "TLS " in head or "certificate" in head or "SSL_" in head or text.startswith(_LIBRARY):
        return _read_tls(text)
    if text.startswith("warning: "):
        policy = _POLICY_LOOKUP.match(text)
        return HostFailed("", f"{policy[1]}[]", text) if policy else Noted(text)
    if text.startswith("connect to ") and (connect := _CONNECT.match(text)) is not None:
        return HostFailed("", connect[1], text)
    if found and _QUEUE_ID.match(head):
        # That host failed for this message, and others follow.
        return HostFailed(head, find_peer(rest), rest)
    return Noted(text) if _VERBOSE.search(text) else None


def split_relay(relay: str) -> tuple[str, str, str]:
    """Give host, address and port of `mx.example.org[192.0.2.1]:25`; empty where there are none."""
    found = _RELAY.match(relay)
    if found is None:
        return ("", "", "") if relay == "none" else (relay, "", "")
    return found["host"], found["ip"], found["port"] or ""


def find_subject(event: Event) -> str:
    """Give the peer that an event is about: `mx[ip]:port`; empty: it names none."""
    match event:
        case TlsUp() | CertificateFault() | HandshakeError() | HostFailed():
            return event.peer
        case _:
            return ""


def find_queue_id(event: Event) -> str:
    """Give the queue id that an event names; empty: it names none."""
    return event.queue_id if isinstance(event, Ended | HostFailed) else ""


def is_about(peer: str, relay: str) -> bool:
    """Say if two places are one: a port may be missing in either."""
    return bool(peer) and (peer == relay or peer.rpartition("]")[0] == relay.rpartition("]")[0])


def find_peer(text: str) -> str:
    """Find which host a failure is about: `mx[ip]`, with a port or without; empty: not said."""
    found = _SPOKEN_OF.search(text)
    return found[1] if found else ""


def _read_end(queue_id: str, rest: str) -> Ended | None:
    found = _ENDED.match(rest)
    if found is None:
        return None
    return Ended(
        queue_id,
        found["recipient"],
        found["relay"],
        int(found["use"] or 1) > 1,
        found["level"] or found["ours"] or "",
        found["dsn"] or "",
        found["status"],
        found["text"],
    )


def _read_tls(text: str) -> Event | None:
    if text.startswith(_LIBRARY):
        return LibraryError(text.removeprefix(_LIBRARY))
    if (up := _TLS.match(text)) is not None:
        return TlsUp(up[3], up[1], up[4], up[5], up[2] == "reused")
    if (fault := _VERIFICATION.match(text)) is not None:
        return CertificateFault(fault[1], fault[2])
    if (error := _HANDSHAKE.match(text)) is not None:
        return HandshakeError(error[1], error[2])
    return Noted(text)
