"""What our own clients send is signed before it is stored; what others send is left alone."""

from pathlib import Path

import pytest

from letterlock.base.clock import SystemClock
from letterlock.base.config.filters import FilteredMail
from letterlock.base.domains import Domain
from letterlock.protocols.dkim.results import DkimResult
from letterlock.protocols.dkim.signature import Algorithm
from letterlock.protocols.dkim.verifying import Verifier
from letterlock.protocols.smtp.field_edits import ChangeField, InsertField
from letterlock.protocols.smtp.header_edits import cut_fields
from letterlock.services.filter.chain import FilterChain
from letterlock.services.filter.contract import Judgement
from letterlock.services.filter.link import ChainedFilter
from letterlock.services.sign.keyring import Keyring
from letterlock.services.sign.keys import KeyPlan, make_missing_key
from letterlock.services.sign.signer import Signer
from letterlock.storage.dkim_keys import DkimKeyFiles
from letterlock.storage.queue import SPILL_BYTES
from tests.fakes import START, FakeLog
from tests.services.filter.scripted import ScriptedFilter
from tests.services.receive.test_receiving import Node, receiving, talk

DOMAIN = Domain("example.org")
PLAN = KeyPlan((DOMAIN,), "s1", algorithms=(Algorithm.ED25519_SHA256,))
CLIENT = "127.0.0.0/8"
HEADER = b"From: alice@example.org\r\nSubject: x\r\n"
EHLO = b"EHLO client.example\r\n"
MAIL = b"MAIL FROM:<alice@example.org>\r\n"
RCPT = b"RCPT TO:<alice@example.org>\r\n"


@pytest.fixture
def signer(tmp_path: Path) -> Signer:
    files, clock = DkimKeyFiles(tmp_path / "dkim"), SystemClock()
    for which in PLAN.list_all():
        make_missing_key(files, which)
    return Signer(Keyring(PLAN, files, clock, FakeLog()), clock)


async def read_stored(node: Node) -> bytes:
    (stored,) = await node.store.list_messages()
    return b"".join([piece async for piece in node.store.read_body(stored.queue_id)])


def verify(signer: Signer, message: bytes) -> list[DkimResult]:
    header, _, body = message.partition(b"\r\n\r\n")
    verifier = Verifier(header + b"\r\n", START)
    verifier.receive(body)
    (key,) = signer.keyring.find(DOMAIN)
    keys = dict.fromkeys(verifier.key_names, (key.record.encode(),))
    return [each.result for each in verifier.finish(keys)]


def take_above(message: bytes) -> list[bytes]:
    """Give the names of the fields above From."""
    lines = message.partition(b"From:")[0].split(b"\r\n")
    return [line.partition(b":")[0] for line in lines if line[:1] not in (b"\t", b" ", b"")]


@pytest.mark.parametrize("lines", [0, 1, SPILL_BYTES // 20, SPILL_BYTES])
async def test_a_message_of_any_size(tmp_path: Path, signer: Signer, lines: int) -> None:
    """RFC 6376 §5.6: the field is above the message; our Received is above that."""
    content = HEADER + b"\r\n" + b"..a dot\r\n" * lines
    async with receiving(tmp_path, relay_from=CLIENT, signer=signer) as node:
        await talk(node.port, EHLO, MAIL, RCPT, b"DATA\r\n", content + b".\r\n")
        stored = await read_stored(node)
        assert take_above(stored) == [b"Received", b"DKIM-Signature"]
        assert stored.endswith(HEADER + b"\r\n" + b".a dot\r\n" * lines)
        assert verify(signer, stored) == [DkimResult.PASS]
        assert any(
            "DKIM-Signature field added (s=s1-ed25519, d=example.org)" in text
            for text in node.log.texts
        )


@pytest.mark.parametrize("cut", [1, 10, len(HEADER), len(HEADER) + 2, len(HEADER) + 5])
async def test_a_message_in_chunks(tmp_path: Path, signer: Signer, cut: int) -> None:
    """RFC 3030 §2"""
    content = HEADER + b"\r\nHello\r\n"
    first, last = content[:cut], content[cut:]
    async with receiving(tmp_path, relay_from=CLIENT, signer=signer) as node:
        steps = (b"BDAT %d\r\n" % len(first) + first, b"BDAT %d LAST\r\n" % len(last) + last)
        answers = await talk(node.port, EHLO, MAIL, RCPT, *steps)
        assert answers[-1].startswith(b"250 "), answers
        stored = await read_stored(node)
        assert stored.endswith(content)
        assert verify(signer, stored) == [DkimResult.PASS]


@pytest.mark.parametrize(
    ("content", "kept"),
    [
        (b"From me Mon Mar  2 10:00:00 2026\r\n" + HEADER + b"\r\nx\r\n", HEADER + b"\r\nx\r\n"),
        (HEADER[:-2], HEADER),
        (HEADER, HEADER),
    ],
)
async def test_a_message_of_an_odd_shape(
    tmp_path: Path, signer: Signer, content: bytes, kept: bytes
) -> None:
    """A mailbox file's first line, or no body at all."""
    end = b".\r\n" if content.endswith(b"\r\n") else b"\r\n.\r\n"
    async with receiving(tmp_path, relay_from=CLIENT, signer=signer) as node:
        await talk(node.port, EHLO, MAIL, RCPT, b"DATA\r\n", content + end)
        stored = await read_stored(node)
        assert stored.endswith(kept)
        assert verify(signer, stored) == [DkimResult.PASS]


@pytest.mark.parametrize(
    "content",
    [
        b"From: bob@elsewhere.example\r\n\r\nx\r\n",
        b"x\r\n",
        b"From me\r\n",
        b"",
        b"From: alice@example.org\r\n" + b"X: y\r\n" * 40_000 + b"\r\nx\r\n",
    ],
)
async def test_what_is_not_signed_is_whole(tmp_path: Path, signer: Signer, content: bytes) -> None:
    mail = b"MAIL FROM:<bob@elsewhere.example>\r\n"
    async with receiving(tmp_path, relay_from=CLIENT, signer=signer) as node:
        await talk(node.port, EHLO, mail, RCPT, b"DATA\r\n", content + b".\r\n")
        stored = await read_stored(node)
        assert b"DKIM-Signature" not in stored
        assert stored.endswith(content)


async def test_others_cannot_have_their_mail_signed(tmp_path: Path, signer: Signer) -> None:
    """A From field is no proof: only who may relay is one of us."""
    async with receiving(tmp_path, signer=signer) as node:
        await talk(node.port, EHLO, MAIL, RCPT, b"DATA\r\n", HEADER + b"\r\nx\r\n.\r\n")
        assert b"DKIM-Signature" not in await read_stored(node)


@pytest.mark.parametrize("lines", [1, SPILL_BYTES])
async def test_what_filters_leave_is_what_is_signed(
    tmp_path: Path, signer: Signer, lines: int
) -> None:
    """RFC 6376 §5.1: what changes a message afterwards would break its signature."""
    edits = (InsertField(0, "X-Top", b" 1"), ChangeField("Subject", 1, b" [list] x"))
    script = ScriptedFilter(judgement=Judgement(edits=edits))
    chain = FilterChain([ChainedFilter(script, frozenset(FilteredMail))], lambda _: None)
    async with receiving(tmp_path, relay_from=CLIENT, signer=signer, chain=chain) as node:
        content = HEADER + b"\r\n" + b"..a dot\r\n" * lines + b".\r\n"
        await talk(node.port, EHLO, MAIL, RCPT, b"DATA\r\n", content)
        message = await read_stored(node)
    assert verify(signer, message) == [DkimResult.PASS]
    assert b"\r\nSubject: [list] x\r\n" in message
    names = [field.name for field in cut_fields(message.partition(b"\r\n\r\n")[0])]
    own = [b"Date", b"Message-ID"]
    assert names == [b"Received", b"DKIM-Signature", b"X-Top", *own, b"From", b"Subject"]
