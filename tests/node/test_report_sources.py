"""Whose sessions are reported, and as whom."""

from datetime import date, timedelta
from pathlib import Path

import pytest

from letterlock.base.config.load import find_config
from letterlock.base.config.sections import Config
from letterlock.node.report_sources import make_sources, make_submitter
from letterlock.services.collect.journal import Batch, Journal
from letterlock.storage.day_files import DayFiles
from letterlock.storage.queue import RecipientResult, RecipientState, Settlement, StoreUnavailable
from letterlock.storage.sqlite.queue import SqliteQueue
from tests.fakes import START, FakeClock
from tests.guides import settings_of
from tests.protocols.tlsrpt.datagrams import make_datagram
from tests.storage.messages import Mail
from tests.storage.test_tls_sessions import BAD, GOOD

DAY = START.date()


def load(folder: Path, extra: str = "") -> Config:
    file = folder / "letterlock.toml"
    file.write_text(
        f'hostname = "mx1.example.org"\ndomains = ["example.org"]\ncontact = "me@example.net"\n'
        f'data_dir = "{folder}/data"\n[tlsrpt]\n{extra}'
    )
    return find_config(file).load()


def test_who_reports_follows_from_the_domains(tmp_path: Path) -> None:
    """RFC 8460 §4.4, §5.1: contact-info has the domain that signs."""
    usual = make_submitter(load(tmp_path))
    assert (usual.contact, usual.organization) == ("postmaster@example.org", "example.org")
    assert (usual.domain, usual.installation) == ("example.org", "mx1.example.org")
    set_by_hand = 'contact = "tls@out.example"\norganization = "Out, Inc."\n'
    chosen = make_submitter(load(tmp_path, set_by_hand))
    assert (chosen.contact, chosen.organization) == ("tls@out.example", "Out, Inc.")


async def settle(path: Path, *sessions: object) -> None:
    clock = FakeClock()
    queue = SqliteQueue(path, clock)
    await queue.open()
    mail = Mail(queue, clock)
    await mail.save()
    claim = await mail.claim_one()
    done = RecipientResult(0, RecipientState.DELIVERED, "2.0.0", "250 fine")
    settlement = Settlement(claim, (done,), settled=clock.now(), sessions=sessions)  # type: ignore[arg-type]
    assert await queue.settle(settlement)
    await queue.close()


async def test_all_shards_are_added_up(tmp_path: Path) -> None:
    """Whoever owns them now, or nobody."""
    config = load(tmp_path)
    await settle(config.queue_dir / "shard-000.db", GOOD, GOOD)
    await settle(config.queue_dir / "shard-001.db", GOOD, BAD)
    (source,) = make_sources(config)
    assert source.name == "queue"
    assert await source.list_days() == [DAY]
    (results,) = (await source.load_day(DAY)).list_results()
    (policy,) = results.policies
    assert (policy.successful, policy.failed) == (3, 1)


async def test_without_a_queue_nothing_is_counted(tmp_path: Path) -> None:
    (source,) = make_sources(load(tmp_path))
    assert await source.list_days() == []
    assert (await source.load_day(DAY)).sessions == 0


async def test_what_a_postfix_told_is_another_source_of_this_node_alone(tmp_path: Path) -> None:
    config = load(tmp_path)
    folder = config.tlsrpt.journal_dir
    folder.mkdir(parents=True)
    journal = Journal(DayFiles(folder), DAY)
    journal.count(Batch({make_datagram(): 4}))
    journal.close()
    _, collected = make_sources(config)
    assert collected.name.startswith("collected@")
    assert await collected.list_days() == [DAY]
    assert (await collected.load_day(DAY)).sessions == 4
    (folder / f"{DAY}.1.counts").write_bytes(b"damaged")
    with pytest.raises(StoreUnavailable, match="not as it was written"):
        await collected.load_day(DAY)
    for file in folder.iterdir():
        file.unlink()
    folder.rmdir()
    folder.write_bytes(b"")
    for looking in (collected.list_days(), collected.load_day(date(2026, 1, 1) + timedelta(1))):
        with pytest.raises(StoreUnavailable):
            await looking


async def test_a_journal_that_cannot_be_reached_is_not_taken_for_none(tmp_path: Path) -> None:
    """Else what it counted would be missing in a report, and nobody told."""
    folder = load(tmp_path).tlsrpt.journal_dir
    folder.parent.mkdir(parents=True)
    folder.symlink_to(folder.name)
    _, collected = make_sources(load(tmp_path))
    with pytest.raises(StoreUnavailable, match="Too many levels"):
        await collected.list_days()


def test_the_settings_that_the_guide_shows_are_taken(tmp_path: Path) -> None:
    """docs/guide/tls-reports.md: as they are written."""
    blocks = [text for text in settings_of("tls-reports.md", "toml") if "[tlsrpt]" in text]
    sending = [text for text in blocks if "contact" in text]
    assert len(sending) == 2
    for text in sending:
        submitter = make_submitter(load(tmp_path, text.replace("[tlsrpt]", "")))
        assert submitter.contact == "tls-reports@example.org"
    config = load(tmp_path, sending[1].replace("[tlsrpt]", ""))
    assert config.tlsrpt.mail_program == Path("/usr/sbin/sendmail")
