"""Connections used again: for the same host under the same requirement, and never else."""

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest

from letterlock.base.domains import Domain
from letterlock.protocols.dns.answers import MxRecord
from letterlock.protocols.policy.requirement import Level
from letterlock.protocols.policy.table import TableEntry
from letterlock.services.queue.outcomes import Result
from tests.misbehaving import Act, Conduct, serving
from tests.services.deliver.outbound import (
    HOST,
    Outbound,
    leaf,
    only,
    sending,
    stories,
)

OTHER = "example.net"


def share_hosts(node: Outbound) -> None:
    """Let OTHER have the same MX host as DOMAIN."""
    node.resolver.set(OTHER, "MX", MxRecord(10, Domain(HOST)))


async def test_tls_and_all_is_used_again_for_the_same_host_and_requirement(tmp_path: Path) -> None:
    async with serving(Conduct(leaf())) as (server,), sending(tmp_path, [server]) as node:
        node.level = Level.VERIFY
        share_hosts(node)
        first, second = await node.send(), await node.send()
        # `verify` wants the host's name, whatever the next hop.
        await node.send(f"bob@{OTHER}")
    assert [only(item).result for item in (first, second)] == [Result.DELIVERED] * 2
    assert (server.seen.connections, len(server.seen.snis)) == (1, 1)
    assert [story["is_reused"] for story in stories(first) + stories(second)] == [False, True]
    assert stories(second)[0]["verdict"]["outcome"] == "authenticated"
    assert any("Verified TLS connection reused to" in text for text in node.log.texts)


@pytest.mark.parametrize("level", [Level.ENCRYPT, Level.VERIFY, Level.SECURE], ids=str)
async def test_a_connection_is_never_used_under_another_requirement(
    level: Level, tmp_path: Path
) -> None:
    """The stricter requirement is judged on a handshake of its own, and refused. Rule 116."""
    conduct = Conduct(leaf(("wrong.example",)))
    async with serving(conduct) as (server,), sending(tmp_path, [server]) as node:
        share_hosts(node)
        node.entries[OTHER] = TableEntry(OTHER, level, "tls_policy:1")
        assert only(await node.send()).result is Result.DELIVERED
        strict = await node.send(f"bob@{OTHER}")
    assert server.seen.connections == 2
    if level is Level.ENCRYPT:
        assert only(strict).result is Result.DELIVERED
    else:
        assert only(strict).status == "4.7.5"
        assert len(server.seen.mails) == 1


async def test_a_clear_connection_is_never_used_where_tls_is_required(tmp_path: Path) -> None:
    conduct = Conduct(has_starttls=False)
    async with serving(conduct) as (server,), sending(tmp_path, [server]) as node:
        share_hosts(node)
        node.entries[OTHER] = TableEntry(OTHER, Level.ENCRYPT, "tls_policy:1")
        await node.send()
        assert only(await node.send(f"bob@{OTHER}")).status == "4.7.4"
    assert len(server.seen.mails) == 1


@pytest.mark.parametrize("once_idle", [Act.CLOSE, Act.RESET, "421 4.4.2 idle too long"])
@pytest.mark.parametrize("has_tls", [True, False])
async def test_a_connection_closed_while_idle_is_no_failure_and_no_duplicate(
    once_idle: Act | str, has_tls: bool, tmp_path: Path
) -> None:
    """RFC 5321 §3.8: a server may close at any time."""
    conduct = Conduct(leaf(), has_starttls=has_tls, once_idle=once_idle)
    async with serving(conduct) as (server,), sending(tmp_path, [server]) as node:
        assert only(await node.send()).result is Result.DELIVERED
        await server.seen.has_ended.wait()
        second = await node.send()
    assert only(second).result is Result.DELIVERED
    assert [story["is_reused"] for story in stories(second)] == [False]
    assert (server.seen.connections, len(server.seen.taken)) == (2, 2)


@pytest.mark.parametrize("answer", [Act.CLOSE, Act.RESET, "421 4.4.2 idle too long"])
async def test_a_connection_that_ends_at_our_mail_is_as_one_closed_before(
    answer: Act | str, tmp_path: Path
) -> None:
    """The server's end of it and our MAIL cross on the way."""
    answers: dict[str, Act | str] = {}
    conduct = Conduct(has_starttls=False, answers=answers)
    async with serving(conduct) as (server,), sending(tmp_path, [server]) as node:
        await node.send()
        answers["MAIL"] = answer
        server.seen.has_ended.clear()
        async with asyncio.TaskGroup() as tasks:
            second = tasks.create_task(node.send())
            await server.seen.has_ended.wait()
            # The new connection finds the server as it was.
            answers.clear()
    assert only(second.result()).result is Result.DELIVERED
    assert [story["is_reused"] for story in stories(second.result())] == [False]
    assert (server.seen.connections, len(server.seen.taken)) == (2, 2)


async def test_a_connection_serves_only_so_many_messages(tmp_path: Path) -> None:
    conduct = Conduct(has_starttls=False)
    async with serving(conduct) as (server,), sending(tmp_path, [server]) as node:
        node.max_uses = 2
        for _ in range(3):
            await node.send()
    assert server.seen.connections == 2
    assert server.seen.lines("QUIT")


async def test_a_server_that_takes_one_message_a_session_gets_one(tmp_path: Path) -> None:
    """RFC 9422 §4.1."""
    conduct = Conduct(has_starttls=False, extensions=("LIMITS MAILMAX=1",))
    async with serving(conduct) as (server,), sending(tmp_path, [server]) as node:
        await node.send()
        await node.send()
    assert server.seen.connections == 2


async def test_what_was_idle_for_too_long_is_closed_with_quit(tmp_path: Path) -> None:
    async with serving(Conduct(leaf())) as (server,), sending(tmp_path, [server]) as node:
        await node.send()
        node.clock.move(timedelta(seconds=9))
        await node.pool.sweep()
        assert not server.seen.lines("QUIT")
        node.clock.move(timedelta(seconds=1))
        await node.pool.sweep()
        await server.seen.has_ended.wait()
    assert server.seen.commands[-1] == ("QUIT", True)
    assert server.seen.closes == ["close_notify"]


async def test_a_pool_that_ends_closes_everything_and_keeps_nothing_more(tmp_path: Path) -> None:
    async with serving(Conduct(leaf())) as (server,), sending(tmp_path, [server]) as node:
        await node.send()
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(node.pool.run())
            await asyncio.sleep(0)
            running.cancel()
        await server.seen.has_ended.wait()
        assert server.seen.closes == ["close_notify"]
        await node.send()
        assert server.seen.lines("QUIT")


async def test_an_answer_too_many_ends_the_connection(tmp_path: Path) -> None:
    """What came unasked would be taken for the answer to the next command."""
    conduct = Conduct(has_starttls=False, answers={".": "250 2.0.0 Ok\r\n250 2.0.0 and another"})
    async with serving(conduct) as (server,), sending(tmp_path, [server]) as node:
        assert only(await node.send()).result is Result.DELIVERED
        assert only(await node.send()).result is Result.DELIVERED
    assert server.seen.connections == 2
