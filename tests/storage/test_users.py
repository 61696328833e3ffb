"""Accounts for submission: one suite on both engines."""

import asyncio
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from letterlock.protocols.sasl.scram import ScramVerifier
from letterlock.storage.users import User, make_user_row, read_user_row
from tests.fakes import START
from tests.storage.node_stores import MakeNode, NodeStores

ALICE = User(
    "alice@example.org",
    START,
    "$argon2id$...",
    ScramVerifier(b"salt", 4096, b"stored", b"server"),
    ("alice@example.org", '"a b"@example.org', "@example.com"),
    max_messages=10,
    max_recipients=0,
)
BOB = User("bob", START)


async def test_an_account_is_found_by_its_name(node: NodeStores) -> None:
    assert await node.users.find_user(ALICE.name) is None
    assert await node.users.add_user(ALICE)
    assert await node.users.add_user(BOB)
    assert await node.users.find_user(ALICE.name) == ALICE
    assert await node.users.find_user(BOB.name) == BOB
    assert await node.users.find_user("Alice@example.org") is None, "names are prepared before"


async def test_a_name_is_given_once(node: NodeStores) -> None:
    assert await node.users.add_user(ALICE)
    assert not await node.users.add_user(replace(BOB, name=ALICE.name))
    assert await node.users.find_user(ALICE.name) == ALICE


async def test_of_many_who_add_a_name_one_does(make_node: MakeNode) -> None:
    nodes = [make_node() for _ in range(3)]
    await asyncio.gather(*(node.certificates.open() for node in nodes))
    added = await asyncio.gather(
        *(node.users.add_user(replace(BOB, max_messages=n)) for n, node in enumerate(nodes))
    )
    assert sorted(added) == [False, False, True]
    for node in nodes:
        await node.certificates.close()


async def test_an_account_is_changed_as_a_whole(node: NodeStores) -> None:
    changed = replace(ALICE, scram=None, password_hash=None, addresses=(), is_disabled=True)
    assert not await node.users.change_user(changed)
    await node.users.add_user(ALICE)
    await node.users.add_user(BOB)
    assert await node.users.change_user(changed)
    assert await node.users.list_users() == [changed, BOB]


async def test_accounts_are_listed_by_pages(node: NodeStores) -> None:
    users = [replace(BOB, name=f"user{number}") for number in range(5)]
    for user in reversed(users):
        await node.users.add_user(user)
    assert await node.users.list_users(limit=2) == users[:2]
    assert await node.users.list_users(limit=2, after="user1") == users[2:4]
    assert await node.users.list_users(after="user4") == []


async def test_a_deleted_account_is_gone(node: NodeStores) -> None:
    await node.users.add_user(ALICE)
    assert await node.users.delete_user(ALICE.name)
    assert not await node.users.delete_user(ALICE.name)
    assert await node.users.list_users() == []


async def test_all_nodes_make_the_same_decoys(make_node: MakeNode) -> None:
    """Else an account that is not there could be told by asking two nodes, or after a restart."""
    nodes = [make_node() for _ in range(3)]
    await asyncio.gather(*(node.certificates.open() for node in nodes))
    secrets = await asyncio.gather(
        *(node.users.load_decoy_secret(bytes([n])) for n, node in enumerate(nodes))
    )
    assert len(set(secrets)) == 1
    for node in nodes:
        assert await node.users.load_decoy_secret(b"later") == secrets[0]
        await node.certificates.close()


def test_no_trace_of_a_password_is_shown() -> None:
    assert "argon2" not in repr(ALICE)
    assert "stored" not in repr(ALICE)


@given(
    st.builds(
        User,
        st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1),
        st.just(START),
        st.none() | st.text(st.characters(codec="ascii")),
        st.none()
        | st.builds(ScramVerifier, st.binary(), st.integers(1, 10**6), st.binary(), st.binary()),
        st.lists(st.text(st.characters(codec="utf-8"))).map(tuple),
        st.none() | st.integers(0, 10**9),
        st.none() | st.integers(0, 10**9),
        st.booleans(),
    )
)
def test_what_is_kept_is_read_again(user: User) -> None:
    assert read_user_row(make_user_row(user)) == user
