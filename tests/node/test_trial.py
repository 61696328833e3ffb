"""A database is tried by a child of the supervisor, of which nothing is left."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from letterlock.base.clock import SystemClock
from letterlock.base.config.choices import QueueEngine
from letterlock.base.config.sections import QueueSection
from letterlock.node import trial
from letterlock.node.trial import find_fault


@pytest.fixture(autouse=True)
def no_child_is_left() -> Iterator[None]:
    """Of this test: other tests' servers are children of this process too."""
    before = children()
    yield
    assert children() <= before


def children() -> set[str]:
    """Give the processes whose parent we are, the ended and not yet reaped ones among them."""
    tasks = Path("/proc/self/task")
    return {pid for task in tasks.iterdir() for pid in (task / "children").read_text().split()}


def section(url: str) -> QueueSection:
    return QueueSection(engine=QueueEngine.POSTGRES, url=url)


def test_why_a_database_cannot_be_used_is_one_line(tmp_path: Path) -> None:
    fault = find_fault(section(f"postgresql://letterlock@/x?host={tmp_path}"), SystemClock())
    assert fault is not None
    assert fault.startswith("PostgreSQL: ")
    assert "\n" not in fault


def test_a_database_that_does_not_answer_is_not_waited_for_for_long() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"postgresql://letterlock@127.0.0.1:{silent.getsockname()[1]}/x"
        assert find_fault(section(address), SystemClock(), seconds=1) == "no answer in 1 s"


def test_a_trial_that_breaks_finds_no_database_usable(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    async def broken(*_: object) -> str:
        raise ZeroDivisionError

    monkeypatch.setattr(trial, "_try", broken)
    assert find_fault(section("postgresql://x/y"), SystemClock()) == "it could not be tried"
    assert "ZeroDivisionError" in capfd.readouterr().err


def test_a_database_that_can_be_used_has_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    async def usable(*_: object) -> str:
        return ""

    monkeypatch.setattr(trial, "_try", usable)
    assert find_fault(section("postgresql://x/y"), SystemClock()) is None
