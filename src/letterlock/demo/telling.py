"""What several steps of the demo tell and claim: a message from the client to where it ends up.

What is shown is read where an operator would look: in the queue's stories, the answers of DNS, the
counters of `letterlock status`, and the mailbox.
"""

import asyncio
import secrets

from letterlock.base.clock import Clock
from letterlock.demo.facts import Attempt, count_hops, describe_answer, read_trace, shorten_digests
from letterlock.demo.nodes import Node
from letterlock.demo.screen import Screen
from letterlock.demo.stage import Stage
from letterlock.demo.submission import NotTaken, find_queue_id, submit
from letterlock.storage.queue import MessageStory, RecipientState


class CannotGoOn(Exception):  # noqa: N818 - the demo's end, not always a mistake
    """What the next steps stand on did not happen; the text says what."""


async def hand_in(screen: Screen, stage: Stage, recipient: str, clock: Clock) -> MessageStory:
    """Hand in a message to the sender; gives its story once the sender tried to deliver it."""
    queue_id = await hand_in_quietly(stage, recipient, clock)
    story = stage.sender.find_story(queue_id)
    if story is None:
        raise CannotGoOn(f"the sender has no message {queue_id} in its queue")
    screen.claim(
        f"in the queue when the client heard 250, as {queue_id}",
        holds=[each.address for each in story.message.recipients] == [recipient],
    )
    return await wait_for_attempt(stage.sender, queue_id)


async def hand_in_quietly(stage: Stage, recipient: str, clock: Clock) -> str:
    """Hand in a message to the sender; gives its queue id. Raises CannotGoOn."""
    subject = f"Letterlock demo {secrets.token_hex(4)}"
    server = stage.sender.config.receive.listen[0]
    try:
        reply = await asyncio.to_thread(submit, server, recipient, subject, clock.now())
    except NotTaken as error:
        raise CannotGoOn(str(error)) from error
    queue_id = find_queue_id(reply)
    if queue_id is None:
        raise CannotGoOn(f"the sender replied {reply!r}")
    return queue_id


async def wait_for_attempt(node: Node, queue_id: str) -> MessageStory:
    try:
        return await node.wait_for_attempt(queue_id)
    except TimeoutError:
        raise CannotGoOn(f"{node.config.hostname} did not try to deliver {queue_id}") from None


def tell_lookups(screen: Screen, node: Node) -> None:
    """Tell what the node asked DNS: of the recipient's side, and without repetition."""
    answers = [each for each in node.lookups.take() if each.rdtype not in ("PTR", "AAAA")]
    screen.tell("looked up", *dict.fromkeys(map(describe_answer, answers)))


def tell_judgement(screen: Screen, attempt: Attempt) -> None:
    """Tell what was required, what the host showed, and what follows."""
    requirement, handshake, leaf = attempt.requirement, attempt.handshake, attempt.leaf
    screen.tell("required", f"{requirement.get('level')}, by {requirement.get('reason')}")
    screen.tell(
        "handshake",
        f"{handshake.get('version')} {handshake.get('cipher')}, {handshake.get('group')}",
    )
    screen.tell(
        "certificate",
        f"for {' and '.join(leaf.get('names', ()))}, issued by {leaf.get('issuer')}",
    )
    screen.tell("judged", describe_reason(attempt))


def claim_sent_after(screen: Screen, attempt: Attempt) -> None:
    """Claim that mail was sent, and that the host was judged before."""
    screen.claim(
        "only after that did the sender say MAIL",
        holds=attempt.is_judged_before_mail and bool(attempt.said_from_mail),
    )


async def claim_in_mailbox(screen: Screen, stage: Stage, sent: MessageStory) -> list[str]:
    """Follow a message that was sent into the receiver's mailbox; gives its trace lines."""
    (recipient,) = sent.message.recipients
    queue_id = find_queue_id(recipient.last_reply)
    if queue_id is None:
        raise CannotGoOn(f"the message was not sent: {recipient.last_reply}")
    await wait_for_attempt(stage.receiver, queue_id)
    messages = stage.receiver.list_mailbox(recipient.address)
    if len(messages) != 1:
        raise CannotGoOn(f"{len(messages)} messages are in {recipient.address}'s mailbox, not one")
    trace = read_trace(messages[0])
    over_tls, hops = count_hops(trace)
    screen.claim(
        f"it is in the mailbox there; of its {hops} hops {over_tls} were over TLS",
        holds=over_tls == hops == 2,
    )
    return trace


def claim_waits(screen: Screen, stage: Stage, story: MessageStory, *, messages_before: int) -> None:
    """Claim that a message is where it was, and nowhere else."""
    (recipient,) = story.message.recipients
    is_waiting = recipient.state is RecipientState.QUEUED and recipient.next_attempt is not None
    has_arrived = stage.receiver.count("messages") != messages_before
    screen.claim(
        "it waits in the sender's queue, and the receiver got no message",
        holds=is_waiting and not has_arrived and not stage.receiver.list_mailbox(recipient.address),
    )


def describe_reason(attempt: Attempt) -> str:
    """Say why a message went or waits, without where to."""
    reason = attempt.verdict.get("reason") or attempt.record.summary
    return shorten_digests(str(reason).removeprefix(f"{attempt.record.relay}: "))
