"""Trace fields: Received, Return-Path, Delivered-To.

RFC 5321 §4.4; RFC 3848 and RFC 6531 §4.3 (protocol names after `with`); RFC 8314 §4.3 (the `tls`
clause). The shape is Postfix's, comments included, so that what reads its lines reads ours. Text
from the client is made safe here.
"""

import re
from datetime import datetime
from functools import lru_cache
from typing import Protocol

from msgspec import Struct

from letterlock.protocols.smtp.content import cut_header
from letterlock.protocols.smtp.header_fields import format_date, format_field, make_safe

# RFC 8314 §4.3: the clause has the names of the IANA registry; OpenSSL has its own below TLS 1.3.
_AES = re.compile(r"(?:(DHE|ECDHE)-(RSA|ECDSA)-)?AES(128|256)(-GCM)?-SHA(256|384)?\Z")
_CHACHA = re.compile(r"(DHE|ECDHE)-(RSA|ECDSA)-CHACHA20-POLY1305\Z")
_REGISTERED_CIPHER = re.compile(r"TLS_[A-Z0-9_]{1,60}\Z")
_GROUP = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,40}\Z")
_REGISTERED_GROUPS = {
    "X25519": "x25519",
    "X448": "x448",
    "prime256v1": "secp256r1",
    "P-256": "secp256r1",
    "P-384": "secp384r1",
    "P-521": "secp521r1",
}

# For a header in lower case: what begins with fixed octets is found ten times as fast.
_RECEIVED = re.compile(rb"\nreceived[ \t]*:")
_NOT_IN_TOKEN = re.compile(r'[ ()<>;,"\\@]')
_MAX_HELO_CHARACTERS = 255
# RFC 5321 §4.4 wants a From clause; RFC 5322 §3.6.7 has none, and a comment anywhere.
_WITHOUT_CLIENT = "Received: (submitted with authentication)"


class TlsFacts(Protocol):
    """What a Received field tells of TLS, in OpenSSL's names; `Handshake` has it."""

    @property
    def version(self) -> str: ...
    @property
    def cipher(self) -> str: ...
    @property
    def cipher_bits(self) -> int: ...
    @property
    def group(self) -> str | None: ...


class Received(Struct, frozen=True):
    """How a message came to us: all that its Received field tells.

    `by` is our name. `client_name` is the verified reverse name, None for none. `recipient` is
    given when there is exactly one: with more, it would tell each of another (RFC 5321 §7.2).
    `is_extended`: the client said EHLO or LHLO. `is_client_hidden`: nothing of the client is shown,
    whose address may be that of somebody's home.
    """

    helo: str
    client_ip: str
    by: str
    queue_id: str
    moment: datetime
    client_name: str | None = None
    is_extended: bool = True
    is_lmtp: bool = False
    smtputf8: bool = False
    is_authenticated: bool = False
    tls: TlsFacts | None = None
    recipient: str | None = None
    is_client_hidden: bool = False
    user_id: int | None = None
    """Not None: there was no client, but this user of this machine."""


def format_received(received: Received) -> bytes:
    """Give the Received field for a message just taken."""
    if received.user_id is not None:
        return _format_from_user(received, received.user_id)
    client = received.client_name, received.client_ip
    if received.is_client_hidden:
        lines = [_WITHOUT_CLIENT]
    else:
        lines = [_from_clause(received.helo, *client, may_be_utf8=received.smtputf8)]
    if received.tls is not None:
        lines += _tls_comment(received.tls)
    protocol = protocol_name(received)
    lines.append(f"\tby {received.by} (Letterlock) with {protocol} id {received.queue_id}")
    lines += _recipient_and_tls(received)
    lines[-1] += ";"
    lines.append(f"\t{format_date(received.moment)}")
    return ("\r\n".join(lines) + "\r\n").encode()


def format_received_here(by: str, queue_id: str, moment: datetime) -> bytes:
    """Give the Received field for a message that we made ourselves."""
    value = f"by {by} (Letterlock) id {queue_id}; {format_date(moment)}"
    return format_field("Received", value).encode()


def protocol_name(received: Received) -> str:
    """Give the name after `with` (RFC 3848 §1, RFC 6531 §4.3): S only for TLS, A only for AUTH."""
    if not received.is_extended:
        return "SMTP"
    base = "LMTP" if received.is_lmtp else "SMTP"
    prefix = "UTF8" if received.smtputf8 else ("" if received.is_lmtp else "E")
    secured = "S" if received.tls is not None else ""
    authenticated = "A" if received.is_authenticated else ""
    return f"{prefix}{base}{secured}{authenticated}"


def format_address_literal(address: str) -> str:
    """Give an IP address as RFC 5321 §4.1.3 writes it: `[192.0.2.1]`, `[IPv6:2001:db8::1]`."""
    return f"[IPv6:{address}]" if ":" in address else f"[{address}]"


def format_return_path(sender: str) -> bytes:
    """Give the Return-Path field for final delivery; the null sender is `<>`."""
    return format_field("Return-Path", f"<{make_safe(sender, may_be_utf8=True)}>").encode()


def format_delivered_to(recipient: str) -> bytes:
    """Give the Delivered-To field for final delivery, by which a local loop is seen."""
    return format_field("Delivered-To", make_safe(recipient, may_be_utf8=True)).encode()


def count_received(content: bytes) -> int:
    """Count the Received fields in a content's header section: how many hops it has made.

    RFC 5321 §6.3. Only the first MAX_HEADER_OCTETS count: ours, and so a loop's, are on top.
    """
    return len(_RECEIVED.findall(b"\n" + cut_header(content).lower()))


def registered_cipher_name(cipher: str) -> str | None:
    """Give IANA's name for a cipher suite that OpenSSL names; None when it is not known."""
    if _REGISTERED_CIPHER.match(cipher):
        return cipher  # TLS 1.3: OpenSSL uses the registered names
    if (match := _CHACHA.match(cipher)) is not None:
        return f"TLS_{match[1]}_{match[2]}_WITH_CHACHA20_POLY1305_SHA256"
    if (match := _AES.match(cipher)) is None:
        return None
    exchange = f"{match[1]}_{match[2]}" if match[1] else "RSA"
    mode = "GCM" if match[4] else "CBC"
    return f"TLS_{exchange}_WITH_AES_{match[3]}_{mode}_SHA{match[5] or ''}"


@lru_cache(maxsize=1024)
def _from_clause(helo: str, client_name: str | None, ip: str, *, may_be_utf8: bool) -> str:
    """Give the first line. Kept, since the same clients come again and again."""
    token = _make_token(helo, may_be_utf8=may_be_utf8) or "unknown"
    name = _make_token(client_name or "") or "unknown"
    return f"Received: from {token} ({name} {format_address_literal(ip)})"


def _format_from_user(received: Received, user_id: int) -> bytes:
    """RFC 5322 §3.6.7 has no clause for it, so it is a comment, as Postfix writes it."""
    by = f"by {received.by} (Letterlock, from userid {user_id})"
    value = f"{by} id {received.queue_id}; {format_date(received.moment)}"
    return format_field("Received", value).encode()


def _tls_comment(tls: TlsFacts) -> list[str]:
    cipher = f"{_make_token(tls.cipher)} ({tls.cipher_bits}/{tls.cipher_bits} bits)"
    lines = [f"\t(using {_make_token(tls.version)} with cipher {cipher}"]
    if tls.group is not None:
        lines.append(f"\t key-exchange {_make_token(tls.group)}")
    lines[-1] += ")"
    return lines


def _recipient_and_tls(received: Received) -> list[str]:
    lines = []
    if received.recipient is not None:
        recipient = make_safe(received.recipient, may_be_utf8=received.smtputf8)
        lines.append(f"\tfor <{recipient}>")
    cipher = registered_cipher_name(received.tls.cipher) if received.tls is not None else None
    if received.tls is not None and cipher is not None:
        group = _REGISTERED_GROUPS.get(received.tls.group or "", received.tls.group)
        has_group = group is not None and _GROUP.match(group)
        lines.append(f"\ttls {cipher} group {group}" if has_group else f"\ttls {cipher}")
    return lines


def _make_token(text: str, *, may_be_utf8: bool = False) -> str:
    """Make a client's word safe outside and inside of comments: no space, no brackets, no `;`."""
    safe = make_safe(text, may_be_utf8=may_be_utf8, max_characters=_MAX_HELO_CHARACTERS)
    return _NOT_IN_TOKEN.sub("?", safe)
