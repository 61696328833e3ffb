"""Filters in a session: what clients are told, what is stored, and what the log says."""

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from letterlock.base.config.filters import FilterDefault, FilteredMail
from letterlock.network.wire import Wire, connect
from letterlock.protocols.smtp.field_edits import AppendField, DeleteField, InsertField
from letterlock.protocols.smtp.own_results import make_own_names
from letterlock.protocols.smtp.replies import reply
from letterlock.services.filter.chain import FilterChain
from letterlock.services.filter.contract import (
    Answer,
    Discarded,
    Failed,
    FilterClient,
    Judgement,
    Passed,
    Refused,
)
from letterlock.services.filter.link import ChainedFilter
from letterlock.services.receive.opening import ResultsGuard
from letterlock.storage.queue import StoreUnavailable
from tests.services.filter.scripted import MemoryBody, ScriptedFilter, ScriptedFiltering
from tests.services.receive.test_proxied import talk as proxied_talk
from tests.services.receive.test_receiving import Node, read_reply, receiving, talk

EHLO = b"EHLO client.example\r\n"
MAIL = b"MAIL FROM:<bob@example.net> SIZE=100 BODY=8BITMIME\r\n"
ALICE = b"RCPT TO:<alice@example.org> NOTIFY=FAILURE,DELAY\r\n"
POSTMASTER = b"RCPT TO:<postmaster@example.org>\r\n"
TEXT = b"Subject: hi\r\nX-Gone: 1\r\n\r\nhello\r\n"
SEND = (EHLO, MAIL, ALICE, b"DATA\r\n", TEXT + b".\r\n")
REFUSED = Refused(reply(550, "5.7.1", "not this one"))


def chain(*filters: ScriptedFilter, action: FilterDefault = FilterDefault.TEMPFAIL) -> FilterChain:
    sources = frozenset(FilteredMail)
    return FilterChain([ChainedFilter(each, sources, action) for each in filters], lambda _: None)


async def stored(node: Node) -> bytes:
    """Give the only message that is in the queue."""
    (message,) = await node.store.list_messages()
    return b"".join([piece async for piece in node.store.read_body(message.queue_id)])


async def test_a_filter_is_told_along_the_session(tmp_path: Path) -> None:
    script = ScriptedFilter()
    async with receiving(tmp_path, chain=chain(script)) as node:
        answers = await talk(node.port, *SEND, b"QUIT\r\n")
        assert answers[-2].startswith(b"250 2.0.0 Ok: queued as ")
        await node.server.wait_empty()
    assert script.told == [
        "client 127.0.0.1 outside",
        "mail bob@example.net",
        "rcpt alice@example.org NOTIFY=FAILURE,DELAY",
        *("judge", "abort", "abort", "close"),
    ]
    assert script.seen is not None
    assert script.seen.header == b"Subject: hi\r\nX-Gone: 1\r\n"
    assert answers[-2].decode().split()[-1] == script.seen.queue_id


async def test_edits_are_below_our_received_field(tmp_path: Path) -> None:
    edits = (InsertField(0, "X-Top", b" 1"), AppendField("X-End", b" 2"), DeleteField("x-gone"))
    judgement = Judgement(
        edits=edits,
        sender="",
        added=("postmaster@example.org",),
        body=MemoryBody(b"another body\r\n"),
    )
    async with receiving(tmp_path, chain=chain(ScriptedFilter(judgement=judgement))) as node:
        await talk(node.port, *SEND)
        (message,) = await node.store.list_messages()
        content = await stored(node)
    assert content.startswith(b"Received: from client.example")
    assert content.endswith(b"\r\nX-Top: 1\r\nSubject: hi\r\nX-End: 2\r\n\r\nanother body\r\n")
    assert message.sender == ""
    addresses = [each.address for each in message.recipients]
    assert addresses == ["alice@example.org", "postmaster@example.org"]


async def test_a_sender_is_refused(tmp_path: Path) -> None:
    script = ScriptedFilter("unix:/milter", at_mail=REFUSED)
    async with receiving(tmp_path, chain=chain(script)) as node:
        answers = await talk(node.port, EHLO, MAIL, ALICE)
        assert answers[2] == b"550 5.7.1 not this one\r\n"
        assert answers[3].startswith(b"503 ")
        assert node.counters.totals()["filter_refused"] == 1
        assert (
            "NOQUEUE: milter-reject: MAIL from unknown[127.0.0.1]: 550 5.7.1 not this one; "
            "from=<bob@example.net> proto=ESMTP helo=<client.example> filter=unix:/milter"
        ) in node.log.texts


async def test_only_the_recipient_that_is_refused_gets_nothing(tmp_path: Path) -> None:
    script = ScriptedFilter(at_rcpt=(REFUSED, Passed()))
    async with receiving(tmp_path, chain=chain(script)) as node:
        answers = await talk(
            node.port, EHLO, MAIL, ALICE, POSTMASTER, b"DATA\r\n", TEXT + b".\r\n", b"QUIT\r\n"
        )
        assert [answer[:3] for answer in answers[3:7]] == [b"550", b"250", b"354", b"250"]
        (message,) = await node.store.list_messages()
        assert [each.address for each in message.recipients] == ["postmaster@example.org"]
        assert any("to=<alice@example.org> proto=ESMTP" in text for text in node.log.texts)
        await node.server.wait_empty()
        assert any("mail=1 rcpt=1/2 data=1" in text for text in node.log.texts)


async def test_recipients_that_we_refuse_are_not_asked_about(tmp_path: Path) -> None:
    script = ScriptedFilter()
    async with receiving(tmp_path, chain=chain(script)) as node:
        await talk(node.port, EHLO, MAIL, b"RCPT TO:<x@example.com>\r\n")
    assert not any(line.startswith("rcpt") for line in script.told)


async def test_replies_to_pipelined_commands_keep_their_order(tmp_path: Path) -> None:
    """RFC 2920 §3.2."""
    script = ScriptedFilter(at_rcpt=(REFUSED, Passed()))
    async with receiving(tmp_path, chain=chain(script)) as node:
        wire = await connect("127.0.0.1", node.port, 5)
        assert isinstance(wire, Wire)
        await read_reply(wire)
        await wire.write(EHLO, 5)
        await read_reply(wire)
        await wire.write(MAIL + ALICE + POSTMASTER + b"DATA\r\n", 5)
        received = b""
        while received.count(b"\r\n") < 4:
            octets = await wire.read(10)
            assert isinstance(octets, bytes)
            received += octets
        wire.close()
    assert [line[:3] for line in received.splitlines()] == [b"250", b"550", b"250", b"354"]


@pytest.mark.parametrize(
    ("answer", "told", "line"),
    [
        (REFUSED, b"550 5.7.1 not this one\r\n", "milter-reject: END-OF-MESSAGE from {}: 5.7.1 "),
        (
            Discarded("away with it"),
            b"250 2.0.0 Ok: queued as ",
            "milter-discard: END-OF-MESSAGE from {}: away with it;",
        ),
        (Failed("it hung up"), b"451 4.7.1 Service unavailable - try again later\r\n", None),
    ],
)
async def test_what_does_not_pass_is_not_stored(
    answer: Answer, told: bytes, line: str | None, tmp_path: Path
) -> None:
    script = ScriptedFilter(judgement=Judgement(answer))
    async with receiving(tmp_path, chain=chain(script)) as node:
        answers = await talk(node.port, *SEND)
        assert answers[-1].startswith(told)
        assert await node.store.list_messages() == []
        if line is not None:
            start = line.format("unknown[127.0.0.1]")
            (found,) = (text for text in node.log.texts if start in text)
            assert found.startswith("milter-"), "it has its queue id, and no NOQUEUE"


async def test_a_message_without_recipients_left_is_told_of(tmp_path: Path) -> None:
    judgement = Judgement(removed=("alice@example.org",))
    async with receiving(tmp_path, chain=chain(ScriptedFilter(judgement=judgement))) as node:
        assert (await talk(node.port, *SEND))[-1].startswith(b"250")
        assert await node.store.list_messages() == []
        assert any("milter-discard" in text for text in node.log.texts)
        assert node.counters.totals()["filter_discarded"] == 1


async def test_quarantine_is_the_queue_s_hold(tmp_path: Path) -> None:
    judgement = Judgement(quarantine="looks odd")
    async with receiving(tmp_path, chain=chain(ScriptedFilter(judgement=judgement))) as node:
        assert (await talk(node.port, *SEND))[-1].startswith(b"250")
        (message,) = await node.store.list_messages()
        assert message.hold == "looks odd"
        assert any("milter-hold: END-OF-MESSAGE" in text for text in node.log.texts)


async def test_chunks_are_filtered_too(tmp_path: Path) -> None:
    """RFC 3030 §2."""
    script = ScriptedFilter(judgement=Judgement(REFUSED))
    async with receiving(tmp_path, chain=chain(script)) as node:
        chunk = b"BDAT %d LAST\r\n" % len(TEXT) + TEXT
        answers = await talk(node.port, EHLO, MAIL, ALICE, chunk)
        assert answers[-1] == b"550 5.7.1 not this one\r\n"


@pytest.mark.parametrize("size", [10, 70_000, 1_000_000])
async def test_a_body_is_the_same_octets_however_large(size: int, tmp_path: Path) -> None:
    body = b"".join(b"%07d\r\n" % number for number in range(size // 9))
    async with receiving(tmp_path, chain=chain(ScriptedFilter())) as node:
        await talk(node.port, *SEND[:-1], b"A: 1\r\n\r\n" + body + b".\r\n")
        assert (await stored(node)).endswith(b"\r\nA: 1\r\n\r\n" + body)


async def test_a_message_without_an_empty_line_gets_one(tmp_path: Path) -> None:
    async with receiving(tmp_path, chain=chain(ScriptedFilter())) as node:
        await talk(node.port, *SEND[:-1], b"A: 1\r\nno field\r\n.\r\n")
        assert (await stored(node)).endswith(b"\r\nA: 1\r\n\r\nno field\r\n")


@pytest.mark.parametrize("end", [b"RSET\r\n", b"QUIT\r\n", EHLO])
async def test_a_transaction_without_a_message_is_aborted(end: bytes, tmp_path: Path) -> None:
    script = ScriptedFilter()
    async with receiving(tmp_path, chain=chain(script)) as node:
        await talk(node.port, EHLO, MAIL, end)
        await node.server.wait_empty()
    assert script.told[2] == "abort"
    assert script.told[-1] == "close"


async def test_a_client_that_goes_in_its_message_leaves_nothing(tmp_path: Path) -> None:
    script = ScriptedFilter()
    async with receiving(tmp_path, chain=chain(script)) as node:
        wire = await connect("127.0.0.1", node.port, 5)
        assert isinstance(wire, Wire)
        await read_reply(wire)
        for step in (*SEND[:-1], b"Subject: no end\r\n\r\n" + b"x" * 300_000):
            await wire.write(step, 5)
            if not step.startswith(b"Subject"):
                await read_reply(wire)
        wire.close()
        await node.server.wait_empty()
        assert await node.store.list_messages() == []
    assert "judge" not in script.told
    assert "abort" in script.told
    assert script.told[-1] == "close"


async def test_another_name_is_another_client(tmp_path: Path) -> None:
    script = ScriptedFilter()
    async with receiving(tmp_path, chain=chain(script)) as node:
        again = SEND[1:]
        await talk(node.port, *SEND, *again, b"EHLO other.example\r\n", *again)
        assert len(await node.store.list_messages()) == 3
    assert script.told.count("client 127.0.0.1 outside") == 2


async def test_two_transactions_are_two_messages(tmp_path: Path) -> None:
    script = ScriptedFilter()
    async with receiving(tmp_path, chain=chain(script)) as node:
        answers = await talk(node.port, *SEND, *SEND[1:])
        ids = {answers[index].split()[-1] for index in (5, 9)}
        assert len(ids) == 2


async def test_a_filter_sees_who_may_relay(tmp_path: Path) -> None:
    script = ScriptedFilter()
    async with receiving(tmp_path, chain=chain(script), relay_from="127.0.0.0/8") as node:
        await talk(node.port, *SEND)
    (client,) = script.clients
    assert (client.may_relay, client.helo, client.is_extended) == (True, "client.example", True)
    assert client.hostname == "mx.example.org"
    assert client.port > 0


@pytest.mark.parametrize("told", [b"UNKNOWN", b"TCP4 127.0.0.1 127.0.0.1 1 25"])
async def test_who_is_behind_a_proxy_unnamed_is_nobody_of_ours_to_filters(
    tmp_path: Path, told: bytes
) -> None:
    """OpenDKIM signs what comes from 127.0.0.1, or from where nobody says; rspamd looks away."""
    script = ScriptedFilter()
    async with receiving(
        tmp_path, chain=chain(script), proxy_from="127.0.0.1/32", relay_from="127.0.0.0/8"
    ) as node:
        header = b"PROXY " + told + b"\r\n"
        await proxied_talk(node.port, header, EHLO, MAIL)
    (client,) = script.clients
    assert (client.ip, client.port, client.name, client.may_relay) == ("0.0.0.0", 0, None, False)


async def test_an_exempt_client_is_not_filtered(tmp_path: Path) -> None:
    script = ScriptedFilter(at_mail=REFUSED)
    async with receiving(tmp_path, chain=chain(script), exempt="127.0.0.0/8") as node:
        assert (await talk(node.port, *SEND))[-1].startswith(b"250")
    assert script.told == []


class FailingStore:
    """A spool whose disk fails when the message is read for the filters, or after `reads`."""

    size = 0

    def __init__(self, reads: int = 0) -> None:
        self._reads = reads

    def write(self, octets: bytes) -> None:
        self.size += len(octets)

    async def read(self) -> AsyncGenerator[bytes, None]:
        yield b"x" * 600_000
        self._reads -= 1
        if self._reads < 0:
            raise StoreUnavailable("no space", is_full=True)

    def close(self) -> None:
        pass


async def test_a_spool_that_fails_ends_the_filters_session(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What they were told of the message must not be part of the next."""
    script = ScriptedFilter()
    async with receiving(tmp_path, chain=chain(script)) as node:
        with monkeypatch.context() as patched:
            patched.setattr("letterlock.services.filter.message.Spool", lambda _: FailingStore())
            answers = await talk(node.port, *SEND)
        assert answers[-1].startswith(b"452 4.3.1 ")
        assert "close" in script.told
        assert await node.store.list_messages() == []
        assert (await talk(node.port, *SEND))[-1].startswith(b"250")


async def test_what_could_not_be_written_leaves_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing = FailingStore(reads=1)
    monkeypatch.setattr("letterlock.services.filter.message.Spool", lambda _: failing)
    async with receiving(tmp_path, chain=chain(ScriptedFilter())) as node:
        assert (await talk(node.port, *SEND))[-1].startswith(b"452 4.3.1 ")
    # When the store was closed, what it still had to do was done.
    assert not [path for path in list_files(tmp_path) if path.stat().st_size >= 500_000]


def list_files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


async def test_a_filter_that_breaks_for_want_of_care_stores_nothing(tmp_path: Path) -> None:
    class Broken(ScriptedFilter):
        def begin(self, client: FilterClient) -> ScriptedFiltering:
            raise ZeroDivisionError(client)

    async with receiving(tmp_path, chain=chain(Broken())) as node:
        await talk(node.port, EHLO, MAIL)
        assert await node.store.list_messages() == []


async def test_a_filter_for_other_mail_is_not_asked(tmp_path: Path) -> None:
    script = ScriptedFilter(at_mail=REFUSED)
    only = FilterChain([ChainedFilter(script, frozenset({FilteredMail.LOCAL}))], lambda _: None)
    async with receiving(tmp_path, chain=only) as node:
        assert (await talk(node.port, *SEND))[-1].startswith(b"250")
    assert script.told == []


async def test_results_in_our_name_are_those_of_filters(tmp_path: Path) -> None:
    """RFC 8601 §5: a forged field is gone before a filter looks; what the filter adds stays."""
    ours = b" mx.example.org; dkim=pass"
    script = ScriptedFilter(
        judgement=Judgement(edits=(InsertField(0, "Authentication-Results", ours),))
    )
    guard = ResultsGuard(make_own_names(["mx.example.org"]))
    forged = b"Authentication-Results: mx.example.org; spf=pass\r\n"
    async with receiving(tmp_path, chain=chain(script), results=guard) as node:
        await talk(node.port, *SEND[:-1], forged + TEXT + b".\r\n")
        content = await stored(node)
    assert script.seen is not None
    assert b"spf=pass" not in script.seen.header
    assert content.count(b"Authentication-Results:") == 1
    assert b"\r\nAuthentication-Results: mx.example.org; dkim=pass\r\n" in content
