"""The steps of the demo: each lets something happen, shows it, and claims what must be so.

What is shown is read where an operator would look: in the queue's stories, the answers of DNS, the
counters of `letterlock status`, and the mailbox.
"""

import asyncio
import secrets
from random import SystemRandom

from letterlock.base.clock import Clock, format_time
from letterlock.base.domains import Domain
from letterlock.demo.commands import format_command, run_command
from letterlock.demo.facts import Attempt, count_hops, describe_answer, read_trace
from letterlock.demo.nodes import Node
from letterlock.demo.screen import Screen
from letterlock.demo.setting import (
    ALICE,
    BOB,
    BROKEN_DOMAIN,
    RIGHT_HOST,
    SIGNED_DOMAIN,
    WRONG_HOST,
    ZONES,
)
from letterlock.demo.stage import Stage
from letterlock.demo.submission import NotTaken, find_queue_id, submit
from letterlock.network.dns_backends import make_backend
from letterlock.protocols.policy.requirement import Level
from letterlock.protocols.policy.verdict import Outcome
from letterlock.protocols.tlsrpt.result_types import ResultType
from letterlock.services.discover.resolver_check import SelfTest, check_resolver
from letterlock.storage.queue import MessageStory, RecipientState


class CannotGoOn(Exception):  # noqa: N818 - the demo's end, not always a mistake
    """What the next steps stand on did not happen; the text says what."""


async def show_stage(screen: Screen, stage: Stage) -> None:
    """Tell what was set up."""
    certificate = stage.authority.certificate
    receiver, sender = stage.receiver.config, stage.sender.config
    records = [f"{domain}: {'; '.join(text.splitlines())}" for domain, text in ZONES.items()]
    levels = ", ".join(f"{key} {hop.fields['level']}" for key, hop in sender.policy.hops.items())
    screen.begin_step("The stage, all of it made a moment ago")
    screen.tell(
        "authority",
        f"{certificate.subject.rfc4514_string()}, valid until "
        f"{format_time(certificate.not_valid_after_utc)}; no other is trusted",
    )
    resolver = await check_resolver(
        make_backend(sender.dns, SystemRandom()), Domain(SIGNED_DOMAIN), Domain(BROKEN_DOMAIN)
    )
    screen.tell(
        "resolver",
        f"{stage.resolver}, which trusts a key for {SIGNED_DOMAIN} and {BROKEN_DOMAIN}; "
        "the others are not signed",
        *records,
    )
    screen.tell(
        "receiver",
        f"{receiver.hostname} on {' and '.join(map(str, receiver.receive.listen))}",
        f"its mailboxes are {' and '.join(receiver.local.mailboxes)}",
        f"its only certificate is for {' and '.join(stage.receiver.certificate_names)}",
    )
    screen.tell(
        "sender",
        f"{sender.hostname} on {sender.receive.listen[0]}",
        f"it relays for {' and '.join(map(str, sender.receive.relay_from))} only",
        f"its policy table says: {levels}",
    )
    screen.claim(
        f"the resolver vouches for {SIGNED_DOMAIN}, and gives nothing of {BROKEN_DOMAIN}, whose "
        "signatures are wrong",
        holds=resolver.self_test is SelfTest.PASSED,
    )
    screen.explain(
        "Level verify: TLS, a certificate from a trusted authority, and in it the MX host's name."
    )


async def show_submission(screen: Screen, stage: Stage, recipient: str, clock: Clock) -> str:
    """Hand in a message to the sender; gives its queue id there."""
    subject = f"Letterlock demo {secrets.token_hex(4)}"
    server = stage.sender.config.receive.listen[0]
    try:
        reply = await asyncio.to_thread(submit, server, recipient, subject, clock.now())
    except NotTaken as error:
        raise CannotGoOn(str(error)) from error
    queue_id = find_queue_id(reply)
    story = stage.sender.find_story(queue_id) if queue_id is not None else None
    if queue_id is None or story is None:
        raise CannotGoOn(f"the sender replied {reply!r}, and has no such message in its queue")
    screen.tell("channel", story.message.origin.get("tls") or "in clear")
    screen.tell("reply", reply)
    screen.claim(
        f"when the client heard 250, the message was in the queue, as {queue_id}",
        holds=[each.address for each in story.message.recipients] == [recipient],
    )
    return queue_id


async def show_delivery(screen: Screen, stage: Stage, queue_id: str) -> None:
    """Show a message go to a host that proves its name, and into the mailbox there."""
    story = await _wait(stage.sender, queue_id)
    attempt = Attempt(story.attempts[0])
    _tell_lookups(screen, stage.sender)
    _tell_judgement(screen, attempt)
    screen.tell("then", *attempt.said_from_mail or ("nothing was sent",))
    screen.claim(
        f"the level was {Level.VERIFY}, and the host proved to be {RIGHT_HOST}",
        holds=attempt.requirement.get("level") == Level.VERIFY
        and attempt.verdict.get("outcome") == Outcome.AUTHENTICATED
        and RIGHT_HOST in attempt.leaf.get("names", ()),
    )
    screen.claim(
        "only after that did the sender say MAIL",
        holds=attempt.is_judged_before_mail and bool(attempt.said_from_mail),
    )
    await _show_mailbox(screen, stage, story)


async def show_refusal(screen: Screen, stage: Stage, queue_id: str) -> None:
    """Show a message that stays here, as the host it is for did not prove its name."""
    story = await _wait(stage.sender, queue_id)
    attempt = Attempt(story.attempts[0])
    _tell_lookups(screen, stage.sender)
    command = ("queue", "show", queue_id, "--config", stage.sender.config_file)
    screen.tell("its story", "as the sender's operator reads it:")
    screen.quote([f"$ {format_command(*command)}"])
    code, lines = await run_command(*command)
    screen.quote(lines)
    if code:
        raise CannotGoOn(f"letterlock queue show ended with {code}")
    screen.claim(
        f"the sender saw that this is not {WRONG_HOST}; RFC 8460 calls it "
        f"{ResultType.CERTIFICATE_HOST_MISMATCH}",
        holds=attempt.verdict.get("outcome") == Outcome.DEFER
        and attempt.verdict.get("result_type") == ResultType.CERTIFICATE_HOST_MISMATCH,
    )
    screen.claim(
        "no MAIL was said", holds=attempt.is_judged_before_mail and not attempt.said_from_mail
    )
    (recipient,) = story.message.recipients
    screen.claim(
        "the message waits in the sender's queue, to be tried again",
        holds=recipient.state is RecipientState.QUEUED and recipient.next_attempt is not None,
    )
    screen.claim(
        f"it is in no mailbox: the receiver got {stage.receiver.count('messages')} message in "
        f"{stage.receiver.count('connections')} connections",
        holds=stage.receiver.count("messages") == 1 and not stage.receiver.list_mailbox(BOB),
    )


def claim_nothing_in_clear(screen: Screen, stage: Stage) -> None:
    """Claim it from the receiver's own counters."""
    tls, all_connections = stage.receiver.count("tls"), stage.receiver.count("connections")
    screen.claim(
        f"of {all_connections} connections to the receiver {tls} had TLS: no mail went in clear",
        holds=tls == all_connections,
    )


async def _show_mailbox(screen: Screen, stage: Stage, sent: MessageStory) -> None:
    """Follow a message that was sent into the receiver's mailbox."""
    reply = sent.message.recipients[0].last_reply
    queue_id = find_queue_id(reply)
    if queue_id is None:
        raise CannotGoOn(f"the message was not sent: {reply}")
    await _wait(stage.receiver, queue_id)
    messages = stage.receiver.list_mailbox(ALICE)
    if len(messages) != 1:
        raise CannotGoOn(f"{len(messages)} messages are in the mailbox of {ALICE}, not one")
    trace = read_trace(messages[0])
    screen.tell("in mailbox", f"{messages[0].parent}/", messages[0].name)
    screen.quote(trace)
    over_tls, hops = count_hops(trace)
    screen.claim(
        f"the message is in its mailbox; of the {hops} hops to it {over_tls} were over TLS",
        holds=over_tls == hops == 2,
    )


def _tell_lookups(screen: Screen, node: Node) -> None:
    answers = [answer for answer in node.lookups.take() if answer.rdtype != "PTR"]
    screen.tell("looked up", *map(describe_answer, answers))


def _tell_judgement(screen: Screen, attempt: Attempt) -> None:
    """Tell what was required, what TLS gave, and what follows."""
    requirement, handshake, leaf = attempt.requirement, attempt.handshake, attempt.leaf
    screen.tell(
        "required",
        f"{requirement.get('level')}, by {requirement.get('reason')}",
        f"so its certificate must be for {' or '.join(requirement.get('names', ()))}",
    )
    screen.tell("connected", attempt.record.relay)
    screen.tell(
        "handshake",
        f"{handshake.get('version')} {handshake.get('cipher')}, group {handshake.get('group')}, "
        f"SNI {handshake.get('sni')}",
    )
    screen.tell(
        "certificate",
        f"for {' and '.join(leaf.get('names', ()))}, issued by {leaf.get('issuer')}, "
        f"until {leaf.get('not_after')}",
    )
    screen.tell("judged", f"{attempt.verdict.get('outcome')}: {attempt.verdict.get('reason')}")


async def _wait(node: Node, queue_id: str) -> MessageStory:
    try:
        return await node.wait_for_attempt(queue_id)
    except TimeoutError:
        raise CannotGoOn(f"{node.config.hostname} did not try to deliver {queue_id}") from None
