"""The keys in memory, and their files."""

from datetime import timedelta
from pathlib import Path

import pytest

from letterlock.base.domains import Domain
from letterlock.services.sign.keyring import CHECK_SECONDS, Keyring
from letterlock.services.sign.keys import KeyPlan, make_missing_key
from letterlock.storage.dkim_keys import DkimKeyFiles
from tests.fakes import FakeClock, FakeLog

DOMAIN = Domain("example.org")
PLAN = KeyPlan((DOMAIN, Domain("net.example"), Domain("sub.net.example")), "s1", "s2")
LATER = timedelta(seconds=CHECK_SECONDS + 1)


@pytest.fixture
def files(tmp_path: Path) -> DkimKeyFiles:
    return DkimKeyFiles(tmp_path)


def make_ring(files: DkimKeyFiles) -> tuple[Keyring, FakeClock, FakeLog]:
    clock, log = FakeClock(), FakeLog()
    return Keyring(PLAN, files, clock, log), clock, log


@pytest.mark.parametrize(
    ("domain", "signer"),
    [
        ("example.org", "example.org"),
        ("host.example.org", "example.org"),
        ("a.b.example.org", "example.org"),
        ("badexample.org", None),
        ("org", None),
        ("a.net.example", "net.example"),
        ("a.sub.net.example", "sub.net.example"),
    ],
)
def test_a_domain_signs_for_those_below_it(
    files: DkimKeyFiles, domain: str, signer: str | None
) -> None:
    """RFC 6376 §3.10; the nearest of ours."""
    assert make_ring(files)[0].find_domain(Domain(domain)) == signer


def test_keys_are_read_once_and_again_when_they_change(files: DkimKeyFiles) -> None:
    ring, clock, log = make_ring(files)
    assert ring.find(DOMAIN) == ()
    _, second = PLAN.list_current(DOMAIN)
    made = make_missing_key(files, second)
    assert made is not None
    assert ring.find(DOMAIN) == ()
    clock.move(LATER)
    (key,) = ring.find(DOMAIN)
    assert key.record == made.record
    clock.move(LATER)
    assert ring.find(DOMAIN)[0] is key
    files.find_path(DOMAIN, key.selector).unlink()
    clock.move(LATER)
    assert ring.find(DOMAIN) == ()
    assert log.lines == []


def test_a_key_of_no_use_is_told_once_and_the_other_signs(files: DkimKeyFiles) -> None:
    ring, clock, log = make_ring(files)
    first, second = PLAN.list_current(DOMAIN)
    files.add(DOMAIN, first.selector, b"nothing")
    make_missing_key(files, second)
    for _ in range(3):
        assert [key.selector for key in ring.find(DOMAIN)] == [second.selector]
        clock.move(LATER)
    (text,) = log.texts
    assert text.startswith("warning: DKIM: mail of example.org lacks a key: ")


def test_the_next_key_signs_nothing(files: DkimKeyFiles) -> None:
    ring, _, _ = make_ring(files)
    make_missing_key(files, PLAN.list_next(DOMAIN)[1])
    assert ring.find(DOMAIN) == ()
