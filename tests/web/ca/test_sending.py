"""Replies as ASGI sends them."""

from starlette.types import Message

from letterlock.protocols.acme.server.refusals import refuse_unknown
from letterlock.protocols.acme.server.replies import Reply, reply_refusal
from letterlock.web.ca.sending import send_reply


async def send(reply: Reply, *, is_head: bool) -> tuple[Message, Message]:
    sent: list[Message] = []

    async def keep(message: Message) -> None:
        sent.append(message)

    await send_reply(keep, reply, [("Replay-Nonce", "abc")], is_head=is_head)
    start, body = sent
    return start, body


async def test_head_has_the_length_and_not_the_body() -> None:
    """RFC 9110 §9.3.2"""
    reply = reply_refusal(refuse_unknown("order"))
    start, body = await send(reply, is_head=True)
    assert start["status"] == 404
    assert start["headers"] == [
        (b"replay-nonce", b"abc"),
        (b"content-length", b"%d" % len(reply.body)),
    ]
    assert body["body"] == b""


async def test_what_has_no_content_has_no_length() -> None:
    """RFC 9110 §8.6"""
    start, body = await send(Reply(204), is_head=False)
    assert start["headers"] == [(b"replay-nonce", b"abc")]
    assert body["body"] == b""
