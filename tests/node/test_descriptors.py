"""What clients may have of a process's descriptors."""

import resource
from dataclasses import replace
from pathlib import Path

import pytest

from letterlock.base.config.filters import FilterSection, Milter, MilterAddress
from letterlock.base.config.inbound import ReceiveSection
from letterlock.base.config.outbound import DeliverSection
from letterlock.base.config.sections import Config
from letterlock.base.domains import Domain
from letterlock.node import descriptors
from letterlock.node.descriptors import (
    allow_descriptors,
    count_for_clients,
    count_per_client,
    describe_shortage,
)

DELIVER = DeliverSection(max_connections=100)
CONFIG = Config(
    Domain("mx.example.org"),
    (Domain("example.org"),),
    "postmaster@example.org",
    Path("/"),
    receive=ReceiveSection(max_connections=2000),
    deliver=DELIVER,
)


@pytest.mark.parametrize(
    ("descriptors", "clients"),
    [(65536, 65236), (1024, 724), (600, 300), (100, 50), (resource.RLIM_INFINITY, 0)],
)
def test_clients_leave_some_for_deliveries_and_files(descriptors: int, clients: int) -> None:
    assert count_for_clients(DELIVER, descriptors) == clients


def test_the_limit_is_the_system_s() -> None:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert count_for_clients(DELIVER) == count_for_clients(DELIVER, soft)


@pytest.mark.parametrize(
    ("limits", "wanted"),
    [
        ((1024, 4096), (4096, 4096)),
        ((1024, 1_000_000), (65536, 1_000_000)),
        ((1024, resource.RLIM_INFINITY), (65536, resource.RLIM_INFINITY)),
        ((4096, 4096), None),
        ((100_000, 1_000_000), None),
        ((resource.RLIM_INFINITY, resource.RLIM_INFINITY), None),
    ],
)
def test_the_limit_is_raised_as_far_as_the_system_lets_us(
    limits: tuple[int, int], wanted: tuple[int, int] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_to: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: limits)
    monkeypatch.setattr(resource, "setrlimit", lambda _, new: set_to.append(new))
    allow_descriptors()
    assert set_to == ([wanted] if wanted else [])


def test_it_is_told_when_clients_get_fewer_connections_than_configured(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(descriptors, "count_for_clients", lambda _: 724)
    shortage = describe_shortage(CONFIG, 2)
    assert shortage is not None
    assert shortage.startswith("receive.max_connections: 2000 are more than the descriptors allow")
    assert describe_shortage(CONFIG, 3) is None
    fewer = replace(CONFIG, receive=ReceiveSection(max_connections=700))
    assert describe_shortage(fewer, 1) is None
    monkeypatch.setattr(descriptors, "count_for_clients", lambda _: 0)
    assert describe_shortage(CONFIG, 1) is None


def test_a_client_takes_a_connection_to_each_filter_too(monkeypatch: pytest.MonkeyPatch) -> None:
    milters = tuple(Milter(MilterAddress(f"/{number}")) for number in range(2))
    config = replace(CONFIG, filter=FilterSection(milters))
    assert [count_per_client(each) for each in (CONFIG, config)] == [1, 4]
    monkeypatch.setattr(descriptors, "count_for_clients", lambda _: 4000)
    assert describe_shortage(CONFIG, 1) is None
    shortage = describe_shortage(config, 1)
    assert shortage is not None
    assert "allow: the worker has room for 1000;" in shortage
