"""Replies of an authority become messages of ASGI.

RFC 9110 §9.3.2 (HEAD), §8.6 (no length with 204). What a reply is, and its headers, is
`protocols.acme.server.replies`.
"""

from collections.abc import Iterable

from starlette.types import Send

from letterlock.protocols.acme.server.replies import NO_CONTENT, Reply


async def send_reply(
    send: Send, reply: Reply, headers: Iterable[tuple[str, str]], *, is_head: bool
) -> None:
    """Send a reply with its headers, but for Content-Length."""
    found = [(name.lower().encode("ascii"), value.encode("latin-1")) for name, value in headers]
    if reply.status != NO_CONTENT:
        found.append((b"content-length", b"%d" % len(reply.body)))
    await send({"type": "http.response.start", "status": reply.status, "headers": found})
    await send({"type": "http.response.body", "body": b"" if is_head else reply.body})
