"""Until when records are signed, as a resolver says: RFC 4035 §3.2.1, §3.2.2, RFC 4034 §3.1."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import dns.flags
import dns.message
import dns.rrset

from letterlock.network.dns_server import Answerer, DnsServer
from letterlock.network.dns_signatures import MAX_SIGNATURES, ask_signatures
from letterlock.protocols.check.signatures import Signature

RRSIG = "{type} 13 2 60 20260315000000 20260301000000 {tag} {zone} aGVsbG8="
BEGINS, ENDS = datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 15, tzinfo=UTC)


@asynccontextmanager
async def resolving(answer: Answerer) -> AsyncIterator[tuple[str, int]]:
    """Run a resolver; gives its address."""
    server = DnsServer(answer)
    yield await server.start()
    await server.close()


def answer(query: dns.message.Message, signatures: int = 1) -> dns.message.Message:
    assert query.flags & dns.flags.RD
    assert query.flags & dns.flags.CD
    assert query.ednsflags & dns.flags.DO
    reply = dns.message.make_response(query)
    owner = query.question[0].name
    tags = range(signatures)
    made = [RRSIG.format(type="MX", zone="Example.ORG.", tag=tag) for tag in tags]
    reply.answer = [
        dns.rrset.from_text("alias.example.org.", 60, "IN", "CNAME", owner.to_text()),
        dns.rrset.from_text(owner, 60, "IN", "MX", "10 mx.example.org."),
        dns.rrset.from_text(owner, 60, "IN", "RRSIG", *made),
        dns.rrset.from_text(
            "alias.example.org.", 60, "IN", "RRSIG", RRSIG.format(type="CNAME", zone=".", tag=7)
        ),
    ]
    return reply


async def test_signatures_of_records_and_aliases_are_read() -> None:
    async with resolving(answer) as server:
        assert await ask_signatures(server, "example.org", "MX") == (
            Signature("example.org", "MX", "example.org", BEGINS, ENDS, 60),
            Signature("alias.example.org", "CNAME", ".", BEGINS, ENDS, 60),
        )


async def test_a_long_answer_comes_by_tcp_and_is_bounded() -> None:
    async with resolving(lambda query: answer(query, 100)) as server:
        found = await ask_signatures(server, "example.org", "MX")
    assert len(found) == MAX_SIGNATURES


async def test_records_without_signatures_are_no_failure() -> None:
    async with resolving(dns.message.make_response) as server:
        assert await ask_signatures(server, ".", "DNSKEY") == ()


async def test_what_is_not_answered_is_one_line() -> None:
    async with resolving(lambda _: None) as server:
        said = await ask_signatures(server, "example.org", "MX", seconds=0.05)
    assert said == "no answer within 0.05 seconds"
    nowhere = "127.0.0.1", 0
    said = await ask_signatures(nowhere, "example.org", "MX")
    assert str(said).startswith("the resolver can't be reached: ")
    too_long = ".".join(["a" * 60] * 5)
    assert "can't be asked for" in str(await ask_signatures(nowhere, too_long, "MX"))


async def test_answers_to_other_questions_are_none() -> None:
    def other(query: dns.message.Message) -> dns.message.Message:
        reply = answer(query)
        reply.question[0].name = dns.name.from_text("other.example.org.")
        return reply

    async with resolving(other) as server:
        said = await ask_signatures(server, "example.org", "MX", seconds=0.05)
    assert said in ("no answer within 0.05 seconds", "no answer that can be read")
