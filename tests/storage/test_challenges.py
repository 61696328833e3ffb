"""Proofs that authorities may come and look at: one suite on both engines and on their twin."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from letterlock.protocols.acme.identifiers import (
    ChallengeType,
    make_server_name,
    parse_identifier,
)
from letterlock.storage.challenges import ChallengeStore, PendingChallenge
from tests.fakes import START, FakeChallengeStore, FakeClock
from tests.storage.conftest import ENGINES, find_maker
from tests.storage.node_stores import DAY, MINUTE, MakeNode, NodeStores

HTTP: ChallengeType = "http-01"
ALPN: ChallengeType = "tls-alpn-01"
NAME = parse_identifier("mx.example.org")
PENDING = PendingChallenge(HTTP, "Token_1", NAME, "Token_1.thumbprint", START + DAY)


@pytest.fixture(params=[*ENGINES, "memory"])
async def challenges(
    request: pytest.FixtureRequest, clock: FakeClock, tmp_path: Path
) -> AsyncIterator[ChallengeStore]:
    if request.param == "memory":
        yield FakeChallengeStore()
        return
    node = (await find_maker(request, clock, tmp_path))()
    await node.certificates.open()
    yield node.challenges
    await node.certificates.close()


async def test_a_proof_is_found_by_its_token(challenges: ChallengeStore) -> None:
    """RFC 8555 §8.3: tokens are told apart by case."""
    assert await challenges.find_by_token(HTTP, "Token_1", START) is None
    await challenges.put(PENDING, START)
    assert await challenges.find_by_token(HTTP, "Token_1", START) == PENDING
    assert await challenges.find_by_token(HTTP, "token_1", START) is None
    assert await challenges.find_by_token(ALPN, "Token_1", START) is None


@pytest.mark.parametrize("text", ["mx.example.org", "192.0.2.1", "2001:db8::1"])
async def test_a_proof_is_found_by_its_server_name(challenges: ChallengeStore, text: str) -> None:
    """RFC 8737 §3, RFC 8738 §6."""
    identifier = parse_identifier(text)
    pending = replace(PENDING, kind=ALPN, identifier=identifier)
    await challenges.put(pending, START)
    name = make_server_name(identifier)
    assert await challenges.find_by_server_name(ALPN, name, START) == pending
    assert await challenges.find_by_server_name(HTTP, name, START) is None
    assert await challenges.find_by_server_name(ALPN, "other.example", START) is None


async def test_of_several_for_one_name_the_last_put_up_counts(challenges: ChallengeStore) -> None:
    later = replace(PENDING, token="Token_2", until=PENDING.until + MINUTE)
    await challenges.put(later, START)
    await challenges.put(PENDING, START)
    assert await challenges.find_by_server_name(HTTP, NAME.value, START) == later
    await challenges.remove(HTTP, "Token_2")
    assert await challenges.find_by_server_name(HTTP, NAME.value, START) == PENDING


async def test_any_node_answers_for_any_other(make_node: MakeNode) -> None:
    first, second = make_node(), make_node()
    await first.certificates.open()
    await second.certificates.open()
    await first.challenges.put(PENDING, START)
    assert await second.challenges.find_by_token(HTTP, "Token_1", START) == PENDING
    await second.challenges.remove(HTTP, "Token_1")
    assert await first.challenges.find_by_token(HTTP, "Token_1", START) is None
    await first.certificates.close()
    await second.certificates.close()


async def test_a_proof_put_up_again_takes_the_place_of_the_first(
    challenges: ChallengeStore,
) -> None:
    other = replace(PENDING, identifier=parse_identifier("other.example"), until=START + 2 * DAY)
    await challenges.put(PENDING, START)
    await challenges.put(other, START)
    assert await challenges.find_by_token(HTTP, "Token_1", START) == other
    assert await challenges.find_by_server_name(HTTP, NAME.value, START) is None


async def test_what_ended_is_not_found_and_swept(challenges: ChallengeStore) -> None:
    await challenges.put(PENDING, START)
    assert await challenges.find_by_token(HTTP, "Token_1", PENDING.until) is None
    assert await challenges.find_by_server_name(HTTP, NAME.value, PENDING.until) is None
    await challenges.put(replace(PENDING, token="Token_2", until=START + 2 * DAY), PENDING.until)
    assert await challenges.find_by_token(HTTP, "Token_1", START) is None
    assert await challenges.find_by_token(HTTP, "Token_2", START) is not None


async def test_removing_what_is_not_there_is_no_fault(challenges: ChallengeStore) -> None:
    await challenges.remove(HTTP, "Token_1")


async def test_many_put_up_and_take_away_at_once(make_node: MakeNode) -> None:
    nodes = [make_node() for _ in range(3)]
    await asyncio.gather(*(node.certificates.open() for node in nodes))

    async def prove(node: NodeStores, number: int) -> None:
        token = f"token-{number}"
        # Half of them are past their end at once: they are swept by all the others.
        until = START if number % 2 else START + DAY
        await node.challenges.put(replace(PENDING, token=token, until=until), START)
        await node.challenges.remove(HTTP, token)

    await asyncio.gather(*(prove(nodes[number % 3], number) for number in range(60)))
    for node in nodes:
        assert await node.challenges.find_by_server_name(HTTP, NAME.value, START) is None
        await node.certificates.close()
