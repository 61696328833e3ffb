"""MTA-STS policies that we served: one suite on both engines."""

from dataclasses import replace
from datetime import timedelta

from letterlock.base.domains import Domain
from letterlock.protocols.mta_sts.policy import MtaStsMode, MtaStsPolicy
from letterlock.storage.served_policies import ServedPolicy, make_served_row, read_served_row
from tests.fakes import START
from tests.storage.node_stores import DAY, MINUTE, MakeNode, NodeStores

DOMAIN = Domain("example.org")
POLICY = MtaStsPolicy(MtaStsMode.ENFORCE, ("mx1.example.org",), timedelta(days=14))
SERVED = ServedPolicy(DOMAIN, "1", POLICY, START, START + MINUTE)


async def test_what_was_served_is_listed_while_somebody_may_hold_it(node: NodeStores) -> None:
    """RFC 8461 §3.2: max_age counts from the fetch."""
    assert await node.served.list_served(DOMAIN, START) == []
    await node.served.note(SERVED)
    end = SERVED.held_until
    assert end == START + MINUTE + 14 * DAY
    assert await node.served.list_served(DOMAIN, end - MINUTE) == [SERVED]
    assert await node.served.list_served(DOMAIN, end) == []
    assert await node.served.list_served(Domain("example.net"), START) == []


async def test_what_is_served_on_keeps_its_beginning_and_the_later_end(node: NodeStores) -> None:
    later = replace(SERVED, since=START + DAY, until=START + 2 * DAY)
    await node.served.note(SERVED)
    await node.served.note(later)
    await node.served.note(SERVED)
    (found,) = await node.served.list_served(DOMAIN, START)
    assert (found.since, found.until) == (START, later.until)
    assert await node.served.list_served(DOMAIN, SERVED.held_until) == [found]


async def test_the_latest_served_comes_first(node: NodeStores) -> None:
    other = replace(SERVED, id="2", policy=replace(POLICY, mode=MtaStsMode.TESTING))
    await node.served.note(replace(other, until=START + DAY))
    await node.served.note(SERVED)
    found = await node.served.list_served(DOMAIN, START)
    assert [served.id for served in found] == ["2", "1"]


async def test_what_nobody_holds_is_forgotten(node: NodeStores) -> None:
    await node.served.note(SERVED)
    await node.served.note(replace(SERVED, domain=Domain("example.net"), until=START + 2 * MINUTE))
    assert await node.served.forget(SERVED.held_until - MINUTE) == 0
    assert await node.served.forget(SERVED.held_until) == 1
    assert len(await node.served.list_served(Domain("example.net"), START)) == 1


async def test_every_node_sees_what_any_served(make_node: MakeNode) -> None:
    first, second = make_node(), make_node()
    await first.certificates.open()
    await second.certificates.open()
    await first.served.note(SERVED)
    assert await second.served.list_served(DOMAIN, START) == [SERVED]
    await first.certificates.close()
    await second.certificates.close()


def test_what_a_newer_release_wrote_is_passed_over() -> None:
    row = list(make_served_row(SERVED))
    assert read_served_row(row) == SERVED
    row[2] = "version: STSv2\r\n"
    assert read_served_row(row) is None
