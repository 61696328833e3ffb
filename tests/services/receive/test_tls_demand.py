"""RFC 8689 §4.1: what a message that comes in asks of TLS, kept with it in the queue."""

from pathlib import Path

import pytest

from letterlock.network.tls import TlsDriver
from letterlock.network.wire import Wire, connect
from letterlock.protocols.smtp.envelope import TlsDemand
from letterlock.protocols.tls.handshake import Handshake
from tests.network.certificates import client_context, issue, make_chooser
from tests.services.receive.test_receiving import Node, read_reply, receiving

NORMAL, REQUIRETLS, NO = TlsDemand.NORMAL, TlsDemand.REQUIRETLS, TlsDemand.TLS_REQUIRED_NO
FIELD = b"TLS-Required: No\r\n"
HELLO = b"EHLO client.example\r\n"
RCPT = b"RCPT TO:<alice@example.org>\r\n"


async def say(wire: Wire, *commands: bytes) -> list[bytes]:
    """Send commands one by one; gives the replies."""
    replies = []
    for command in commands:
        await wire.write(command, 5)
        replies.append(await read_reply(wire))
    return replies


async def kept(node: Node) -> tuple[TlsDemand, bytes]:
    """Give what the one message asks for, and its octets."""
    (message,) = await node.store.list_messages()
    body = b"".join([piece async for piece in node.store.read_body(message.queue_id)])
    return message.tls_demand, body


@pytest.mark.parametrize(
    ("parameter", "header", "demand"),
    [
        (b"", b"", NORMAL),
        (b" REQUIRETLS", b"", REQUIRETLS),
        (b"", FIELD, NO),
        (b" REQUIRETLS", FIELD, REQUIRETLS),
    ],
)
async def test_under_tls_the_parameter_wins_over_the_field(
    parameter: bytes, header: bytes, demand: TlsDemand, tmp_path: Path
) -> None:
    """RFC 8689 §4.1 (rules 85, 87, 92); the field goes on, and Received tells as ever."""
    certificates = make_chooser(tmp_path, issue(("mx.example.org",)))
    async with receiving(tmp_path, certificates=certificates) as node:
        wire = await connect("127.0.0.1", node.port, 5)
        assert isinstance(wire, Wire)
        await read_reply(wire)
        replies = await say(wire, HELLO, b"STARTTLS\r\n")
        assert b"REQUIRETLS" not in replies[0]
        driver = TlsDriver.client(client_context(), "mx.example.org")
        assert isinstance(await wire.start_tls(driver, 5), Handshake)
        mail = b"MAIL FROM:<bob@example.net>" + parameter + b"\r\n"
        content = b"Subject: hi\r\n" + header + b"\r\nhello\r\n"
        replies = await say(wire, HELLO, mail, RCPT, b"DATA\r\n", content + b".\r\n")
        assert b"REQUIRETLS\r\n" in replies[0]
        assert replies[-1].startswith(b"250 ")
        wire.close()
        found, body = await kept(node)
    assert found is demand
    assert body.endswith(content)
    assert b" with ESMTPS id " in body
    assert b"tls TLS_" in body


async def send_in_clear(node: Node, content: bytes, *, is_chunked: bool, size: int) -> None:
    """Send content in pieces of a size."""
    wire = await connect("127.0.0.1", node.port, 5)
    assert isinstance(wire, Wire)
    await read_reply(wire)
    await say(wire, HELLO, b"MAIL FROM:<bob@example.net>\r\n", RCPT)
    pieces = [content[start : start + size] for start in range(0, len(content), size)]
    if is_chunked:
        for piece in pieces:
            await say(wire, f"BDAT {len(piece)}\r\n".encode() + piece)
        (last,) = await say(wire, b"BDAT 0 LAST\r\n")
    else:
        await say(wire, b"DATA\r\n")
        for piece in pieces:
            await wire.write(piece, 5)
        (last,) = await say(wire, b".\r\n")
    assert last.startswith(b"250 ")
    wire.close()


@pytest.mark.parametrize("size", [1, 7, 1000])
@pytest.mark.parametrize("is_chunked", [True, False])
@pytest.mark.parametrize(
    ("content", "demand"),
    [
        (FIELD + b"Subject: a\r\n\r\nhello\r\n", NO),
        (b"Subject: a\r\nTls-required:\r\n no\r\n\r\nhello\r\n", NO),
        (FIELD, NO),
        (b"Subject: a\r\n\r\n" + FIELD, NORMAL),
        (b"\r\n" + FIELD + b"\r\n", NORMAL),
        (b"no header here\r\n" + FIELD + b"\r\n", NORMAL),
        (FIELD + FIELD + b"\r\n", NORMAL),
    ],
)
async def test_the_field_is_read_from_the_header_section_as_it_comes(
    content: bytes, demand: TlsDemand, size: int, *, is_chunked: bool, tmp_path: Path
) -> None:
    """RFC 8689 §3, §4.1, §4.3 (rules 92, 155): from anyone, in clear as well."""
    async with receiving(tmp_path) as node:
        await send_in_clear(node, content, is_chunked=is_chunked, size=size)
        found, body = await kept(node)
    assert found is demand
    assert body.endswith(content)


async def test_requiretls_in_clear_is_refused_and_logged(tmp_path: Path) -> None:
    """RFC 8689 §2 (rule 85)."""
    async with receiving(tmp_path) as node:
        wire = await connect("127.0.0.1", node.port, 5)
        assert isinstance(wire, Wire)
        await read_reply(wire)
        _, refused = await say(wire, HELLO, b"MAIL FROM:<bob@example.net> REQUIRETLS\r\n")
        assert refused.startswith(b"530 5.7.10 ")
        await say(wire, b"QUIT\r\n")
        wire.close()
        assert any("reject: MAIL from" in text and "530 5.7.10" in text for text in node.log.texts)
