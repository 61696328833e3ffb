"""Replies of an authority become messages of ASGI.

RFC 9110 §9.3.2 (HEAD), §8.6 (no length with 204). What a reply is, `protocols.acme.server.replies` says.
"""

from collections.abc import Iterable

from starlette.types import Send

from letterlock.protocols.acme.server.places import Places
from letterlock.protocols.acme.server.replies import NO_CONTENT, Reply, format_headers


async def send_reply(
    send: Send,
    reply: Reply,
    places: Places,
    nonce: str | None = None,
    *,
    is_head: bool = False,
    is_directory: bool = False,
    more: Iterable[tuple[bytes, bytes]] = (),
) -> None:
    """Send a reply, with more headers than its own.

    `nonce` is a new one; None: no POST was answered, and no nonce asked for.
    """
    headers = [
        (name.lower().encode("ascii"), value.encode("latin-1"))
        for name, value in format_headers(reply, places, nonce, is_directory=is_directory)
    ]
    if reply.status != NO_CONTENT:
        headers.append((b"content-length", b"%d" % len(reply.body)))
    headers += more
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if is_head else reply.body})
