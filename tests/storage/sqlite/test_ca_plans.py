"""How SQLite finds what the authority's scripts ask for: by an index, however much there is."""

import importlib
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from letterlock.storage.ca import scripts
from letterlock.storage.sqlite.ca.following import _translate
from letterlock.storage.sqlite.ca.store import SqliteAuthority
from tests.fakes import FakeClock

WHOLE = {
    "nonce_horizon": "one row",
    "halt": "at most one row",
    "counters": "swept now and then, and few",
    "audit": "its end",
    "audit_heads": "its end",
    "incidents": "few",
    "json_each": "what is asked for",
}
"""Tables that statements may go through from one end to the other, and why."""
PARTS = {"auditing._SELECT", "certificates._SELECT"}
"""Beginnings of statements."""


def find_statements() -> Iterator[tuple[str, str]]:
    for module in pkgutil.iter_modules(scripts.__path__):
        found = importlib.import_module(f"{scripts.__name__}.{module.name}")
        for name, text in vars(found).items():
            where = f"{module.name}.{name}"
            is_statement = re.match(r"\s*(?:SELECT|UPDATE|DELETE|INSERT)\b", str(text))
            if isinstance(text, str) and is_statement and where not in PARTS:
                yield where, text


@pytest.fixture
async def connection(tmp_path: Path) -> apsw.Connection:
    path = tmp_path / "authority.db"
    store = SqliteAuthority(path, FakeClock())
    await store.open()
    await store.close()
    return apsw.Connection(str(path))


def explain(connection: apsw.Connection, sql: str) -> list[str]:
    text = _translate(sql)
    rows = connection.execute(f"EXPLAIN QUERY PLAN {text}", (None,) * text.count("?"))
    return [row[3] for row in rows]


def test_no_statement_goes_through_a_table_that_grows(connection: apsw.Connection) -> None:
    statements = dict(find_statements())
    assert len(statements) > 60
    for where, sql in statements.items():
        for line in explain(connection, sql):
            # A constant row is SQLite's word for a SELECT from no table.
            scanned = re.match(r"SCAN (?!CONSTANT ROW$)(\w+)", line)
            assert scanned is None or scanned[1] in WHOLE, f"{where}: {line}"


def test_what_is_revoked_is_found_by_serial_number_or_by_shard(
    connection: apsw.Connection,
) -> None:
    """Millions of one issuer may be, and each certificate that is issued looks for its own."""
    lines = [line for _, sql in find_statements() for line in explain(connection, sql)]
    looks = [line for line in lines if line.startswith("SEARCH revocations ")]
    assert len(looks) > 3
    for line in looks:
        assert "serial=?" in line or "shard=?" in line, line


@pytest.mark.parametrize(
    ("name", "index"),
    [
        ("certificates._UNREPLACED", "certificates_open"),
        ("certificates._UNUSED_SERIALS", "serials_unused"),
        ("certificates._OF_ACCOUNT", "certificates_account"),
        ("certificates._OF_KEY", "certificates_key"),
        ("orders._VALID_AUTHORIZATIONS", "authorizations_valid"),
        ("orders._ORDER_IDS", "orders_shown"),
        ("work._CLAIM", "work_due"),
        ("auditing._SINCE", "audit_moment"),
    ],
)
def test_each_list_has_its_index(connection: apsw.Connection, name: str, index: str) -> None:
    lines = explain(connection, dict(find_statements())[name])
    assert any(index in line for line in lines), lines
    assert not any("TEMP B-TREE FOR ORDER" in line for line in lines), lines
