"""Numbered migrations."""

import pytest

from letterlock.base.errors import LocalError
from letterlock.storage.migrations import Migration, TooNewError, find_missing, load_migrations

FIRST, SECOND = Migration(1, "a", "...", "x"), Migration(2, "b", "...", "y")


@pytest.mark.parametrize("engine", ["sqlite", "postgres"])
@pytest.mark.parametrize(
    ("package", "first"), [("migrations", "queue"), ("node_migrations", "policies")]
)
def test_those_of_an_engine_are_numbered_without_a_gap(
    engine: str, package: str, first: str
) -> None:
    migrations = load_migrations(f"letterlock.storage.{engine}.{package}")
    assert [each.version for each in migrations] == list(range(1, len(migrations) + 1))
    assert migrations[0].name == first
    assert len(migrations[0].checksum) == 64


def test_what_was_not_applied_is_missing() -> None:
    assert find_missing([FIRST, SECOND], {}, "db") == [FIRST, SECOND]
    assert find_missing([FIRST, SECOND], {1: "x"}, "db") == [SECOND]
    assert find_missing([FIRST, SECOND], {1: "x", 2: "y", 3: "newer"}, "db") == []


def test_one_that_says_who_can_read_it_is_believed() -> None:
    assert find_missing([FIRST, SECOND], {1: "x", 2: "y", 3: "newer"}, "db", 2) == []
    with pytest.raises(TooNewError, match=r"db: a newer release .* lacks migration 3\); run that"):
        find_missing([FIRST, SECOND], {1: "x", 2: "y", 3: "newer"}, "db", 3)


def test_one_that_was_changed_is_refused() -> None:
    with pytest.raises(LocalError, match="db: migration 1 there is not the one"):
        find_missing([FIRST, SECOND], {1: "other"}, "db")
