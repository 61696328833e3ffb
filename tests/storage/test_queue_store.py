"""What every engine must do: one suite, run on each."""

import asyncio
import os
import tracemalloc
from datetime import timedelta

import pytest
from msgspec.structs import replace

from letterlock.protocols.smtp.envelope import BodyType, Notify, Ret
from letterlock.storage.queue import (
    SPILL_BYTES,
    AttemptRecord,
    BodyGone,
    QueueId,
    RecipientResult,
    RecipientState,
    Settlement,
    StoreUnavailable,
)
from tests.storage.messages import CONTENT, LEASE, LIFETIME, Mail, addresses

MINUTE = timedelta(minutes=1)


class TestSaving:
    async def test_a_claim_has_all_that_was_saved(self, mail: Mail) -> None:
        queue_id = await mail.save("example.com")
        claim = await mail.claim_one()
        assert claim.queue_id == queue_id
        assert claim.destination == "example.com"
        assert claim.sender == "alice@example.org"
        assert claim.lease_until == mail.now + LEASE
        assert (claim.body_type, claim.smtputf8) == (BodyType.EIGHT_BIT, True)
        assert (claim.ret, claim.envid) == (Ret.HEADERS, "e+20")
        assert (claim.received, claim.expires) == (mail.now, mail.now + LIFETIME)
        assert claim.size == len(CONTENT)
        (recipient,) = claim.recipients
        assert recipient.recipient.address == "user0@example.com"
        assert recipient.recipient.notify == {Notify.DELAY, Notify.FAILURE}
        assert (recipient.number, recipient.attempts) == (0, 0)
        assert not recipient.is_delay_notified

    async def test_an_id_is_saved_once(self, mail: Mail) -> None:
        message = await mail.message()
        await mail.store.save(message)
        with pytest.raises(ValueError, match="already"):
            await mail.store.save(message)
        assert (await mail.store.count())["messages"] == 1

    async def test_a_save_that_fails_takes_no_other_with_it(self, mail: Mail) -> None:
        known = await mail.message()
        await mail.store.save(known)
        fresh = [await mail.message() for _ in range(20)]
        ended = await asyncio.gather(
            *(mail.store.save(each) for each in [*fresh[:10], known, *fresh[10:]]),
            return_exceptions=True,
        )
        assert [type(each) for each in ended if each is not None] == [ValueError]
        assert (await mail.store.count())["messages"] == 21

    async def test_a_save_whose_caller_left_is_whole_or_absent(self, mail: Mail) -> None:
        message = await mail.message(content=b"x" * (SPILL_BYTES + 1))
        saving = asyncio.ensure_future(mail.store.save(message))
        await asyncio.sleep(0)
        saving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await saving
        await mail.save("other.example")
        for claim in await mail.claim():
            assert await mail.read(claim.queue_id)

    async def test_closed_is_unavailable(self, mail: Mail) -> None:
        message = await mail.message()
        await mail.store.close()
        with pytest.raises(StoreUnavailable):
            await mail.store.save(message)
        with pytest.raises(StoreUnavailable):
            await mail.store.count()
        with pytest.raises(StoreUnavailable):
            mail.store.write_body()


class TestBodies:
    @pytest.mark.parametrize("size", [0, 1, SPILL_BYTES, SPILL_BYTES + 1, 3 * SPILL_BYTES + 17])
    async def test_every_octet_comes_back(self, mail: Mail, size: int) -> None:
        content = os.urandom(size)
        queue_id = await mail.save(content=content)
        assert await mail.read(queue_id) == content
        assert (await mail.claim_one()).size == size

    async def test_the_splits_of_writing_do_not_matter(self, mail: Mail) -> None:
        content = os.urandom(SPILL_BYTES + 1000)
        for piece in (997, SPILL_BYTES, SPILL_BYTES + 1, len(content)):
            message = await mail.message()
            body = await mail.body(content, piece)
            await mail.store.save(replace(message, body=body))
            assert await mail.read(message.queue_id) == content

    async def test_a_large_body_is_never_whole_in_memory(self, mail: Mail) -> None:
        piece = os.urandom(64 * 1024)
        message = await mail.message()
        tracemalloc.start()
        try:
            writer = mail.store.write_body()
            for _ in range(160):
                wait = writer.write(piece)
                if wait is not None:
                    await wait
            await mail.store.save(replace(message, body=await writer.finish()))
            size = 0
            async for read in mail.store.read_body(message.queue_id):
                assert len(read) <= SPILL_BYTES
                size += len(read)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert size == 160 * len(piece)
        assert peak < 8 * SPILL_BYTES

    @pytest.mark.parametrize("size", [2000, SPILL_BYTES, SPILL_BYTES + 1, 3 * SPILL_BYTES])
    @pytest.mark.parametrize("offset", [0, 999, 1700])
    async def test_what_stands_first_can_be_written_last(
        self, mail: Mail, size: int, offset: int
    ) -> None:
        content, top = os.urandom(size), os.urandom(300)
        message = await mail.message()
        writer = mail.store.write_body()
        for start in range(0, size, 70_000):
            if (waiting := writer.write(content[start : start + 70_000])) is not None:
                await waiting
        await writer.rewrite(offset, top)
        await mail.store.save(replace(message, body=await writer.finish()))
        kept = content[:offset] + top + content[offset + len(top) :]
        assert await mail.read(message.queue_id) == kept

    @pytest.mark.parametrize("size", [100, SPILL_BYTES + 200])
    async def test_only_the_beginning_can_be_rewritten(self, mail: Mail, size: int) -> None:
        writer = mail.store.write_body()
        if (waiting := writer.write(b"x" * size)) is not None:
            await waiting
        for offset in (-1, min(size, SPILL_BYTES) - 1):
            with pytest.raises(ValueError, match="rewritten"):
                await writer.rewrite(offset, b"ab")
        writer.discard()

    async def test_what_is_not_there_is_gone(self, mail: Mail) -> None:
        with pytest.raises(BodyGone):
            await mail.read(QueueId("000000000000000"))

    @pytest.mark.parametrize("size", [10, SPILL_BYTES + 1])
    async def test_a_finished_message_has_no_body(self, mail: Mail, size: int) -> None:
        queue_id = await mail.save(content=b"x" * size)
        await mail.deliver(await mail.claim_one())
        with pytest.raises(BodyGone):
            await mail.read(queue_id)

    @pytest.mark.parametrize("size", [10, SPILL_BYTES + 1])
    async def test_discarding_after_the_save_is_harmless(self, mail: Mail, size: int) -> None:
        message = await mail.message()
        writer = mail.store.write_body()
        wait = writer.write(b"x" * size)
        if wait is not None:
            await wait
        await mail.store.save(replace(message, body=await writer.finish()))
        writer.discard()
        await mail.save()
        assert await mail.read(message.queue_id) == b"x" * size


class TestClaiming:
    async def test_one_claim_is_one_message_at_one_destination(self, mail: Mail) -> None:
        await mail.save("a.example", "b.example", "a.example")
        claims = sorted(await mail.claim(), key=lambda claim: claim.destination)
        assert [claim.destination for claim in claims] == ["a.example", "b.example"]
        assert [each.number for each in claims[0].recipients] == [0, 2]
        assert addresses(claims[1:]) == ["user1@b.example"]

    async def test_what_is_claimed_is_not_claimed_again(self, mail: Mail) -> None:
        await mail.save()
        await mail.claim_one()
        assert await mail.claim() == []

    async def test_at_most_the_limit(self, mail: Mail) -> None:
        for _ in range(5):
            await mail.save()
        assert len(await mail.claim(3)) == 3
        assert len(await mail.claim(3)) == 2
        assert await mail.claim(0) == []

    async def test_the_oldest_of_a_destination_first(self, mail: Mail) -> None:
        saved = []
        for _ in range(5):
            saved.append(await mail.save())
            mail.clock.move(MINUTE)
        assert [claim.queue_id for claim in await mail.claim(3)] == saved[:3]
        assert [claim.queue_id for claim in await mail.claim(3)] == saved[3:]

    async def test_none_of_what_is_saturated(self, mail: Mail) -> None:
        await mail.save("busy.example")
        await mail.save("free.example", "busy.example")
        claims = await mail.claim(saturated=["busy.example", "other.example"])
        assert addresses(claims) == ["user0@free.example"]

    async def test_destinations_take_turns_within_a_claim(self, mail: Mail) -> None:
        for _ in range(10):
            await mail.save("many.example")
        mail.clock.move(MINUTE)
        await mail.save("one.example")
        await mail.save("two.example")
        await mail.save("two.example")
        destinations = [claim.destination for claim in await mail.claim(6)]
        assert destinations == [
            *("many.example", "one.example", "two.example"),
            *("many.example", "two.example", "many.example"),
        ]

    async def test_destinations_take_turns_from_claim_to_claim(self, mail: Mail) -> None:
        for _ in range(4):
            await mail.save("many.example")
        mail.clock.move(MINUTE)
        for _ in range(2):
            await mail.save("few.example")
        order = []
        for _ in range(6):
            mail.clock.move(MINUTE)
            order += [claim.destination for claim in await mail.claim(1)]
        assert order == [
            *("many.example", "few.example", "many.example"),
            *("few.example", "many.example", "many.example"),
        ]

    async def test_two_claimers_never_get_the_same(self, mail: Mail) -> None:
        await asyncio.gather(*(mail.save(f"d{number % 7}.example") for number in range(60)))
        taken = []
        while await mail.store.next_due() == mail.now:
            # One may get less than there is: what another is just claiming is passed over.
            claims = await asyncio.gather(*(mail.claim(3) for _ in range(30)))
            taken += [(claim.queue_id, claim.destination) for each in claims for claim in each]
        assert len(taken) == len(set(taken)) == 60

    async def test_an_expired_lease_is_claimable_by_itself(self, mail: Mail) -> None:
        queue_id = await mail.save()
        first = await mail.claim_one()
        assert await mail.store.next_due() == first.lease_until
        mail.clock.move(LEASE - MINUTE)
        assert await mail.claim() == []
        mail.clock.move(MINUTE)
        second = await mail.claim_one()
        assert second.queue_id == queue_id
        assert second.lease != first.lease
        assert not await mail.deliver(first)
        assert await mail.states(queue_id) == [RecipientState.QUEUED]
        assert await mail.deliver(second)

    async def test_an_expired_lease_that_nobody_took_still_settles(self, mail: Mail) -> None:
        await mail.save()
        claim = await mail.claim_one()
        mail.clock.move(LEASE * 2)
        assert await mail.deliver(claim)

    async def test_a_lease_can_be_made_longer(self, mail: Mail) -> None:
        await mail.save()
        claim = await mail.claim_one()
        assert await mail.store.extend(claim, mail.now + LEASE * 2)
        mail.clock.move(LEASE)
        assert await mail.claim() == []
        mail.clock.move(LEASE)
        assert len(await mail.claim()) == 1
        assert not await mail.store.extend(claim, mail.now + LEASE)

    async def test_next_due_is_the_first_of_all(self, mail: Mail) -> None:
        assert await mail.store.next_due() is None
        await mail.save("a.example")
        mail.clock.move(MINUTE)
        await mail.save("b.example")
        assert await mail.store.next_due() == mail.now - MINUTE
        assert await mail.store.next_due(saturated=["a.example"]) == mail.now
        for claim in await mail.claim():
            await mail.defer(claim, {"a.example": 3 * MINUTE}.get(claim.destination, MINUTE))
        assert await mail.store.next_due() == mail.now + MINUTE

    async def test_a_clock_set_back_freezes_nothing_for_long(self, mail: Mail) -> None:
        """A lease or next attempt past the horizon counts as due."""
        right = mail.now
        mail.clock.set_wall(right + timedelta(days=3650))
        deferred = await mail.save("deferred.example")
        await mail.defer(await mail.claim_one(), timedelta(hours=1))
        leased = await mail.save("leased.example")
        await mail.claim_one()
        waiting = await mail.save("waiting.example")
        mail.clock.set_wall(right)
        assert await mail.store.next_due() == mail.now
        claims = await mail.claim()
        assert {claim.queue_id for claim in claims} == {deferred, leased, waiting}
        for claim in claims:
            assert await mail.deliver(claim)

    async def test_a_clock_set_back_does_not_stop_a_backlog(self, mail: Mail) -> None:
        for _ in range(3):
            await mail.save()
        mail.clock.move(timedelta(hours=2))
        assert len(await mail.claim(1)) == 1
        mail.clock.set_wall(mail.now - timedelta(hours=1))
        assert len(await mail.claim(1)) == 1


class TestSettling:
    async def test_what_was_tried_is_kept_as_a_story(self, mail: Mail) -> None:
        queue_id = await mail.save()
        claim = await mail.claim_one()
        attempt = AttemptRecord(
            started=mail.now,
            duration=timedelta(milliseconds=1500),
            relay="mx.example.com[192.0.2.7]:25",
            summary="451 4.7.5 certificate has expired",
            story={"dialogue": ["220 é", "EHLO x"], "verdict": {"outcome": "defer", "n": None}},
            recipients=(0,),
        )
        result = RecipientResult(
            number=0,
            state=RecipientState.QUEUED,
            status="4.7.5",
            reply="certificate has expired",
            next_attempt=mail.now + MINUTE,
            is_delay_notified=True,
        )
        assert await mail.store.settle(Settlement(claim, (result,), (attempt,)))
        story = await mail.store.find_story(queue_id)
        assert story is not None
        assert story.attempts == (attempt,)
        (recipient,) = story.message.recipients
        assert (recipient.attempts, recipient.next_attempt) == (1, mail.now + MINUTE)
        assert (recipient.last_status, recipient.last_reply) == ("4.7.5", result.reply)
        assert not recipient.is_claimed
        assert story.message.finished is None
        mail.clock.move(MINUTE)
        (again,) = (await mail.claim_one()).recipients
        assert again.attempts == 1
        assert again.is_delay_notified
        assert again.last_reply == result.reply

    async def test_strange_words_of_a_peer_do_not_keep_a_claim_from_being_settled(
        self, mail: Mail
    ) -> None:
        queue_id = await mail.save()
        claim = await mail.claim_one()
        words = "5\0 \udc80 é"
        attempt = AttemptRecord(mail.now, MINUTE, words, words, {"dialogue": [words]}, (0,))
        result = RecipientResult(0, RecipientState.FAILED, "5.0.0", words)
        assert await mail.store.settle(Settlement(claim, (result,), (attempt,)))
        story = await mail.store.find_story(queue_id)
        assert story is not None
        assert story.message.recipients[0].last_reply == "5? ? é"
        assert story.attempts[0].summary == "5? ? é"

    async def test_a_message_ends_with_its_last_recipient(self, mail: Mail) -> None:
        queue_id = await mail.save("a.example", "b.example")
        first, second = await mail.claim()
        assert await mail.deliver(first)
        assert (await mail.find(queue_id)).finished is None
        assert await mail.read(queue_id) == CONTENT
        mail.clock.move(MINUTE)
        assert await mail.settle(second, RecipientState.FAILED)
        assert (await mail.find(queue_id)).finished == mail.now
        assert await mail.store.next_due() is None
        assert set((await mail.store.count()).values()) == {0}

    async def test_recipients_of_one_claim_may_differ(self, mail: Mail) -> None:
        queue_id = await mail.save(*["example.com"] * 4)
        claim = await mail.claim_one()
        queued = RecipientState.QUEUED
        results = (
            RecipientResult(0, RecipientState.DELIVERED, "2.0.0", "ok"),
            RecipientResult(1, queued, "4.0.0", "later", mail.now + MINUTE),
            RecipientResult(2, queued, "4.0.0", "much later", mail.now + 3 * MINUTE),
        )
        assert await mail.store.settle(Settlement(claim, results))
        assert addresses(await mail.claim()) == ["user3@example.com"]
        mail.clock.move(LEASE)
        (claim,) = await mail.claim()
        assert [each.number for each in claim.recipients] == [1, 2, 3]
        assert [each.attempts for each in claim.recipients] == [1, 1, 0]
        assert (await mail.find(queue_id)).recipients[0].state is RecipientState.DELIVERED

    async def test_bounces_are_saved_with_it(self, mail: Mail) -> None:
        await mail.save("dead.example")
        claim = await mail.claim_one()
        bounce = await mail.message("example.org", sender="")
        failed = RecipientResult(0, RecipientState.FAILED, "5.1.1", "no such user")
        assert await mail.store.settle(Settlement(claim, (failed,), messages=(bounce,)))
        sent = await mail.claim_one()
        assert (sent.queue_id, sent.sender) == (bounce.queue_id, "")

    async def test_bounces_of_a_lost_claim_are_not_saved(self, mail: Mail) -> None:
        queue_id = await mail.save("dead.example")
        claim = await mail.claim_one()
        mail.clock.move(LEASE)
        await mail.claim_one()
        bounce = await mail.message("example.org", content=b"x" * (SPILL_BYTES + 1))
        failed = RecipientResult(0, RecipientState.FAILED, "5.1.1", "no such user")
        assert not await mail.store.settle(Settlement(claim, (failed,), messages=(bounce,)))
        assert await mail.store.find_story(bounce.queue_id) is None
        assert await mail.states(queue_id) == [RecipientState.QUEUED]

    async def test_a_bounce_that_cannot_be_saved_leaves_the_claim_as_it_was(
        self, mail: Mail
    ) -> None:
        queue_id = await mail.save("dead.example")
        claim = await mail.claim_one()
        known = await mail.message("example.org")
        await mail.store.save(known)
        failed = RecipientResult(0, RecipientState.FAILED, "5.1.1", "no such user")
        with pytest.raises(ValueError, match="already"):
            await mail.store.settle(Settlement(claim, (failed,), messages=(known,)))
        assert await mail.states(queue_id) == [RecipientState.QUEUED]
        assert await mail.deliver(claim)

    async def test_a_claim_is_settled_once(self, mail: Mail) -> None:
        queue_id = await mail.save()
        claim = await mail.claim_one()
        assert await mail.deliver(claim)
        assert not await mail.settle(claim, RecipientState.FAILED)
        assert await mail.states(queue_id) == [RecipientState.DELIVERED]

    async def test_a_claim_is_settled_once_also_at_the_same_time(self, mail: Mail) -> None:
        await mail.save()
        claim = await mail.claim_one()
        assert sum(await asyncio.gather(*(mail.deliver(claim) for _ in range(5)))) == 1

    async def test_a_settlement_that_fails_takes_no_other_with_it(self, mail: Mail) -> None:
        for _ in range(5):
            await mail.save()
        first, *others = await mail.claim()
        ended = await asyncio.gather(
            mail.settle(first, RecipientState.QUEUED),
            *(mail.deliver(claim) for claim in others),
            return_exceptions=True,
        )
        assert isinstance(ended[0], ValueError)
        assert ended[1:] == [True] * 4
        assert (await mail.store.count())["messages"] == 1

    async def test_what_is_settled_at_once_ends_as_if_one_after_the_other(self, mail: Mail) -> None:
        both = await mail.save("example.com", "example.net")
        late = await mail.save("example.com")
        others = [await mail.save("example.com") for _ in range(20)]
        claims = {(each.queue_id, each.destination): each for each in await mail.claim()}
        deferred = claims[late, "example.com"]
        again = claims[both, "example.com"]
        settled = await asyncio.gather(
            mail.deliver(again),
            mail.defer(deferred),
            mail.deliver(again),
            mail.deliver(claims[both, "example.net"]),
            mail.deliver(replace(claims[others[0], "example.com"], lease="another")),
            *(mail.deliver(claims[each, "example.com"]) for each in others),
        )
        assert settled == [True, True, False, True, False, *[True] * 20]
        assert (await mail.find(both)).finished == mail.now
        assert [(await mail.find(each)).finished for each in others] == [mail.now] * 20
        assert await mail.states(late) == [RecipientState.QUEUED]
        assert (await mail.store.count())["messages"] == 1
        assert (await mail.store.count())["queued"] == 1
        assert await mail.store.next_due() == mail.now + 5 * MINUTE

    async def test_queued_needs_a_next_attempt(self, mail: Mail) -> None:
        await mail.save()
        claim = await mail.claim_one()
        with pytest.raises(ValueError, match="next attempt"):
            await mail.settle(claim, RecipientState.QUEUED)
        assert await mail.deliver(claim)


class TestChanging:
    async def test_held_mail_waits_until_it_is_released(self, mail: Mail) -> None:
        queue_id = await mail.save(hold="suspicious")
        assert await mail.claim() == []
        assert await mail.store.next_due() is None
        assert (await mail.find(queue_id)).hold == "suspicious"
        assert await mail.states(queue_id) == [RecipientState.HELD]
        assert await mail.store.count() == {
            "messages": 1,
            "bytes": len(CONTENT),
            "queued": 0,
            "held": 1,
            "claimed": 0,
        }
        assert await mail.store.retry(None, mail.now) == 0
        assert await mail.store.release([queue_id], mail.now) == 1
        assert await mail.store.release([queue_id], mail.now) == 0
        assert (await mail.claim_one()).queue_id == queue_id

    async def test_hold_takes_what_waits(self, mail: Mail) -> None:
        saved = [await mail.save() for _ in range(3)]
        assert await mail.store.hold(saved[:2], "wait") == 2
        assert await mail.store.hold(None, "other reason") == 1
        assert await mail.claim() == []
        assert (await mail.find(saved[0])).hold == "wait"
        assert await mail.store.release(None, mail.now) == 3
        assert len(await mail.claim()) == 3

    @pytest.mark.parametrize("ends", ["settled", "expired"])
    async def test_a_claimed_message_is_held_when_the_claim_ends(
        self, mail: Mail, ends: str
    ) -> None:
        queue_id = await mail.save("a.example", "b.example")
        (first,) = await mail.claim(1)
        assert await mail.store.hold([queue_id], "wait") == 1
        assert sorted(await mail.states(queue_id)) == [RecipientState.HELD, RecipientState.QUEUED]
        if ends == "settled":
            assert await mail.defer(first)
        mail.clock.move(LEASE)
        assert await mail.claim() == []
        assert await mail.states(queue_id) == [RecipientState.HELD] * 2
        assert await mail.store.next_due() is None
        assert await mail.store.release(None, mail.now) == 1
        assert len(await mail.claim()) == 2

    async def test_a_claimed_message_that_is_delivered_is_not_held(self, mail: Mail) -> None:
        queue_id = await mail.save()
        claim = await mail.claim_one()
        await mail.store.hold([queue_id], "wait")
        assert await mail.deliver(claim)
        assert (await mail.find(queue_id)).finished == mail.now
        assert await mail.store.release([queue_id], mail.now) == 0

    async def test_a_message_released_while_claimed_goes_on(self, mail: Mail) -> None:
        queue_id = await mail.save()
        claim = await mail.claim_one()
        await mail.store.hold([queue_id], "wait")
        assert await mail.store.release([queue_id], mail.now) == 1
        assert await mail.claim() == []
        assert await mail.defer(claim, MINUTE)
        mail.clock.move(MINUTE)
        assert len(await mail.claim()) == 1

    async def test_a_result_may_hold_one_recipient(self, mail: Mail) -> None:
        queue_id = await mail.save("a.example", "b.example")
        first, second = await mail.claim()
        assert await mail.settle(first, RecipientState.HELD)
        assert await mail.deliver(second)
        assert (await mail.find(queue_id)).finished is None
        assert await mail.store.release(None, mail.now) == 1
        assert (await mail.claim_one()).destination == first.destination

    async def test_retry_makes_due_what_waits(self, mail: Mail) -> None:
        queue_id = await mail.save()
        await mail.defer(await mail.claim_one())
        assert await mail.claim() == []
        assert await mail.store.retry([queue_id], mail.now) == 1
        assert await mail.store.next_due() == mail.now
        assert len(await mail.claim()) == 1

    async def test_retry_leaves_a_claim_alone(self, mail: Mail) -> None:
        await mail.save()
        claim = await mail.claim_one()
        assert await mail.store.retry(None, mail.now) == 0
        assert await mail.claim() == []
        assert await mail.deliver(claim)

    async def test_delete_leaves_the_story(self, mail: Mail) -> None:
        queue_id = await mail.save(content=b"x" * (SPILL_BYTES + 1))
        held = await mail.save(hold="wait")
        assert await mail.store.delete([queue_id, held], mail.now) == 2
        assert await mail.store.delete([queue_id], mail.now) == 0
        assert await mail.claim() == []
        assert await mail.states(queue_id) == [RecipientState.DELETED]
        assert (await mail.find(queue_id)).finished == mail.now
        with pytest.raises(BodyGone):
            await mail.read(queue_id)

    async def test_a_claim_of_what_was_deleted_is_no_longer_ours(self, mail: Mail) -> None:
        queue_id = await mail.save()
        claim = await mail.claim_one()
        assert await mail.store.delete([queue_id], mail.now) == 1
        assert not await mail.defer(claim)
        assert not await mail.store.extend(claim, mail.now + LEASE)
        mail.clock.move(LEASE)
        assert await mail.claim() == []

    async def test_unknown_ids_change_nothing(self, mail: Mail) -> None:
        unknown = [QueueId("000000000000000")]
        assert await mail.store.hold(unknown, "x") == 0
        assert await mail.store.release(unknown, mail.now) == 0
        assert await mail.store.retry(unknown, mail.now) == 0
        assert await mail.store.delete(unknown, mail.now) == 0
        assert await mail.store.find_story(unknown[0]) is None

    async def test_all_means_all_of_many(self, mail: Mail) -> None:
        await asyncio.gather(*(mail.save() for _ in range(600)))
        assert await mail.store.hold(None, "wait") == 600
        assert await mail.store.release(None, mail.now) == 600
        assert await mail.store.retry(None, mail.now) == 600
        assert await mail.store.delete(None, mail.now) == 600


class TestLooking:
    async def test_messages_are_listed_by_page_in_the_order_of_ids(self, mail: Mail) -> None:
        saved = [await mail.save("a.example", "b.example") for _ in range(5)]
        first = await mail.store.list_messages(limit=3)
        assert [message.queue_id for message in first] == saved[:3]
        second = await mail.store.list_messages(limit=3, after=saved[2])
        assert [message.queue_id for message in second] == saved[3:]
        message = second[0]
        assert message.sender == "alice@example.org"
        assert message.size == len(CONTENT)
        assert message.origin == {"client": "mail.example.net[192.0.2.1]", "helo": "é"}
        assert [each.destination for each in message.recipients] == ["a.example", "b.example"]
        assert [each.number for each in message.recipients] == [0, 1]

    async def test_finished_messages_are_listed_apart(self, mail: Mail) -> None:
        done = await mail.save()
        await mail.deliver(await mail.claim_one())
        waiting = await mail.save()
        listed = await mail.store.list_messages()
        assert [message.queue_id for message in listed] == [waiting]
        listed = await mail.store.list_messages(is_finished=True)
        assert [message.queue_id for message in listed] == [done]

    async def test_a_claim_is_seen(self, mail: Mail) -> None:
        queue_id = await mail.save()
        await mail.claim_one()
        assert [each.is_claimed for each in (await mail.find(queue_id)).recipients] == [True]
        assert (await mail.store.count())["claimed"] == 1

    async def test_stories_are_forgotten_when_their_time_is_over(self, mail: Mail) -> None:
        old = await mail.save()
        await mail.deliver(await mail.claim_one())
        mail.clock.move(MINUTE)
        young = await mail.save()
        await mail.deliver(await mail.claim_one())
        waiting = await mail.save()
        assert await mail.store.forget_stories(mail.now) == 1
        assert await mail.store.find_story(old) is None
        assert await mail.store.find_story(young) is not None
        assert await mail.store.forget_stories(mail.now + MINUTE) == 1
        assert await mail.store.find_story(waiting) is not None


async def test_nothing_of_a_store_that_is_open_is_abandoned(mail: Mail) -> None:
    await mail.save()
    claim = await mail.claim_one()
    assert await mail.store.free_abandoned() == 0
    assert await mail.deliver(claim)
