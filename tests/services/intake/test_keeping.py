"""What the operator vouches for is kept: in few commits, once, and what it is not is told."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta

import pytest

from letterlock.protocols.tlsrpt.report import Report
from letterlock.services.intake import keeping
from letterlock.services.intake.keeping import Importing, find_submitter
from letterlock.storage.received_reports import ReceivedReport, Standing, Way
from tests.fakes import FakeClock
from tests.protocols.tlsrpt.corpus import encode, make_document, make_mail

NOW = datetime(2026, 4, 2, 12, tzinfo=UTC)
"""When the corpus's reports come."""


class Kept:
    """A store that keeps in memory."""

    def __init__(self) -> None:
        self.batches: list[list[ReceivedReport]] = []

    async def keep(self, reports: Sequence[ReceivedReport]) -> list[bool]:
        self.batches.append(list(reports))
        return [each.report is not None and each.report.report_id != "old" for each in reports]


@pytest.fixture
def store() -> Kept:
    return Kept()


@pytest.fixture
def work(store: Kept, clock: FakeClock) -> Importing:
    return Importing(store, clock, timedelta(days=30))  # type: ignore[arg-type]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(NOW)


def make_report(contact: str | None, organization: str | None = None) -> Report:
    return Report(organization, "id", NOW, NOW, contact, ())


@pytest.mark.parametrize(
    ("contact", "organization", "submitter"),
    [
        ("Reports@Google.Example.", "Google Inc.", "google.example"),
        (
            "reports@B\N{LATIN SMALL LETTER U WITH DIAERESIS}cher.Example",
            None,
            "xn--bcher-kva.example",
        ),
        ("reports@not a domain", None, "not a domain"),
        ("https://example.org", "Some One", "some one"),
        (None, " Some One ", "some one"),
        (None, None, ""),
        ("a@" + 300 * "x", None, 255 * "x"),
    ],
)
def test_whose_report_it_is(contact: str | None, organization: str | None, submitter: str) -> None:
    assert find_submitter(make_report(contact, organization)) == submitter


async def test_a_report_counts_with_its_octets_as_they_came(work: Importing, store: Kept) -> None:
    octets = encode(make_document())
    await work.add("mail", make_mail(octets))
    assert store.batches == []
    await work.flush()
    ((kept,),) = store.batches
    assert (kept.way, kept.standing, kept.submitter) == (
        Way.IMPORT, Standing.COUNTED, "company-x.example"
    )  # fmt: skip
    assert (kept.octets, kept.received, kept.day) == (octets, NOW, date(2026, 4, 1))
    await work.flush()
    assert len(store.batches) == 1


async def test_new_ones_and_copies_are_counted(work: Importing) -> None:
    for name in ("new", "old", "newer"):
        await work.add(name, encode(make_document(**{"report-id": name})))
    await work.flush()
    assert (work.counts.files, work.counts.new, work.counts.copies) == (3, 2, 1)


async def test_what_has_no_report_is_no_fault_and_a_bad_one_is_named(work: Importing) -> None:
    await work.add("plain", b"Subject: hello\n\nhello\n")
    await work.add("bad", b'{"policies": ')
    assert work.counts.without == 1
    ((name, error),) = work.counts.refused
    assert (name, error.partition(":")[0]) == ("bad", "not JSON")


async def test_what_is_older_than_reports_are_kept_is_told(work: Importing, store: Kept) -> None:
    for day in ("2026-03-02", "2026-03-03"):
        dates = {"start-datetime": f"{day}T00:00:00Z", "end-datetime": f"{day}T23:59:59Z"}
        await work.add("x", encode(make_document(**{"date-range": dates})))
    await work.flush()
    assert (work.counts.old, len(store.batches[0])) == (1, 1)


async def test_what_is_about_a_day_that_has_not_come_is_named(work: Importing, store: Kept) -> None:
    """It would be the last word on a domain for years, and never be forgotten."""
    for day in (NOW.date() + timedelta(1), NOW.date() + timedelta(2), date(9999, 12, 31)):
        dates = {"start-datetime": f"{day}T00:00:00Z", "end-datetime": f"{day}T23:59:59Z"}
        await work.add(f"{day}", encode(make_document(**{"date-range": dates})))
    await work.flush()
    ahead = NOW.date() + timedelta(2)
    assert work.counts.refused == [
        (f"{ahead}", f"it is about {ahead}, a day that has not come"),
        ("9999-12-31", "it is about 9999-12-31, a day that has not come"),
    ]
    assert [each.day for each in store.batches[0]] == [NOW.date() + timedelta(1)]


async def test_many_are_kept_together(
    work: Importing, store: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping, "BATCH_REPORTS", 3)
    for number in range(7):
        await work.add("x", encode(make_document(**{"report-id": str(number)})))
    await work.flush()
    assert [len(batch) for batch in store.batches] == [3, 3, 1]


async def test_large_ones_do_not_wait_for_many(
    work: Importing, store: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping, "BATCH_OCTETS", 100)
    await work.add("x", encode(make_document()))
    assert len(store.batches) == 1
