"""Asking Dovecot's login service, and what it may do instead of answering."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from letterlock.network import dovecot_auth
from letterlock.network.dovecot_auth import DovecotAuth
from letterlock.protocols.sasl.dovecot import Accepted, Answer, Denied, NotAnswered
from tests.accepting import Serve, accepting

GREETING = b"VERSION\t1\t2\nMECH\tPLAIN\tplaintext\nSPID\t1\nCUID\t1\nCOOKIE\tab\nDONE\n"


@asynccontextmanager
async def service(folder: Path, serve: Serve) -> AsyncIterator[DovecotAuth]:
    """Be a login service."""
    path = folder / "auth"
    async with accepting(serve, path=path):
        yield DovecotAuth(path)


def saying(*lines: bytes) -> Serve:
    """Greet, and say these when asked."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(GREETING)
        while not (await reader.readline()).startswith(b"AUTH\t1\tPLAIN\t"):
            pass
        writer.writelines(lines)
        await writer.drain()

    return serve


@pytest.mark.parametrize(
    ("lines", "answer"),
    [
        ([b"OK\t1\tuser=alice\n"], Accepted("alice")),
        ([b"OK\t9\tuser=eve\n", b"FAIL\t1\tuser=alice\n"], Denied()),
        ([b"FAIL\t1\ttemp\n"], NotAnswered("{path}: it failed for now: see Dovecot's log")),
        ([b"OK\t1\tuser=alice"], NotAnswered("{path}: the service hung up")),
        ([], NotAnswered("{path}: the service hung up")),
        ([b"x" * 20_000], NotAnswered("{path}: a line is too long")),
        ([b"x\n"] * 300, NotAnswered("{path}: it says too much")),
    ],
)
async def test_what_the_service_says(tmp_path: Path, lines: list[bytes], answer: Answer) -> None:
    async with service(tmp_path, saying(*lines)) as auth:
        found = await auth.ask("alice", "secret", "192.0.2.1")
    if isinstance(answer, NotAnswered):
        answer = NotAnswered(answer.reason.format(path=tmp_path / "auth"))
    assert found == answer


async def test_a_service_that_is_not_there_is_told(tmp_path: Path) -> None:
    found = await DovecotAuth(tmp_path / "auth").ask("alice", "secret", "192.0.2.1")
    assert found == NotAnswered(f"{tmp_path}/auth: No such file or directory")


async def test_a_service_that_says_nothing_is_not_waited_for_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        del writer
        await reader.read()

    monkeypatch.setattr(dovecot_auth, "TIMEOUT_SECONDS", 0.01)
    async with service(tmp_path, serve) as auth:
        found = await auth.ask("alice", "secret", "192.0.2.1")
    assert isinstance(found, NotAnswered)
    assert "no answer in" in found.reason


async def test_only_so_many_are_asked_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_asked = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        is_asked.set()
        await saying(b"OK\t1\tuser=alice\n")(reader, writer)

    monkeypatch.setattr(dovecot_auth, "MAX_AT_ONCE", 1)
    async with service(tmp_path, serve) as auth, asyncio.TaskGroup() as tasks:
        first = tasks.create_task(auth.ask("alice", "secret", "192.0.2.1"))
        await is_asked.wait()
        second = await auth.ask("bob", "secret", "192.0.2.1")
        assert second == NotAnswered("too many logins at once")
        assert await first == Accepted("alice")
