"""Inbound tests as files: nothing but a token is one's name, and what is broken is no test."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace

from letterlock.protocols.inbound.cases import Case
from letterlock.protocols.inbound.facts import InboundTest
from letterlock.storage.inbound_tests import (
    MAX_OCTETS,
    InboundTests,
    TooManyTests,
    make_token,
)

NOW = datetime(2026, 11, 22, tzinfo=UTC)


@pytest.fixture
def tests(tmp_path: Path) -> InboundTests:
    return InboundTests(tmp_path / "inbound")


def make(created: datetime = NOW) -> InboundTest:
    return InboundTest(make_token(), created, created + timedelta(days=1), tuple(Case))


def test_what_was_written_is_read(tests: InboundTests, tmp_path: Path) -> None:
    later, first = make(NOW + timedelta(hours=1)), make()
    for each in (later, first):
        tests.add(each, most=10)
        assert tests.load(each.token) == each
    assert tests.list_all() == [first, later]
    for path in (tmp_path / "inbound").iterdir():
        assert path.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("token", ["", "../../etc/passwd", "a" * 11, "A" * 12, "a" * 12, "lock"])
def test_what_is_no_token_is_no_test(tests: InboundTests, token: str) -> None:
    tests.add(make(), most=10)
    assert tests.load(token) is None
    assert not tests.change(token, lambda test: test)


def test_there_are_so_many(tests: InboundTests) -> None:
    tests.add(make(), most=1)
    with pytest.raises(TooManyTests):
        tests.add(make(), most=1)


@pytest.mark.parametrize(
    "octets", [b"", b"{}", b"\xff", b"[" * 100_000, b" " * (MAX_OCTETS + 1), b'{"token": 1}']
)
def test_what_cannot_be_read_is_none_and_is_removed(
    tests: InboundTests, tmp_path: Path, octets: bytes
) -> None:
    test = make()
    tests.add(test, most=10)
    path = tmp_path / "inbound" / f"{test.token}.json"
    path.write_bytes(octets)
    assert tests.load(test.token) is None
    assert tests.remove_ended(NOW) == [test.token]
    assert not path.exists()


def test_a_file_under_another_name_is_none(tests: InboundTests, tmp_path: Path) -> None:
    test, other = make(), make_token()
    tests.add(test, most=10)
    folder = tmp_path / "inbound"
    (folder / f"{test.token}.json").rename(folder / f"{other}.json")
    assert tests.load(other) is None


def test_those_whose_time_is_over_are_removed(tests: InboundTests) -> None:
    test = make()
    tests.add(test, most=10)
    assert tests.remove_ended(NOW + timedelta(hours=23)) == []
    assert tests.remove_ended(NOW + timedelta(days=1)) == [test.token]
    assert tests.list_all() == []


def test_a_change_takes_the_place_of_what_was(tests: InboundTests) -> None:
    test = make()
    tests.add(test, most=10)
    assert tests.change(test.token, lambda found: replace(found, report_to="a@example.org"))
    found = tests.load(test.token)
    assert found is not None
    assert found.report_to == "a@example.org"
