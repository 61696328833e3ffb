"""The demo's last step: what domains hear, the day after, of the sessions that mail to them made.

RFC 8460. The sender counted each session when it settled the delivery; nobody waits for midnight
here, as it is told that the day is over.
"""

import asyncio
from datetime import datetime, timedelta
from pathlib import Path

from letterlock.base.clock import Clock
from letterlock.demo.commands import format_command, run_command
from letterlock.demo.nodes import PATIENCE_SECONDS, Node
from letterlock.demo.screen import Screen
from letterlock.demo.setting import (
    ALICE,
    LISTED_DOMAIN,
    RIGHT_HOST,
    SENDER_DOMAIN,
    TLSRPT,
    UNLISTED_DOMAIN,
)
from letterlock.demo.stage import Stage
from letterlock.demo.telling import CannotGoOn
from letterlock.protocols.tlsrpt.finding import read_file
from letterlock.protocols.tlsrpt.mail import find_mail_header, find_report_domain
from letterlock.protocols.tlsrpt.record import LABEL
from letterlock.protocols.tlsrpt.report import PolicyResult, ReadReport
from letterlock.protocols.tlsrpt.result_types import ResultType
from letterlock.services.report.sending import GRACE

_LOOK_SECONDS = 0.01
_ASKING = (LISTED_DOMAIN, UNLISTED_DOMAIN)


class DayAfter:
    """A clock that is ahead, so that today is over."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def now(self) -> datetime:
        return self._clock.now() + timedelta(days=1) + 2 * GRACE

    def monotonic(self) -> float:
        return self._clock.monotonic()


async def show_reports(screen: Screen, stage: Stage, clock: Clock) -> None:
    """Show the reports arrive at the receiver, and what the worse one of them says."""
    screen.begin_step("The day after: the domains hear of it")
    screen.explain(
        "Who wants to know how senders fared with his TLS says so in DNS (RFC 8460). The sender "
        "counted each session in the same commit as the message's fate; now it takes the day as "
        "over, and reports. Mail of that kind goes out signed."
    )
    names = ", ".join(f"{LABEL}.{domain}" for domain in _ASKING)
    screen.tell("asked in DNS", f"{names}: {TLSRPT}")
    before = set(stage.receiver.list_mailbox(ALICE))
    await stage.sender.send_reports(DayAfter(clock))
    mails = await _wait_for_reports(stage.receiver, before)
    screen.claim(
        f"a report about each is in {ALICE}'s mailbox, signed by {SENDER_DOMAIN}",
        holds=set(mails) == set(_ASKING)
        and all(f"d={SENDER_DOMAIN}".encode() in mail.read_bytes() for mail in mails.values()),
    )
    if set(mails) != set(_ASKING):
        raise CannotGoOn(f"the reports that came are about {', '.join(mails)}")
    await _quote(screen, mails[UNLISTED_DOMAIN])
    good, bad = _find_policy(mails[LISTED_DOMAIN]), _find_policy(mails[UNLISTED_DOMAIN])
    screen.claim(
        f"it says what happened: {UNLISTED_DOMAIN} 1 failed, {LISTED_DOMAIN} 1 fine",
        holds=(good.successful, good.failed, bad.successful, bad.failed) == (1, 0, 0, 1)
        and [(each.result_type, each.receiving_mx_hostname) for each in bad.failures]
        == [(ResultType.VALIDATION_FAILURE, RIGHT_HOST)],
    )


async def _wait_for_reports(node: Node, before: set[Path]) -> dict[str, Path]:
    """Give the mails that came, by the domain that each is about."""
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                new = set(node.list_mailbox(ALICE)) - before
                if len(new) == len(_ASKING):
                    return {_find_domain(mail): mail for mail in sorted(new)}
                await asyncio.sleep(_LOOK_SECONDS)
    except TimeoutError:
        raise CannotGoOn("the sender's reports did not arrive") from None


def _find_domain(mail: Path) -> str:
    return find_report_domain(find_mail_header(mail.read_bytes())) or "nobody"


def _find_policy(mail: Path) -> PolicyResult:
    """Give the one policy of the report that a mail carries."""
    found = read_file(mail.read_bytes())
    if len(found) != 1 or not isinstance(found[0], ReadReport):
        raise CannotGoOn(f"{mail} has no report that can be read")
    policies = found[0].report.policies
    if len(policies) != 1:
        raise CannotGoOn(f"the report in {mail} tells of {len(policies)} policies, not of one")
    return policies[0]


async def _quote(screen: Screen, mail: Path) -> None:
    """Quote what the receiver's operator reads of a report."""
    command = ("tlsrpt", "show", mail)
    screen.tell("the report", f"about {UNLISTED_DOMAIN}, as the receiver's operator reads it:")
    screen.quote([f"$ {format_command(*command)}"])
    code, lines = await run_command(*command)
    if code:
        screen.quote(lines)
        raise CannotGoOn(f"letterlock tlsrpt show ended with {code}")
    screen.quote(lines[1:])
