"""The list of hosts that cannot be reached, RFC 5321 §4.5.4.1."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from letterlock.services.deliver import unreachable_hosts as module
from letterlock.services.deliver.unreachable_hosts import UnreachableHosts
from letterlock.services.queue.outcomes import Result
from tests.fakes import FakeClock
from tests.misbehaving import Act, Conduct, Seen, Server, serving
from tests.services.deliver.outbound import DOMAIN, only, sending, timeouts

A, B = ("192.0.2.1", 25), ("192.0.2.2", 25)
PLAIN = Conduct(has_starttls=False)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def fail(hosts: UnreachableHosts, address: tuple[str, int] = A) -> None:
    assert hosts.find_reason(address) is None
    with hosts.trial(address) as trial:
        trial.fail("connection refused")


@contextmanager
def dead_server(port: int = 0) -> Iterator[Server]:
    """Have an address where connections are refused."""
    with socket.socket() as bound:
        bound.bind(("127.250.250.1", port))
        ip, port = bound.getsockname()
        yield Server(ip, port, Seen())


def wait(clock: FakeClock, seconds: float) -> None:
    clock.move(timedelta(seconds=seconds))


def test_an_address_that_failed_is_left_alone_ever_longer(clock: FakeClock) -> None:
    hosts = UnreachableHosts(clock)
    for seconds in (10, 20, 40, 80, 160, 300, 300):
        fail(hosts)
        wait(clock, seconds - 0.1)
        assert hosts.find_reason(A) == "connection refused"
        assert hosts.find_reason(B) is None
        wait(clock, 0.2)


def test_one_that_answers_is_off_the_list(clock: FakeClock) -> None:
    hosts = UnreachableHosts(clock)
    fail(hosts)
    wait(clock, 11)
    with hosts.trial(A) as trial:
        trial.succeed()
    assert hosts.find_reason(A) is None
    fail(hosts)
    wait(clock, 11)
    assert hosts.find_reason(A) is None


def test_one_delivery_tries_again_what_is_on_the_list(clock: FakeClock) -> None:
    hosts = UnreachableHosts(clock)
    fail(hosts)
    wait(clock, 11)
    with hosts.trial(A):
        assert hosts.find_reason(A) == "connection refused"
    # It was broken off: that tells nothing.
    assert hosts.find_reason(A) is None


def test_so_many_addresses_are_tried_again_at_once(clock: FakeClock) -> None:
    hosts = UnreachableHosts(clock, max_trials=1)
    fail(hosts, A)
    fail(hosts, B)
    wait(clock, 11)
    with hosts.trial(A):
        assert hosts.find_reason(B) is not None
        assert hosts.find_reason(("192.0.2.3", 25)) is None
    assert hosts.find_reason(B) is None


def test_deliveries_that_fail_together_count_as_one(clock: FakeClock) -> None:
    hosts = UnreachableHosts(clock)
    with hosts.trial(A) as first, hosts.trial(A) as second:
        first.fail("connection timed out")
        second.fail("connection timed out")
    wait(clock, 10.1)
    assert hosts.find_reason(A) is None


def test_what_nobody_tried_for_long_is_new_again(clock: FakeClock) -> None:
    hosts = UnreachableHosts(clock)
    fail(hosts)
    wait(clock, 11)
    fail(hosts)
    wait(clock, 20 + module.FORGOTTEN_SECONDS + 1)
    fail(hosts)
    wait(clock, 10.1)
    assert hosts.find_reason(A) is None


def test_the_list_is_bounded(clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_ADDRESSES", 1)
    hosts = UnreachableHosts(clock)
    fail(hosts, A)
    fail(hosts, B)
    assert hosts.find_reason(A) is None
    assert hosts.find_reason(B) is not None


def test_the_operator_may_have_it_forgotten(clock: FakeClock) -> None:
    hosts = UnreachableHosts(clock)
    fail(hosts)
    hosts.forget()
    assert hosts.find_reason(A) is None


async def test_mail_for_a_dead_host_is_deferred_without_a_connection(tmp_path: Path) -> None:
    """RFC 5321 §4.5.4.1."""
    with dead_server() as server:
        async with sending(tmp_path, [server]) as node:
            first = await node.send_and_settle()
            second = await node.send_and_settle()
    assert "connect to" in only(first).reply
    outcome = only(second)
    assert (outcome.result, outcome.status) == (Result.DEFERRED, "4.4.1")
    assert outcome.reply == (
        f"delivery temporarily suspended: connect to mx1.{DOMAIN}[{server.ip}]:{server.port}: "
        "Connection refused"
    )
    assert len(first.attempts) == 1
    assert second.attempts == ()


async def test_mail_goes_to_the_next_host_without_waiting_for_a_dead_one(tmp_path: Path) -> None:
    """RFC 5321 §5.1."""
    async with serving(PLAIN) as (alive,):
        with dead_server(alive.port) as dead:
            async with sending(tmp_path, [dead, alive]) as node:
                first = await node.send_and_settle()
                second = await node.send_and_settle()
    assert [only(first).result, only(second).result] == [Result.DELIVERED] * 2
    assert [len(first.attempts), len(second.attempts)] == [2, 1]


async def test_a_host_that_greets_nobody_is_as_dead(tmp_path: Path) -> None:
    conduct = Conduct(has_starttls=False, answers={"banner": Act.SILENCE})
    async with serving(conduct) as (server,), sending(tmp_path, [server]) as node:
        node.timeouts = timeouts(greeting=timedelta(seconds=0.2))
        await node.send_and_settle()
        assert "suspended" in only(await node.send_and_settle()).reply


async def test_a_host_that_hangs_up_is_not_dead(tmp_path: Path) -> None:
    """It may have enough of our connections, and take the next."""
    conduct = Conduct(has_starttls=False, answers={"banner": Act.CLOSE})
    async with serving(conduct) as (server,), sending(tmp_path, [server]) as node:
        await node.send_and_settle()
        assert "suspended" not in only(await node.send_and_settle()).reply


async def test_a_connection_that_is_kept_is_used_whatever_the_list_says(tmp_path: Path) -> None:
    async with serving(PLAIN) as (server,), sending(tmp_path, [server]) as node:
        await node.send_and_settle()
        with node.unreachable.trial((server.ip, server.port)) as trial:
            trial.fail("connection timed out")
        assert only(await node.send_and_settle()).result is Result.DELIVERED
