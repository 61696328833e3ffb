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


def test_keys_that_are_missing_are_made_for_the_first_message(files: DkimKeyFiles) -> None:
    """What begins with a node: no message goes unsigned until all keys are made."""
    ring, clock, log = make_ring(files)
    keys = ring.find(DOMAIN)
    assert [key.selector for key in keys] == ["s1", "s1-ed25519"]
    assert [key.record in text for key, text in zip(keys, log.texts, strict=True)] == [True, True]
    clock.move(LATER)
    assert ring.find(DOMAIN) is keys
    assert [key.record for key in make_ring(files)[0].find(DOMAIN)] == [key.record for key in keys]


def test_keys_are_read_once_and_again_when_they_change(files: DkimKeyFiles) -> None:
    ring, clock, log = make_ring(files)
    for which in PLAN.list_current(DOMAIN):
        make_missing_key(files, which)
    keys = ring.find(DOMAIN)
    clock.move(LATER)
    assert ring.find(DOMAIN) is keys
    _, second = PLAN.list_current(DOMAIN)
    path = files.find_path(DOMAIN, second.selector)
    path.unlink()
    made = make_missing_key(files, second)
    assert made is not None
    assert ring.find(DOMAIN) is keys
    clock.move(LATER)
    assert ring.find(DOMAIN)[1].record == made.record
    path.unlink()
    clock.move(LATER)
    assert [key.selector for key in ring.find(DOMAIN)] == ["s1"]
    assert not path.exists()
    assert log.lines == []


def test_keys_that_cannot_be_made_are_told_once_and_mail_goes_unsigned(tmp_path: Path) -> None:
    (tmp_path / "dkim").write_text("no folder")
    ring, clock, log = make_ring(DkimKeyFiles(tmp_path / "dkim"))
    for _ in range(3):
        assert ring.find(DOMAIN) == ()
        clock.move(LATER)
    (text,) = [each for each in log.texts if "none can be made" in each]
    assert text.startswith("warning: DKIM: mail of example.org lacks a key, and none can be made: ")


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
    assert [key.selector for key in ring.find(DOMAIN)] == ["s1", "s1-ed25519"]
