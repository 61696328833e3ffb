"""`demo --incident`: certificates must be revoked, and mail flows all the while.

RFC 9773 §4 (the authority says when to renew), Baseline Requirements 4.9.1. The authority finds
what is affected in what it kept of each validation, and tells it; the receiver asks, renews by
itself, and takes the new certificates into use; then the old ones are revoked. Only how long the
receiver waits until it asks again is cut short: its clock is moved.
"""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from letterlock.base.clock import Clock
from letterlock.demo.commands import format_command, run_command
from letterlock.demo.facts import Attempt
from letterlock.demo.nodes import PATIENCE_SECONDS, Node
from letterlock.demo.screen import Screen
from letterlock.demo.setting import ALICE, AUTHORITY_HOST, DAVE
from letterlock.demo.stage import Stage
from letterlock.demo.telling import CannotGoOn, hand_in_quietly
from letterlock.protocols.incidents.serials import format_serial
from letterlock.protocols.policy.verdict import Outcome
from letterlock.services.ca.working import LOOK_SECONDS
from letterlock.storage.ca.kept import Issued

WHY = "the file of http-01 was taken from anybody"
RENEW_BY_SECONDS = 10
ASK_AGAIN = timedelta(hours=8)
"""Longer than the authority lets clients wait with their next question."""
PAUSE_SECONDS = 1.0
"""Between two messages: a node takes not too many connections of one client in a minute."""
MAX_SHOWN = 16
_LOOK_SECONDS = 0.05


async def show_incident(screen: Screen, stage: Stage, clock: Clock) -> None:
    """Show an incident from its beginning to its end."""
    screen.begin_step("An incident: the authority has to revoke what it issued")
    screen.explain(
        "It validated names wrongly, say. What was validated that way is in its audit log; clients "
        "that ask are told to renew now, and people by mail. Meanwhile messages go on."
    )
    old = await stage.authority.list_issued(clock)
    mails = set(stage.receiver.list_mailbox(ALICE))
    is_over = asyncio.Event()
    try:
        async with asyncio.TaskGroup() as tasks:
            flow = tasks.create_task(_send_until(is_over, stage, clock))
            try:
                new = await _go_through(screen, stage, old, clock)
            finally:
                is_over.set()
    except* CannotGoOn as group:
        raise CannotGoOn(str(group.exceptions[0])) from None
    sent = flow.result()
    await _quote(screen, ("ca", "incident", "status"), stage)
    revoked = await stage.authority.list_revoked(old[0], clock)
    screen.claim(
        f"the CRL has the {len(old)} old ones, and none of the new",
        holds=_serials(old) <= revoked and not _serials(new) & revoked,
    )
    screen.claim(
        f"the receiver's postmaster had a mail about it from {AUTHORITY_HOST}",
        holds=await _has_mail(stage.receiver, mails),
    )
    await _claim_flow(screen, stage, sent, new)


async def _go_through(
    screen: Screen, stage: Stage, old: Sequence[Issued], clock: Clock
) -> list[Issued]:
    """Let it begin, and wait for its end; gives what was issued instead."""
    await _quote(screen, _create(), stage)
    new = await _wait_for_renewal(stage, old, clock)
    _tell_renewal(screen, old, new)
    await _wait_until_revoked(stage, old, clock)
    return new


def _create() -> tuple[object, ...]:
    words = ("--why", WHY, "--method", "http-01", "--renew-by", f"{RENEW_BY_SECONDS}s")
    return ("ca", "incident", "create", *words, "--enable")


async def _quote(screen: Screen, command: Sequence[object], stage: Stage) -> None:
    """Run a command of the authority's operator, and show what it says. Raises CannotGoOn."""
    words = (*command, "--config", stage.authority.config_file)
    screen.quote([f"$ {format_command(*words)}"])
    code, lines = await run_command(*words)
    screen.quote(lines)
    if code:
        raise CannotGoOn(f"letterlock {' '.join(map(str, command[:3]))} ended with {code}")


async def _send_until(is_over: asyncio.Event, stage: Stage, clock: Clock) -> list[str]:
    """Hand in messages, one after the other; gives their queue ids."""
    sent = []
    while not is_over.is_set():
        sent.append(await hand_in_quietly(stage, ALICE, clock))
        await asyncio.sleep(PAUSE_SECONDS)
    # There no connection is open, as there is to the host that all others go to.
    sent.append(await hand_in_quietly(stage, DAVE, clock))
    return sent


async def _wait_for_renewal(stage: Stage, old: Sequence[Issued], clock: Clock) -> list[Issued]:
    """Let the receiver ask, and wait until it uses what it got. Raises CannotGoOn."""
    assert stage.receiver.keeping is not None, "it has certificates by ACME"
    stage.receiver.keeping.move_clock(ASK_AGAIN)
    known = _serials(old)
    for _ in range(int(PATIENCE_SECONDS * 3 / _LOOK_SECONDS)):
        issued = await stage.authority.list_issued(clock)
        new = [each for each in issued if each.certificate.name.serial not in known]
        stage.receiver.certificates.reload_if_changed()
        if len(new) == len(old) and not _shows_any(stage.receiver, old):
            return new
        await asyncio.sleep(_LOOK_SECONDS)
    raise CannotGoOn("the receiver did not renew: why is in its log")


def _tell_renewal(screen: Screen, old: Sequence[Issued], new: Sequence[Issued]) -> None:
    """Tell which certificate took the place of which."""
    successors = {_name(each): each for each in new}
    for each in sorted(old, key=_name):
        follows = successors.get(_name(each))
        told = format_serial(follows.certificate.name.serial)[:8] if follows else "nothing"
        was = format_serial(each.certificate.name.serial)[:8]
        screen.tell("renewed", f"{_name(each)}: {was}... is followed by {told}...")
    screen.claim(
        "the receiver asked when to renew, was told now, and did: nobody touched it",
        holds=set(successors) == {_name(each) for each in old},
    )


async def _wait_until_revoked(stage: Stage, old: Sequence[Issued], clock: Clock) -> None:
    """Wait for the CRL. Raises CannotGoOn.

    Another process made the incident: the authority sees it when it looks for work next.
    """
    patience = LOOK_SECONDS + RENEW_BY_SECONDS + PATIENCE_SECONDS
    for _ in range(int(patience / _LOOK_SECONDS)):
        if _serials(old) <= await stage.authority.list_revoked(old[0], clock):
            return
        await asyncio.sleep(_LOOK_SECONDS)
    raise CannotGoOn("the old certificates were not revoked: why is in the authority's log")


async def _has_mail(node: Node, before: set[Path]) -> bool:
    """Wait for the authority's mail, which names itself as its sender."""
    wanted = f"@{AUTHORITY_HOST.partition('.')[2]}".encode()
    for _ in range(int(PATIENCE_SECONDS / _LOOK_SECONDS)):
        for path in set(node.list_mailbox(ALICE)) - before:
            header = path.read_bytes().partition(b"\r\n\r\n")[0].partition(b"\n\n")[0]
            if any(line.startswith(b"From:") and wanted in line for line in header.splitlines()):
                return True
        await asyncio.sleep(_LOOK_SECONDS)
    return False


async def _claim_flow(
    screen: Screen, stage: Stage, sent: Sequence[str], new: Sequence[Issued]
) -> None:
    """Claim that each message went at its first attempt, the last one to a new certificate."""
    stories = [await stage.sender.wait_for_attempt(queue_id) for queue_id in sent]
    attempts = [Attempt(each.attempts[0]) for each in stories]
    proved = [each for each in attempts if each.verdict.get("outcome") == Outcome.AUTHENTICATED]
    shown = int(str(attempts[-1].leaf.get("serial", "0")), 16)
    screen.claim(
        f"{len(sent)} messages were sent meanwhile, {len(proved)} went at once, to a host that was "
        "proved; the last one by its new certificate",
        holds=len(proved) == len(sent) and shown in _serials(new),
    )


def _shows_any(node: Node, old: Sequence[Issued]) -> bool:
    """Tell whether a node still shows one of these: what is issued is stored a moment later."""
    ends = {each.certificate.not_after for each in old}
    return any(each.not_after in ends for each in node.certificates.summarize(MAX_SHOWN))


def _name(issued: Issued) -> str:
    return issued.names[0].identifier.value


def _serials(issued: Sequence[Issued]) -> set[int]:
    return {each.certificate.name.serial for each in issued}
