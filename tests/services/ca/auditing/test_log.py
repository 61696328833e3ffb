"""The audit of the log itself: each record is as it was written, and its head is signed."""

from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from pathlib import Path

import apsw
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from letterlock.protocols.audit.heads import SignedHead, is_signed, parse_head, sign_head
from letterlock.protocols.audit.records import AuditEntry, Head
from letterlock.protocols.pki.issuance.signing import (
    AuthorityKey,
    KeySigner,
    KeyUnavailable,
    Signer,
)
from letterlock.services.ca.auditing.alarms import Alarm, AlarmRules
from letterlock.services.ca.auditing.log import NAME, SIGN_EVERY, LogAudit, Verified, verify_log
from letterlock.storage.ca.audits import AddHead, AuditProgress
from letterlock.storage.sqlite.ca.store import SqliteAuthority
from tests.audit_entries import DECISIONS
from tests.fakes import FakeClock, FakeLog
from tests.services.ca.auditing.archive import ROUND, FakeSend

KEY = ec.generate_private_key(ec.SECP256R1())
SIGNER = KeySigner(KEY)
KEYS: tuple[AuthorityKey, ...] = (KEY.public_key(),)
MINUTE = timedelta(minutes=1)


class Scene:
    def __init__(self, path: Path, clock: FakeClock, store: SqliteAuthority) -> None:
        self.path = path
        self.clock = clock
        self.store = store
        self.log = FakeLog()
        self.mail = FakeSend()

    async def write(self, count: int) -> None:
        entries = [
            AuditEntry(self.clock.now(), DECISIONS[number % len(DECISIONS)])
            for number in range(count)
        ]
        assert await self.store.commit((), entries)

    def audit(self, signer: Signer = SIGNER, *, halts: bool = False) -> LogAudit:
        alarm = Alarm(self.store, AlarmRules(halts), self.clock, self.log, self.mail)
        return LogAudit(self.store, signer, alarm, self.clock, self.log, rounds=ROUND)

    def edit(self, *statements: str) -> None:
        """Change the file as somebody would who may do all."""
        connection = apsw.Connection(str(self.path))
        for trigger in ("audit_is_not_changed", "audit_is_not_shortened"):
            connection.execute(f"DROP TRIGGER IF EXISTS {trigger}")
        for each in statements:
            connection.execute(each)
        connection.close()

    async def verify(self) -> Verified:
        """Verify all, with one key."""
        *_, last = [each async for each in verify_log(self.store, KEYS)]
        return last


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    clock, path = FakeClock(), tmp_path / "authority.db"
    store = SqliteAuthority(path, clock)
    await store.open()
    yield Scene(path, clock, store)
    await store.close()


async def test_a_log_as_it_was_written_is_good_and_its_head_is_signed(scene: Scene) -> None:
    await scene.write(20)
    due = await scene.audit().step()
    assert due == scene.clock.now() + MINUTE
    signed = await scene.store.load_last_signed_head()
    assert signed is not None
    assert is_signed(signed, KEY.public_key())
    assert signed.head == await scene.store.load_head()
    (line,) = scene.log.texts
    assert parse_head(line.partition("signed: ")[2].encode()) == signed
    progress = await scene.store.load_progress(NAME)
    assert (progress.position, progress.checked, progress.faulty) == (20, 20, 0)
    assert await scene.verify() == Verified(signed.head, (), 1)


async def test_the_head_is_signed_once_an_hour_where_something_came(scene: Scene) -> None:
    await scene.audit().step()
    assert await scene.store.load_last_signed_head() is None
    signed = []
    for write, wait in ((1, MINUTE), (1, MINUTE), (1, SIGN_EVERY), (0, SIGN_EVERY)):
        if write:
            await scene.write(write)
        scene.clock.move(wait)
        await scene.audit().step()
        last = await scene.store.load_last_signed_head()
        assert last is not None
        signed.append(last.head.number)
    assert signed == [1, 1, 3, 3]


EDITS: dict[str, Sequence[str]] = {
    "changed": ["UPDATE audit SET document = replace(document, 'a', 'b') WHERE number = 7"],
    "removed": ["DELETE FROM audit WHERE number = 7"],
    "swapped": [
        "UPDATE audit SET number = -1 WHERE number = 7",
        "UPDATE audit SET number = 7 WHERE number = 8",
        "UPDATE audit SET number = 8 WHERE number = -1",
    ],
    "its moment changed": ["UPDATE audit SET moment = moment + 1 WHERE number = 7"],
}


@pytest.mark.parametrize("edit", EDITS)
async def test_an_edit_is_found_in_the_next_round(scene: Scene, edit: str) -> None:
    await scene.write(20)
    await scene.audit().step()
    scene.edit(*EDITS[edit])
    assert (await scene.verify()).breaks[0].number == 7
    scene.clock.move(MINUTE)
    await scene.audit().step()
    assert scene.mail.sent == []
    scene.clock.move(ROUND)
    await scene.audit(halts=True).step()
    alarms = [each for each in scene.log.texts if each.startswith("alarm")]
    assert alarms[0].startswith("alarm: audit: the log: record 7: ")
    assert len(scene.mail.sent) == 1
    assert (await scene.store.load_halt()).is_halted
    for _ in range(3):
        scene.clock.move(MINUTE)
        await scene.audit().step()
    assert len(scene.mail.sent) == 1


async def test_a_log_that_is_cut_off_is_found_at_once(scene: Scene) -> None:
    await scene.write(20)
    await scene.audit().step()
    scene.edit("DELETE FROM audit WHERE number > 15")
    (found,) = (await scene.verify()).breaks
    assert str(found) == "record 16: it is missing, and all up to 20: the log was cut off"
    scene.clock.move(MINUTE)
    await scene.audit().step()
    ((_, lines),) = scene.mail.sent
    assert lines == [f"the log: {found}"]


async def test_cut_off_with_its_signed_heads_it_is_found_by_a_copy(scene: Scene) -> None:
    await scene.write(20)
    await scene.audit().step()
    copy = await scene.store.load_last_signed_head()
    assert copy is not None
    scene.edit(
        "DELETE FROM audit WHERE number > 15",
        "DELETE FROM audit_heads",
        "DELETE FROM audit_progress",
    )
    assert (await scene.verify()).breaks == ()
    *_, last = [each async for each in verify_log(scene.store, KEYS, [copy])]
    assert [each.number for each in last.breaks] == [16]


async def test_a_head_of_another_key_is_not_believed(scene: Scene) -> None:
    await scene.write(5)
    other = KeySigner(ec.generate_private_key(ec.SECP256R1()))
    forged = sign_head(Head(3, bytes(32)), scene.clock.now(), other)
    assert await scene.store.commit([AddHead(forged)])
    found = await scene.verify()
    assert (found.breaks, found.unsigned, found.signed) == ((), (3,), 0)


async def test_of_two_heads_the_copy_stands(scene: Scene) -> None:
    await scene.write(5)
    forged = sign_head(Head(3, bytes(32)), scene.clock.now(), SIGNER)
    *_, last = [each async for each in verify_log(scene.store, KEYS, [forged])]
    assert [each.number for each in last.breaks] == [3]


async def test_a_head_that_is_given_is_verified_once(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    await scene.write(5)
    other = KeySigner(ec.generate_private_key(ec.SECP256R1()))
    head, now = await scene.store.load_head(), scene.clock.now()
    kept = [sign_head(head, now, other), sign_head(head, now, SIGNER)]
    verified: list[SignedHead] = []

    def count(signed: SignedHead, key: AuthorityKey) -> bool:
        verified.append(signed)
        return is_signed(signed, key)

    monkeypatch.setattr("letterlock.services.ca.auditing.log.is_signed", count)
    *_, last = [each async for each in verify_log(scene.store, KEYS, kept)]
    assert (last.unsigned, last.unsigned_kept, last.signed) == ((5,), 1, 1)
    assert verified == kept


async def test_a_long_log_is_verified_in_steps(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("letterlock.services.ca.auditing.log.PAGE", 4)
    monkeypatch.setattr("letterlock.services.ca.auditing.log.STEP_PAGE", 4)
    monkeypatch.setattr("letterlock.services.ca.auditing.log.MAX_PAGES", 2)
    await scene.write(18)
    positions, due = [], scene.clock.now()
    for _ in range(3):
        due = await scene.audit().step()
        positions.append((await scene.store.load_progress(NAME)).position)
    assert positions == [8, 16, 18]
    assert due > scene.clock.now()
    assert [each.head.number async for each in verify_log(scene.store, KEYS)] == [
        *(4, 8, 12, 16, 18, 18)
    ]


class Hanging:
    """A token that is away."""

    public_key = KEY.public_key()

    def sign(self, octets: bytes) -> bytes:
        raise KeyUnavailable(f"the token is away: {len(octets)} octets")


async def test_a_key_that_is_away_signs_later(scene: Scene) -> None:
    await scene.write(2)
    await scene.audit(Hanging()).step()
    (line,) = scene.log.texts
    assert line.startswith("warning: the audit log's head is not signed: the token is away")
    await scene.audit().step()
    assert await scene.store.load_last_signed_head() is not None


async def test_of_two_that_verify_at_a_time_one_goes_on(scene: Scene) -> None:
    await scene.write(2)
    one = scene.audit()
    load, asked = scene.store.load_progress, [0]

    async def race(name: str) -> AuditProgress:
        found = await load(name)
        asked[0] += 1
        if asked[0] == 2:
            await scene.audit().step()
        return found

    scene.store.load_progress = race  # type: ignore[method-assign]
    await one.step()
    assert (await load(NAME)).checked == 2
