"""The log of an authority's decisions, on both engines."""

import asyncio
from dataclasses import replace

from letterlock.protocols.audit.decisions import OrderLogged
from letterlock.protocols.audit.records import START as BEGINNING
from letterlock.protocols.audit.records import AuditEntry, append_all, head_of, read_decision
from letterlock.storage.ca.store import AuthorityStore
from tests.fakes import START
from tests.storage.authorities import MINUTE, MakeStore, logged


def order_logged(order: str) -> AuditEntry:
    return AuditEntry(START, OrderLogged(order, "account-1", ("a.example",), ("one",)))


async def test_the_log_is_a_chain_in_the_order_of_the_commits(authority: AuthorityStore) -> None:
    assert await authority.load_head() == BEGINNING
    first, second, third = logged("a"), order_logged("order-1"), logged("c")
    assert await authority.commit([], [first, second])
    assert await authority.commit([], [third])
    records = append_all(BEGINNING, [first, second, third])
    assert await authority.list_records(0, 9) == records
    assert await authority.list_records(1, 1) == records[1:2]
    assert await authority.load_head() == head_of(records[2])


async def test_records_are_found_by_kind_by_subject_and_by_time(authority: AuthorityStore) -> None:
    late = replace(order_logged("order-2"), moment=START + MINUTE)
    assert await authority.commit([], [logged("a"), order_logged("order-1"), logged("c"), late])
    records = await authority.list_records(0, 9)
    assert await authority.list_records(0, 9, kind="order") == (records[1], records[3])
    assert await authority.list_records(2, 9, kind="order") == (records[3],)
    assert await authority.list_records_about("order-1", 0, 9) == (records[1],)
    assert await authority.list_records_about("halt", 0, 1) == (records[0],)
    assert await authority.list_records_about("halt", 1, 1) == (records[2],)
    assert await authority.find_record_since(START) == 1
    assert await authority.find_record_since(START + MINUTE) == 4
    assert await authority.find_record_since(START + 2 * MINUTE) is None


async def test_processes_that_log_at_a_time_make_one_chain(make_authority: MakeStore) -> None:
    stores = [make_authority(), make_authority()]
    for each in stores:
        await each.open()
    commits = [stores[number % 2].commit([], [logged(str(number))] * 2) for number in range(40)]
    assert all(await asyncio.gather(*commits))
    records = await stores[0].list_records(0, 99)
    assert [each.number for each in records] == [*range(1, 81)]
    head = BEGINNING
    for number in range(0, 80, 2):
        pair = records[number : number + 2]
        why = pair[0].document
        assert [each.document for each in pair] == [why, why]
        (again,) = append_all(head, [_read(pair[0].document)])
        assert again == pair[0]
        head = head_of(pair[1])
    for each in stores:
        await each.close()


def _read(document: str) -> AuditEntry:
    return AuditEntry(START, read_decision(document))
