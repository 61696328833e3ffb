"""RFC 9773, RFC 7671 §8.1: one certificate obtained, renewed, and given another key."""

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from datetime import timedelta
from hashlib import sha256
from typing import Any

import pytest
import pytest_asyncio
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from letterlock.base.clock import format_time
from letterlock.protocols.dns.answers import CaaRecord, Security, TlsaRecord
from letterlock.protocols.pki.certificate import Unreadable
from letterlock.services.certify import renewing, tending
from letterlock.services.certify.abandoning import abandon_rollover
from letterlock.services.certify.keeping import find_next_time
from letterlock.services.certify.left import KEPT_SECONDS
from letterlock.services.certify.overview import Wanted, list_problems, make_overview
from letterlock.services.certify.rollover import AFTER_SWITCH, LOOK_EVERY, PublishedTlsa
from letterlock.services.certify.tending import (
    LEASE,
    NOTHING_MORE,
    Wish,
    tend,
)
from letterlock.services.publish.records import make_tlsa
from letterlock.storage.certificates import CertificateLease, CertificateState, RollOverStage
from letterlock.storage.queue import StoreUnavailable
from letterlock.storage.sqlite.certificates import SqliteCertificates
from letterlock.storage.sqlite.node import NodeDatabase
from letterlock.storage.sqlite.watched import SqliteWatched
from letterlock.storage.watched import REMEMBERED, Look, Watched, WatchFinding
from tests.acme_server import refuse, respond
from tests.fakes import START
from tests.services.certify.scene import ID, NAME, TTL, FakeZone, Scene, making_scene

OTHER_KEY = make_tlsa(b"x" * 32)
RENEW = Wish(renew=True)
ROLL_OVER = Wish(roll_over=True)


@pytest_asyncio.fixture
async def scene() -> AsyncIterator[Scene]:
    async with making_scene() as made:
        yield made


async def test_a_first_certificate_is_kept_with_its_key(scene: Scene) -> None:
    facts = await scene.obtain()
    pair = await scene.store.load_pair(ID)
    assert pair is not None
    leaf = x509.load_pem_x509_certificates(pair.chain)[0]
    assert load_pem_private_key(pair.key, None).public_key() == leaf.public_key()
    assert facts.names == (NAME,)
    assert [each.serial for each in await scene.issued.list_issued()] == [facts.serial]
    assert scene.said(f"{NAME} (ECDSA): new certificate from CN=Root, valid until 2026-05-30")


async def test_the_time_of_renewal_is_drawn_in_the_authoritys_window_and_kept(scene: Scene) -> None:
    """RFC 9773 §4.2."""
    scene.server.directory["renewalInfo"] = "https://ca.example/renewal-info"
    await scene.obtain()
    plan = (await scene.tend()).plan
    assert plan is not None
    assert plan.window is not None
    assert plan.moment == plan.window.start + timedelta(days=1)
    scene.clock.move(timedelta(days=1))
    tools = dataclasses.replace(scene.tools(), chance=lambda: 0.9)
    state = await tend(tools, ID)
    assert state is not None
    assert state.plan is not None
    assert state.plan.moment == plan.moment


async def test_a_window_in_the_past_renews_at_once_and_shows_why(scene: Scene) -> None:
    """RFC 9773 §4.2: the authority is about to revoke."""
    scene.server.directory["renewalInfo"] = "https://ca.example/renewal-info"
    before = await scene.obtain()
    window = {"start": "2026-03-01T00:00:00Z", "end": "2026-03-01T01:00:00Z"}
    notice = {"suggestedWindow": window, "explanationURL": "https://ca.example/incident"}
    scene.clock.move(timedelta(days=20))
    scene.server.replies["renewal-info"] = [respond(200, notice, retry_after="3600")]
    state = await scene.tend()
    assert state.facts is not None
    assert state.facts.serial != before.serial
    assert scene.said("see https://ca.example/incident")
    (order,) = scene.server.paths("new-order")[1:]
    assert order["replaces"]


async def test_renewal_keeps_the_key(scene: Scene) -> None:
    before = await scene.obtain()
    scene.clock.move(timedelta(days=62))
    after = await scene.tend()
    assert after.facts is not None
    assert after.facts.serial != before.serial
    assert after.facts.spki_sha256 == before.spki_sha256


async def test_nothing_is_done_before_it_is_due(scene: Scene) -> None:
    await scene.obtain()
    scene.clock.move(timedelta(days=50))
    asked = len(scene.server.seen)
    await scene.tend()
    assert len(scene.server.paths("new-order")) == 1
    assert all(path == "/directory" for path, _ in scene.server.seen[asked:])


async def test_what_fails_is_counted_and_tried_again_later(scene: Scene) -> None:
    scene.server.replies["new-order"] = [refuse("rejectedIdentifier")]
    state = await scene.tend()
    assert state.facts is None
    (trouble,) = state.troubles
    assert trouble.count == 1
    assert trouble.not_before > START
    assert scene.said("no certificate from https://ca.example/directory: ca.example: ")
    assert find_next_time(state, scene.directories, 2, START) == trouble.not_before
    await scene.tend()
    assert len(scene.server.paths("new-order")) == 1
    scene.clock.move(timedelta(minutes=2))
    assert (await scene.tend()).facts is not None


async def test_a_key_that_is_refused_leads_to_a_roll_over(scene: Scene) -> None:
    """A renewal keeps the key, so it would be refused for ever."""
    await scene.obtain()
    scene.server.replies["finalize"] = [refuse("badPublicKey", 400)]
    state = await scene.tend(RENEW)
    assert state.troubles[0].reason.endswith("another key is needed: letterlock cert rollover")
    scene.clock.move(timedelta(minutes=2))
    assert (await scene.tend(ROLL_OVER)).troubles == ()


async def test_the_operator_need_not_wait(scene: Scene) -> None:
    scene.server.replies["new-order"] = [refuse("rejectedIdentifier")]
    await scene.tend()
    assert (await scene.tend(RENEW)).facts is not None


async def test_a_wish_that_failed_is_tried_when_it_is_due_and_no_problem_until_then(
    scene: Scene,
) -> None:
    """`cert renew` tells of it; it would be told of for months else, as if the node had failed."""
    await scene.obtain()
    scene.server.replies["new-order"] = [refuse("rejectedIdentifier")] * 2
    state = await scene.tend(RENEW)
    (trouble,) = state.troubles
    wanted = Wanted((ID,), scene.directories, 5, is_dns_ours=True)
    now = scene.clock.now()
    overview = make_overview(state, wanted, now)
    assert list_problems(overview, now) == []
    assert scene.said(f"next try at {format_time(overview.renewal.at)}")
    # When it is due and fails again, it is one.
    scene.clock.move(overview.renewal.at - now)
    state = await scene.tend()
    now = scene.clock.now()
    (problem,) = list_problems(make_overview(state, wanted, now), now)
    assert problem.startswith("failed 2 times in a row: ")
    assert state.troubles[0].not_before > trouble.not_before


async def test_an_order_of_a_roll_over_that_failed_is_a_problem(scene: Scene) -> None:
    await scene.obtain()
    scene.server.replies["new-order"] = [refuse("rejectedIdentifier")]
    state = await scene.tend(ROLL_OVER)
    assert state.rollover is not None
    now = scene.clock.now()
    wanted = Wanted((ID,), scene.directories, 5, is_dns_ours=True)
    problems = list_problems(make_overview(state, wanted, now), now)
    assert [each.partition(": ")[0] for each in problems] == ["failed once"]


async def test_another_authority_takes_over(scene: Scene) -> None:
    scene.directories.append("https://ca.example/directory?other")
    scene.server.replies["new-order"] = [refuse("serverInternal", 500)] * 9
    for _ in range(2):
        assert (await scene.tend()).facts is None
        scene.clock.move(timedelta(hours=1))
    facts = await scene.obtain()
    assert facts.directory == "https://ca.example/directory?other"
    scene.clock.move(timedelta(days=62))
    scene.server.replies["new-order"] = []
    after = await scene.tend()
    assert after.facts is not None
    assert after.facts.directory == "https://ca.example/directory"
    assert "replaces" not in scene.server.paths("new-order")[-1]


async def test_an_account_that_the_authority_lost_is_opened_again(scene: Scene) -> None:
    await scene.obtain()
    scene.server.replies["new-order"] = [refuse("accountDoesNotExist", 400)]
    assert (await scene.tend(RENEW)).troubles
    assert not (await scene.tend(RENEW)).troubles
    assert len(scene.server.paths("new-account")) == 2


class _FullStore(SqliteCertificates):
    """One whose disk has room for leases, and for nothing bigger."""

    async def keep(self, *args: Any, **named: Any) -> bool:
        if named.get("pair") is not None or named.get("next_pair") is not None:
            raise StoreUnavailable("the disk is full", is_full=True)
        return await super().keep(*args, **named)


@pytest.mark.parametrize("wish", [NOTHING_MORE, RENEW, ROLL_OVER])
async def test_a_certificate_that_could_not_be_kept_is_not_ordered_again(
    scene: Scene, wish: Wish
) -> None:
    """Authorities give few of the same in a week: those were gone in minutes."""
    if wish is not NOTHING_MORE:
        await scene.obtain()
    ordered = len(scene.server.paths("new-order"))
    for _ in range(5):
        with pytest.raises(StoreUnavailable):
            await tend(scene.tools(_FullStore(scene.database)), ID, wish)
        scene.clock.move(timedelta(seconds=30))
    before = (await scene.store.load(ID)) or CertificateState(ID)
    state = await scene.tend(wish)
    assert state.facts is not None
    assert state.facts != before.facts
    assert len(scene.server.paths("new-order")) == ordered + 1
    scene.clock.move(timedelta(minutes=1))
    await scene.tend(RENEW)
    assert len(scene.server.paths("new-order")) == ordered + 2


async def test_one_that_is_not_valid_yet_waits_while_the_one_before_is_good(scene: Scene) -> None:
    """The authority's clock is ahead: who verifies would refuse the new one for three hours."""
    before = await scene.obtain()
    scene.clock.move(timedelta(days=62))
    scene.server.now = lambda: scene.clock.now() + timedelta(hours=3)
    state = await scene.tend(RENEW)
    assert state.facts == before
    assert "not used yet: it is not valid before 2026-05-02T15:00:" in state.troubles[0].reason
    scene.clock.move(timedelta(hours=3))
    assert (await scene.tend(RENEW)).facts != before
    assert len(scene.server.paths("new-order")) == 2


async def test_one_that_is_not_valid_yet_is_better_than_none(scene: Scene) -> None:
    scene.server.now = lambda: scene.clock.now() + timedelta(days=2)
    before = await scene.obtain()
    scene.clock.set_wall(before.not_after - timedelta(days=1))
    assert (await scene.tend(RENEW)).facts != before


async def test_an_order_that_takes_long_is_gone_on_with(scene: Scene) -> None:
    """RFC 8555 §7.4: it may be `processing` for hours, where people approve of it."""
    scene.server.edits["order"] = {"status": "processing"}
    scene.server.edits["finalize"] = {"status": "processing"}
    for _ in range(3):
        state = await scene.tend(RENEW)
        assert state.facts is None
        assert "the order: nothing came of it within" in state.troubles[0].reason
    scene.server.edits.clear()
    assert (await scene.tend(RENEW)).facts is not None
    assert len(scene.server.paths("new-order")) == 1
    assert len(scene.server.paths("finalize")) == 1


async def test_an_order_that_led_to_nothing_is_not_gone_on_with(scene: Scene) -> None:
    scene.server.edits["order"] = {"status": "processing"}
    scene.server.edits["finalize"] = {"status": "processing"}
    await scene.tend(RENEW)
    scene.server.edits = {"order": {"status": "invalid"}}
    await scene.tend(RENEW)
    scene.server.edits.clear()
    assert (await scene.tend(RENEW)).facts is not None
    assert len(scene.server.paths("new-order")) == 3


async def test_another_authority_that_fails_ends_no_order_of_the_first(scene: Scene) -> None:
    scene.directories.append("https://ca.example/directory?other")
    scene.server.edits["order"] = {"status": "processing"}
    scene.server.edits["finalize"] = {"status": "processing"}
    for _ in range(2):
        await scene.tend(RENEW)
    scene.other.replies["new-order"] = [refuse("rejectedIdentifier")] * 2
    for _ in range(2):
        await scene.tend(RENEW)
        scene.clock.move(timedelta(minutes=3))
    scene.server.edits.clear()
    assert len(scene.other.paths("new-order")) == 2
    facts = (await scene.tend(RENEW)).facts
    assert facts is not None
    assert facts.directory == scene.directories[0]
    assert len(scene.server.paths("new-order")) == 1


async def test_an_order_of_yesterday_is_not_gone_on_with(scene: Scene) -> None:
    scene.server.edits["order"] = {"status": "processing"}
    scene.server.edits["finalize"] = {"status": "processing"}
    await scene.tend(RENEW)
    scene.server.edits.clear()
    scene.clock.move(timedelta(seconds=KEPT_SECONDS))
    assert (await scene.tend(RENEW)).facts is not None
    assert len(scene.server.paths("new-order")) == 2


async def test_two_processes_do_not_do_the_same(scene: Scene) -> None:
    lease = await scene.store.claim(ID, scene.clock.now(), scene.clock.now() + LEASE)
    assert lease is not None
    assert await tend(scene.tools(), ID) is None
    assert scene.server.seen == []
    scene.clock.move(LEASE + timedelta(seconds=1))
    assert (await scene.tend()).facts is not None


async def test_a_lease_is_kept_though_the_store_was_away_for_a_while(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And nothing is left behind that nobody heard of."""
    monkeypatch.setattr(tending, "EXTEND_SECONDS", 0.001)

    class Flaky(SqliteCertificates):
        async def keep(self, *args: Any, **named: Any) -> bool:
            if "until" not in named:
                return await super().keep(*args, **named)
            extensions.append(args[1])
            if len(extensions) == 3:
                enough.set()
            if len(extensions) == 1:
                raise StoreUnavailable("away")
            return await super().keep(*args, **named)

    class Waiting(FakeZone):
        async def look(self, name: str) -> PublishedTlsa:
            async with asyncio.timeout(60):
                await enough.wait()
            return await super().look(name)

    extensions: list[CertificateState] = []
    enough = asyncio.Event()
    scene.zone = Waiting()
    state = await tend(scene.tools(Flaky(scene.database)), ID)
    assert state is not None
    assert state.facts is not None


async def test_a_certificate_that_can_not_be_read_is_a_failure(scene: Scene) -> None:
    """RFC 5280 §4.1.2.2 and the like: what is odd is not used, and not ordered again at once."""
    unreadable = Unreadable("the serial number is not positive")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(renewing, "read_certificate", lambda _der: unreadable)
        state = await scene.tend()
    assert state.facts is None
    (trouble,) = state.troubles
    assert trouble.reason == "issued, and not used: the serial number is not positive"


# CAA


async def test_an_order_that_caa_forbids_is_not_placed(scene: Scene) -> None:
    """RFC 8659 §3: the line names the record, and the one to publish instead."""
    scene.server.meta = {"caaIdentities": ["ca.example"]}
    scene.resolver.set("example.org", "CAA", CaaRecord(0, b"issue", b"other.example"))
    state = await scene.tend()
    assert scene.server.paths("new-order") == []
    assert 'CAA 0 issue "other.example"' in state.troubles[0].reason
    assert "publish instead: " in state.troubles[0].reason


async def test_a_way_that_caa_forbids_is_not_tried(scene: Scene) -> None:
    """RFC 8657 §4."""
    scene.server.meta = {"caaIdentities": ["ca.example"]}
    value = b"ca.example; validationmethods=dns-01"
    scene.resolver.set("example.org", "CAA", CaaRecord(0, b"issue", value))
    await scene.obtain()
    assert scene.methods == [("dns-01",)]


async def test_a_lookup_that_failed_is_a_warning(scene: Scene) -> None:
    scene.server.meta = {"caaIdentities": ["ca.example"]}
    scene.resolver.set(NAME, "CAA", security=Security.FAILED)
    await scene.obtain()
    assert scene.said(f"warning: {NAME}")


# TLSA


async def test_a_first_key_waits_for_its_record(scene: Scene) -> None:
    """The name had another server's key: senders that go by DANE would not deliver."""
    scene.zone.records = {OTHER_KEY}
    scene.zone.is_ours_to_change = False
    state = await scene.tend()
    assert state.rollover is not None
    assert state.rollover.stage is RollOverStage.PUBLISHED
    assert scene.server.paths("new-order") == []
    scene.zone.records.add(make_tlsa(state.rollover.spki_sha256))
    assert (await scene.tend()).facts is None
    scene.clock.move(2 * TTL)
    state = await scene.tend()
    assert state.facts is not None
    assert state.rollover is None


async def test_no_chain_comes_into_use_that_no_record_matches(scene: Scene) -> None:
    """A record of the whole certificate, which every renewal changes (RFC 7671 §5.1)."""
    facts = await scene.obtain()
    before = await scene.store.load_pair(ID)
    scene.zone.records = {TlsaRecord(3, 0, 1, b"c" * 32)}
    state = await scene.tend(RENEW)
    assert state.facts == facts
    assert await scene.store.load_pair(ID) == before
    assert "issued, and not used: no TLSA record at _25._tcp.mx1" in state.troubles[0].reason


async def test_a_server_that_lags_behind_lets_no_certificate_end(scene: Scene) -> None:
    """Who asks it finds no record for the one in use either: it has the same key."""
    before = await scene.obtain()
    scene.zone.records = {make_tlsa(before.spki_sha256), OTHER_KEY}
    scene.zone.lagging = {OTHER_KEY}
    after = (await scene.tend(RENEW)).facts
    assert after is not None
    assert after.serial != before.serial
    assert scene.said("warning: used although no TLSA record at")
    scene.zone.records = {OTHER_KEY}
    assert (await scene.tend(RENEW)).facts == after


async def test_a_server_that_lags_behind_keeps_one_in_use_that_all_have(scene: Scene) -> None:
    """RFC 7672 §3.1: the record of a new certificate, not of its key, is not everywhere yet."""
    before = await scene.obtain()
    pair = await scene.store.load_pair(ID)
    assert pair is not None
    der = x509.load_pem_x509_certificates(pair.chain)[0].public_bytes(Encoding.DER)
    scene.zone.records = {TlsaRecord(3, 0, 1, sha256(der).digest()), make_tlsa(before.spki_sha256)}
    scene.zone.lagging = {TlsaRecord(3, 0, 1, sha256(der).digest())}
    assert (await scene.tend(RENEW)).facts == before


async def test_the_operator_can_say_so_all_the_same(scene: Scene) -> None:
    facts = await scene.obtain()
    scene.zone.records = {OTHER_KEY}
    state = await scene.tend(Wish(renew=True, is_forced=True))
    assert state.facts is not None
    assert state.facts.serial != facts.serial
    assert scene.said("warning: used although no TLSA record")


async def test_a_first_certificate_need_not_wait_for_its_record(scene: Scene) -> None:
    """Nor after the node has begun to wait; the key is the one whose record was asked for."""
    scene.zone.is_ours_to_change = False
    scene.zone.records = {OTHER_KEY}
    begun = (await scene.tend()).rollover
    assert begun is not None
    state = await scene.tend(Wish(renew=True, is_forced=True))
    assert state.facts is not None
    assert state.facts.spki_sha256 == begun.spki_sha256
    assert state.rollover is None
    assert scene.said("warning: used although no TLSA record")
    later = await scene.tend()
    assert (later.facts, later.rollover) == (state.facts, None)


async def test_unknown_records_are_no_leave(scene: Scene) -> None:
    """Nothing is ordered: what could not be used would count against the authority's limits."""
    await scene.obtain()
    scene.zone.fault = "ns1.example.org: timed out"
    state = await scene.tend(RENEW)
    assert "not ordered: not known whether TLSA records match: ns1" in state.troubles[0].reason
    assert len(scene.server.paths("new-order")) == 1
    await scene.tend(Wish(renew=True, is_forced=True))
    assert len(scene.server.paths("new-order")) == 2


async def _roll(scene: Scene, wish: Wish = NOTHING_MORE) -> CertificateState:
    """Let time pass until no roll-over goes on."""
    state = await scene.tend(wish)
    for _ in range(20):
        if state.rollover is None:
            return state
        scene.clock.move(TTL)
        state = await scene.tend()
    raise AssertionError(scene.log.texts)


async def test_a_key_is_changed_in_step_with_its_records(scene: Scene) -> None:
    old = await scene.obtain()
    scene.zone.records = {make_tlsa(old.spki_sha256)}
    state = await _roll(scene, ROLL_OVER)
    assert state.facts is not None
    new = state.facts.spki_sha256
    assert new != old.spki_sha256
    assert scene.zone.changes == [
        ("add", make_tlsa(new)),
        ("remove", make_tlsa(old.spki_sha256)),
    ]
    assert scene.clock.now() - START >= 2 * TTL + AFTER_SWITCH
    assert scene.said("key roll-over: done")


async def _switch(scene: Scene) -> CertificateState:
    """Change the key, as far as that it is in use."""
    old = await scene.obtain()
    scene.zone.records = {make_tlsa(old.spki_sha256)}
    await scene.tend(ROLL_OVER)
    scene.clock.move(2 * TTL)
    state = await scene.tend()
    assert state.rollover is not None
    assert state.rollover.stage is RollOverStage.SWITCHED
    scene.clock.move(AFTER_SWITCH)
    stored = await scene.store.load(ID)
    assert stored is not None
    return stored


@pytest.mark.parametrize("look", [Look.EXPORTED, Look.SERVED])
async def test_the_old_record_stays_while_a_node_may_show_its_key(scene: Scene, look: Look) -> None:
    """RFC 7671 §8.1: a hook that fails leaves another program with the key before."""
    state, watched = await _switch(scene), SqliteWatched(scene.database)
    now = scene.clock.now()
    finding = WatchFinding(look, now, "the hook failed")
    seen = Watched("mx2", ID, state.version, now, now, (finding,))
    await watched.note(seen)
    waiting = await scene.tend()
    assert len(scene.zone.records) == 2
    assert waiting.rollover is not None
    assert waiting.rollover.note.endswith("mx2: the hook failed")
    scene.clock.move(timedelta(hours=3))
    await watched.note(dataclasses.replace(seen, looked=scene.clock.now()))
    waiting = await scene.tend()
    wanted = Wanted((ID,), scene.directories, 5, is_dns_ours=True)
    (problem,) = list_problems(make_overview(waiting, wanted, scene.clock.now()), scene.clock.now())
    assert problem.startswith("key roll-over goes no further since")
    await watched.note(dataclasses.replace(seen, findings=(), looked=scene.clock.now()))
    scene.clock.move(LOOK_EVERY)
    assert (await scene.tend()).rollover is None
    assert len(scene.zone.records) == 1


async def test_the_old_record_waits_for_every_node_to_look(scene: Scene) -> None:
    state, watched = await _switch(scene), SqliteWatched(scene.database)
    now = scene.clock.now()
    await watched.note(Watched("mx1", ID, state.version, now, now))
    before = Watched("mx2", ID, state.version - 1, now - 2 * TTL, now)
    await watched.note(before)
    waiting = await scene.tend()
    assert waiting.rollover is not None
    assert f"mx2 has not looked since {format_time(now - 2 * TTL)}" in waiting.rollover.note
    scene.clock.move(REMEMBERED)  # it is gone
    assert (await scene.tend()).rollover is None


async def test_a_look_before_the_wait_is_over_does_not_end_it(scene: Scene) -> None:
    """RFC 7671 §8.1: the authority is to be asked, and a name server does not answer just then."""
    old = await scene.obtain()
    scene.zone.records = {make_tlsa(old.spki_sha256)}
    await scene.tend(ROLL_OVER)
    scene.clock.move(TTL)
    scene.zone.doubt = "ns2.example.org: timed out"
    await scene.tend()
    scene.zone.doubt = ""
    scene.clock.move(TTL - timedelta(seconds=1))
    state = await scene.tend()
    assert state.facts == old
    scene.clock.move(timedelta(seconds=1))
    state = await scene.tend()
    assert state.facts != old


async def test_the_wait_is_of_the_longest_ttl_that_was_seen(scene: Scene) -> None:
    """RFC 7671 §8.1: what caches have from before stays for its own TTL."""
    old = await scene.obtain()
    scene.zone.records = {make_tlsa(old.spki_sha256)}
    scene.zone.ttl = timedelta(days=1)
    scene.zone.is_ours_to_change = False
    await scene.tend(ROLL_OVER)
    scene.zone.ttl = TTL  # a server gave all of them that of the last change
    state = await scene.store.load(ID)
    assert state is not None
    assert state.rollover is not None
    scene.zone.records.add(make_tlsa(state.rollover.spki_sha256))
    scene.clock.move(LOOK_EVERY)
    await scene.tend()
    scene.clock.move(timedelta(days=2) - timedelta(seconds=1))
    assert (await scene.tend()).facts == old
    scene.clock.move(timedelta(seconds=1))
    assert (await scene.tend()).facts != old


async def test_a_record_put_in_the_place_of_another_is_a_problem_at_once(scene: Scene) -> None:
    old = await scene.obtain()
    scene.zone.records = {make_tlsa(old.spki_sha256)}
    scene.zone.is_ours_to_change = False
    rollover = (await scene.tend(ROLL_OVER)).rollover
    assert rollover is not None
    scene.zone.records = {make_tlsa(rollover.spki_sha256)}
    scene.clock.move(LOOK_EVERY)
    state, now = await scene.tend(), scene.clock.now()
    overview = make_overview(state, Wanted((ID,), scene.directories, 5, is_dns_ours=False), now)
    (problem,) = list_problems(overview, now)
    assert problem.startswith("key roll-over: senders that go by DANE do not deliver, for the")


async def test_records_that_we_add_get_the_ttl_that_is_there(scene: Scene) -> None:
    """RFC 2181 §5.2."""
    old = await scene.obtain()
    scene.zone.records = {make_tlsa(old.spki_sha256)}
    scene.zone.ttl = timedelta(days=1)
    await scene.tend(ROLL_OVER)
    assert scene.zone.added_ttls == [timedelta(days=1)]


async def test_without_records_a_key_is_changed_at_once(scene: Scene) -> None:
    old = await scene.obtain()
    state = await scene.tend(ROLL_OVER)
    assert state.facts is not None
    assert state.facts.spki_sha256 != old.spki_sha256


async def test_a_key_that_another_process_has_changed_is_not_changed_again(scene: Scene) -> None:
    """Two nodes find the same key old; the second has its turn when the first is done."""
    first = await scene.obtain()
    scheduled = Wish(roll_over=True, key=first.spki_sha256)
    changed = (await _roll(scene, scheduled)).facts
    assert changed is not None
    assert changed.spki_sha256 != first.spki_sha256
    assert (await _roll(scene, scheduled)).facts == changed


async def test_a_roll_over_that_waits_after_a_failure_says_so(scene: Scene) -> None:
    await scene.obtain()
    scene.server.replies["new-order"] = [refuse("serverInternal", 500)] * 2
    await scene.tend(RENEW)
    state = await scene.tend(ROLL_OVER)
    assert state.rollover is not None
    assert state.rollover.note.startswith("no authority is asked before 2026-")


async def test_a_refused_change_is_told_and_tried_again(scene: Scene) -> None:
    old = await scene.obtain()
    scene.zone.records = {make_tlsa(old.spki_sha256)}
    scene.zone.refusal = "ns1.example.org: REFUSED"
    state = await scene.tend(ROLL_OVER)
    assert state.rollover is not None
    assert state.rollover.stage is RollOverStage.KEY_MADE
    assert scene.said("key roll-over: ns1.example.org: REFUSED")
    scene.zone.refusal = None
    assert (await _roll(scene)).rollover is None


async def test_a_renewal_does_not_wait_for_a_roll_over(scene: Scene) -> None:
    old = await scene.obtain()
    scene.zone.records = {make_tlsa(old.spki_sha256)}
    scene.zone.is_ours_to_change = False
    await scene.tend(ROLL_OVER)
    scene.clock.move(timedelta(days=62))
    state = await scene.tend()
    assert state.facts is not None
    assert state.facts.serial != old.serial
    assert state.facts.spki_sha256 == old.spki_sha256
    assert state.rollover is not None


async def test_a_roll_over_can_be_given_up_until_the_new_key_is_in_use(scene: Scene) -> None:
    old = await scene.obtain()
    scene.zone.records = {make_tlsa(old.spki_sha256)}
    assert await abandon_rollover(scene.tools(), ID) == "no roll-over goes on"
    await scene.tend(ROLL_OVER)
    assert len(scene.zone.records) == 2
    assert await abandon_rollover(scene.tools(), ID) is None
    state = await scene.store.load(ID)
    assert state is not None
    assert state.rollover is None
    assert scene.zone.records == {make_tlsa(old.spki_sha256)}
    await scene.tend(ROLL_OVER)
    scene.clock.move(2 * TTL)
    state = await scene.tend()
    assert state.rollover is not None
    assert state.rollover.stage is RollOverStage.SWITCHED
    fault = await abandon_rollover(scene.tools(), ID)
    assert fault is not None
    assert "in use already" in fault


class _Killed(Exception):  # noqa: N818 - not an error: the process is no more
    """As if the process had ended there."""


class _DyingStore(SqliteCertificates):
    """A store whose process is killed at its nth change, before or after the commit."""

    def __init__(self, database: NodeDatabase, lives: int, *, is_kept: bool) -> None:
        super().__init__(database)
        self._lives = lives
        self._is_kept = is_kept

    async def keep(self, *args: Any, **named: Any) -> bool:
        self._lives -= 1
        if self._lives == 0 and not self._is_kept:
            raise _Killed
        kept = await super().keep(*args, **named)
        if self._lives == 0:
            raise _Killed
        return kept

    async def release(self, lease: CertificateLease) -> bool:
        del lease
        raise _Killed  # nobody does anything after a kill


@pytest.mark.parametrize("is_kept", [True, False], ids=["after", "before"])
@pytest.mark.parametrize("lives", range(1, 9))
async def test_a_kill_between_any_two_steps_resumes_at_the_right_one(
    scene: Scene, lives: int, is_kept: bool
) -> None:
    old = await scene.obtain()
    scene.zone.records = {make_tlsa(old.spki_sha256)}
    in_use = {old.spki_sha256}
    dying = _DyingStore(scene.database, lives, is_kept=is_kept)
    wish = ROLL_OVER
    for _ in range(30):
        state = await scene.store.load(ID)
        assert state is not None
        assert state.facts is not None
        in_use.add(state.facts.spki_sha256)
        # Whoever asks now finds the key in use, and the pair that is kept is that key's.
        assert make_tlsa(state.facts.spki_sha256) in scene.zone.records
        pair = await scene.store.load_pair(ID)
        assert pair is not None
        leaf = x509.load_pem_x509_certificates(pair.chain)[0]
        assert f"{leaf.serial_number:x}" == state.facts.serial
        begun = state.rollover is not None or len(in_use) > 1
        if begun and state.rollover is None:
            break
        try:
            await tend(scene.tools(dying), ID, Wish() if begun else wish)
        except _Killed:
            dying = _DyingStore(scene.database, 0, is_kept=True)
        scene.clock.move(TTL)
    else:
        raise AssertionError(scene.log.texts)
    assert len(in_use) == 2
    assert scene.zone.records == {make_tlsa(state.facts.spki_sha256)}


async def test_a_store_that_is_away_is_the_callers_to_handle(scene: Scene) -> None:
    class Away(SqliteCertificates):
        async def keep(self, *args: Any, **named: Any) -> bool:
            del args, named
            raise StoreUnavailable("disk full")

    away = Away(scene.database)
    with pytest.raises(StoreUnavailable):
        await tend(scene.tools(away), ID)
    assert (await scene.tend()).facts is not None
