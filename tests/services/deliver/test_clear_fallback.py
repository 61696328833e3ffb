"""When mail goes in clear after TLS failed: at `may` only, and by the operator's rule."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from letterlock.protocols.policy.judge import ClearFallback, FallbackRule
from letterlock.protocols.policy.requirement import Level
from letterlock.services.queue.outcomes import Result
from tests.misbehaving import Act, Conduct, serving
from tests.services.deliver.outbound import HOST, leaf, only, sending, stories

AFTER = ClearFallback(FallbackRule.AFTER, timedelta(minutes=5))
NEVER = ClearFallback(FallbackRule.NEVER)
BROKEN: dict[str, Callable[[], Conduct]] = {
    "handshake": lambda: Conduct(instead_of_tls=Act.CLOSE),
    "refused": lambda: Conduct(answers={"STARTTLS": "454 4.7.0 not now"}),
    "lost behind it": lambda: Conduct(leaf(), under_tls={"EHLO": Act.CLOSE}),
}


@pytest.mark.parametrize("kind", BROKEN)
async def test_at_once_is_over_a_new_connection_or_the_same(kind: str, tmp_path: Path) -> None:
    async with serving(BROKEN[kind]()) as (server,), sending(tmp_path, [server]) as node:
        delivery = await node.send()
    assert only(delivery).result is Result.DELIVERED
    assert server.seen.connections == (1 if kind == "refused" else 2)
    last = stories(delivery)[-1]["verdict"]
    assert last["outcome"] == "clear"
    types = [story["verdict"]["result_type"] for story in stories(delivery)]
    assert types == (
        ["starttls-not-supported"] if kind == "refused" else ["validation-failure", None]
    )
    established = [text for text in node.log.texts if "TLS connection established to" in text]
    assert len(established) == (1 if kind == "lost behind it" else 0)


@pytest.mark.parametrize("kind", BROKEN)
async def test_never_is_never(kind: str, tmp_path: Path) -> None:
    async with serving(BROKEN[kind]()) as (server,), sending(tmp_path, [server]) as node:
        node.fallback = NEVER
        await node.save()
        node.clock.move(timedelta(days=4))
        delivery = await node.deliver()
    outcome = only(delivery)
    assert outcome.result is Result.DEFERRED
    assert outcome.status == ("4.7.4" if kind == "refused" else "4.7.5")
    assert stories(delivery)[-1]["verdict"]["outcome"] == "defer"
    assert not server.seen.mails


@pytest.mark.parametrize("kind", BROKEN)
async def test_after_waits_for_the_messages_age(kind: str, tmp_path: Path) -> None:
    async with serving(BROKEN[kind]()) as (server,), sending(tmp_path, [server]) as node:
        node.fallback = AFTER
        await node.save()
        node.clock.move(timedelta(minutes=5))
        assert only(await node.deliver()).result is Result.DELIVERED
        young = await node.send()
    assert only(young).result is Result.DEFERRED
    assert len(server.seen.taken) == 1


@pytest.mark.parametrize("kind", BROKEN)
async def test_a_young_message_does_not_ride_on_an_old_ones_clear_connection(
    kind: str, tmp_path: Path
) -> None:
    """The connection was opened in clear for a message that may; another asks for itself."""
    async with serving(BROKEN[kind]()) as (server,), sending(tmp_path, [server]) as node:
        node.fallback = AFTER
        await node.save()
        node.clock.move(timedelta(minutes=5))
        await node.deliver()
        await node.send()
    assert len(server.seen.mails) == 1


async def test_a_host_that_does_not_offer_starttls_gets_mail_in_clear_whatever_the_rule(
    tmp_path: Path,
) -> None:
    """RFC 7435 §3: there was no TLS that failed; and no further mail asks for a new connection."""
    conduct = Conduct(has_starttls=False)
    async with serving(conduct) as (server,), sending(tmp_path, [server]) as node:
        node.fallback = NEVER
        assert only(await node.send()).result is Result.DELIVERED
        assert only(await node.send()).result is Result.DELIVERED
    assert server.seen.connections == 1


@pytest.mark.parametrize("kind", BROKEN)
async def test_no_stricter_level_falls_back(kind: str, tmp_path: Path) -> None:
    async with serving(BROKEN[kind]()) as (server,), sending(tmp_path, [server]) as node:
        node.level = Level.ENCRYPT
        await node.save()
        node.clock.move(timedelta(days=4))
        assert only(await node.deliver()).result is Result.DEFERRED
    assert not server.seen.mails


async def test_a_refusal_in_clear_is_what_counts_after_a_fallback(tmp_path: Path) -> None:
    """That TLS failed is no reason to wait: the host has spoken."""
    conduct = Conduct(instead_of_tls=Act.CLOSE, answers={"MAIL": "550 5.7.1 not you"})
    async with serving(conduct) as (server,), sending(tmp_path, [server]) as node:
        outcome = only(await node.send())
    assert (outcome.result, outcome.status) == (Result.FAILED, "5.7.1")
    assert outcome.relay.startswith(HOST)


async def test_tls_lost_after_the_handshake_at_may_waits_for_another_try(tmp_path: Path) -> None:
    conduct = Conduct(instead_of_tls=Act.RESET, answers={"MAIL": Act.CLOSE})
    async with serving(conduct) as (server,), sending(tmp_path, [server]) as node:
        assert only(await node.send()).status == "4.4.2"
