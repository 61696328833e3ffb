"""Replies as ASGI sends them."""

from starlette.types import Message

from letterlock.protocols.acme.server.places import Places
from letterlock.protocols.acme.server.refusals import refuse_unknown
from letterlock.protocols.acme.server.replies import reply_refusal
from letterlock.web.ca.sending import send_reply

PLACES = Places("https://ca.example")


async def test_head_has_the_length_and_not_the_body() -> None:
    """RFC 9110 §9.3.2"""
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    reply = reply_refusal(refuse_unknown("order"))
    await send_reply(send, reply, PLACES, "abc", is_head=True)
    start, body = sent
    assert start["status"] == 404
    assert (b"replay-nonce", b"abc") in start["headers"]
    assert (b"content-length", b"%d" % len(reply.body)) in start["headers"]
    assert body["body"] == b""
