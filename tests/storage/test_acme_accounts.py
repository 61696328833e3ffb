"""Accounts at ACME authorities: one suite on both engines."""

import asyncio

import pytest

from letterlock.storage.acme_accounts import AcmeAccountRecord
from tests.fakes import START
from tests.storage.node_stores import DIRECTORY, MINUTE, MakeNode, NodeStores

OTHER = "https://other.example/directory"
URL = "https://one.example/account/1"


def record(key: bytes = b"one", **more: object) -> AcmeAccountRecord:
    return AcmeAccountRecord(DIRECTORY, key, START, **more)  # type: ignore[arg-type] # a test's own


async def test_the_first_key_stays(node: NodeStores) -> None:
    """RFC 8555 §7.3.1: another key would be another account."""
    assert await node.accounts.list_accounts() == []
    assert await node.accounts.add_account(DIRECTORY, b"one", START) == record()
    assert await node.accounts.add_account(DIRECTORY, b"two", START + MINUTE) == record()
    other = await node.accounts.add_account(OTHER, b"two", START)
    assert await node.accounts.list_accounts() == [record(), other]


async def test_all_nodes_have_the_same_account(make_node: MakeNode) -> None:
    nodes = [make_node() for _ in range(3)]
    await asyncio.gather(*(node.certificates.open() for node in nodes))
    found = await asyncio.gather(
        *(
            node.accounts.add_account(DIRECTORY, f"key {number}".encode(), START)
            for number, node in enumerate(nodes)
        )
    )
    assert len(set(found)) == 1
    for node in nodes:
        assert await node.accounts.list_accounts() == [found[0]]
        await node.certificates.close()


async def test_the_accounts_url_is_kept_with_its_key(node: NodeStores) -> None:
    accounts = node.accounts
    await accounts.add_account(DIRECTORY, b"one", START)
    assert not await accounts.note_account(DIRECTORY, b"two", URL)
    assert not await accounts.note_account(OTHER, b"one", URL)
    assert await accounts.note_account(DIRECTORY, b"one", URL)
    assert await accounts.list_accounts() == [record(url=URL)]


@pytest.mark.parametrize("known", [b"one", b"two"], ids=["the one before", "the next one"])
async def test_a_key_change_loses_neither_key(make_node: MakeNode, known: bytes) -> None:
    """RFC 8555 §7.3.5: after a crash only the authority can say which it knows."""
    first, second = make_node(), make_node()
    await first.certificates.open()
    await first.accounts.add_account(DIRECTORY, b"one", START)
    begun = await first.accounts.begin_key_change(DIRECTORY, b"two")
    assert begun == record(next_key=b"two")
    await first.certificates.close()
    await second.certificates.open()
    assert await second.accounts.list_accounts() == [record(next_key=b"two")]
    again = await second.accounts.begin_key_change(DIRECTORY, b"three")
    assert again == record(next_key=b"two"), "what was begun is ended first"
    assert not await second.accounts.end_key_change(DIRECTORY, b"three")
    assert await second.accounts.end_key_change(DIRECTORY, known)
    assert await second.accounts.list_accounts() == [record(known)]
    await second.certificates.close()


async def test_a_key_change_ends_once(node: NodeStores) -> None:
    accounts = node.accounts
    assert await accounts.begin_key_change(DIRECTORY, b"two") is None
    await accounts.add_account(DIRECTORY, b"one", START)
    await accounts.note_account(DIRECTORY, b"one", URL)
    await accounts.begin_key_change(DIRECTORY, b"two")
    assert await accounts.end_key_change(DIRECTORY, b"two")
    assert not await accounts.end_key_change(DIRECTORY, b"one")
    assert await accounts.list_accounts() == [record(b"two", url=URL)]


async def test_an_account_is_forgotten_by_its_key(node: NodeStores) -> None:
    """RFC 8555 §7.3.6: a deactivated account's key is of no use any more."""
    await node.accounts.add_account(DIRECTORY, b"one", START)
    assert not await node.accounts.forget_account(DIRECTORY, b"two")
    assert await node.accounts.forget_account(DIRECTORY, b"one")
    assert await node.accounts.add_account(DIRECTORY, b"two", START) == record(b"two")


def test_no_key_is_ever_shown() -> None:
    shown = f"{record(b'the key', next_key=b'another')!r}"
    assert "the key" not in shown
    assert "another" not in shown
