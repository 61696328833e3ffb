"""Every decision is the one that the page for operators shows."""

from collections import Counter

import pytest

from tests.protocols.policy.decision_table import PAGE, describe, read_page, write_page
from tests.protocols.policy.situations import DEMANDS, MTA_STS, MX_STATES, TABLES, TLSA, decided

CELLS = list(read_page(PAGE.read_text("utf-8")))


@pytest.mark.parametrize("table", TABLES)
def test_every_cell_of_the_page_is_what_is_decided(table: str) -> None:
    """RFC 7672 §2.2, RFC 8461 §5, RFC 8689 §4.2: see docs/reference/tls-decisions.md."""
    wrong = [
        (tlsa, sts, mx, demand, f"{cell!r} is {found!r}")
        for of, tlsa, sts, mx, demand, cell in CELLS
        if of == table and (found := describe(decided(table, tlsa, sts, mx, demand))) != cell
    ]
    assert wrong == []


def test_the_page_has_every_situation_once() -> None:
    counted = Counter(cell[:5] for cell in CELLS)
    assert set(counted.values()) == {1}
    assert len(counted) == len(TABLES) * len(TLSA) * len(MTA_STS) * len(MX_STATES) * len(DEMANDS)


def test_the_page_is_as_it_is_written() -> None:
    """Headings and words too; `python -m tests.protocols.policy.decision_table` writes it."""
    assert PAGE.read_text("utf-8") == write_page()
