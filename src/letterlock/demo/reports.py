"""The demo's last step: what domains hear, the day after, of the sessions that mail to them made.

RFC 8460. The sender counted each session when it settled the delivery, and reports when the day is
over; the receiver takes the reports out of its mail when their signature proves whose they are.
Nobody waits for midnight here: the clock of both nodes is set ahead, and what they do then they do
by themselves.
"""

import asyncio
from collections.abc import Iterable, Sequence
from datetime import timedelta
from pathlib import Path

from letterlock.base.clock import format_time
from letterlock.demo.commands import format_command, run_command
from letterlock.demo.nodes import PATIENCE_SECONDS, Node
from letterlock.demo.screen import Screen
from letterlock.demo.setting import (
    LISTED_DOMAIN,
    REPORTS,
    RIGHT_HOST,
    SENDER_DOMAIN,
    TLSRPT,
    UNLISTED_DOMAIN,
)
from letterlock.demo.stage import Stage
from letterlock.demo.telling import CannotGoOn
from letterlock.network.control_client import NodeNotRunning, NodeUnreachable
from letterlock.protocols.tlsrpt.record import LABEL
from letterlock.protocols.tlsrpt.report import PolicyResult
from letterlock.protocols.tlsrpt.result_types import ResultType
from letterlock.services.report.sending import GRACE
from letterlock.storage.received_reports import KeptResult, ListedReport, Standing, Way

_LOOK_SECONDS = 0.01
_ASKING = (LISTED_DOMAIN, UNLISTED_DOMAIN)

Told = list[tuple[str | None, int | None, int | None, list[tuple[str | None, str | None]]]]
"""Of each policy its type, sessions that were good and that failed, and each failure's kind and
MX host."""
_HAPPENED: dict[str, Told] = {
    LISTED_DOMAIN: [("sts", 1, 0, [])],
    UNLISTED_DOMAIN: [("sts", 0, 1, [(ResultType.VALIDATION_FAILURE, RIGHT_HOST)])],
}


async def show_reports(screen: Screen, stage: Stage) -> None:
    """Show the reports arrive at the receiving node, and what it says of them."""
    screen.begin_step("The day after: the domains hear of it")
    screen.explain(
        "Who wants to know how senders fared with his TLS says so in DNS (RFC 8460). The sender "
        "counted each session in the same commit as the message's fate. When the day is over it "
        "reports, by signed mail; the receiver takes in what is proved."
    )
    names = ", ".join(f"{LABEL}.{domain}" for domain in _ASKING)
    screen.tell("asked in DNS", f"{names}: {TLSRPT}")
    counted = {domain: await _list_counted(stage.sender, domain) for domain in _ASKING}
    await _let_a_day_pass(stage)
    screen.tell("a day later", f"it is {format_time(stage.clock.now())} for both nodes")
    mails = await _wait_for_mails(stage.receiver)
    screen.claim(
        f"{len(mails)} mails came to {REPORTS}, signed by {SENDER_DOMAIN}",
        holds=all(f"d={SENDER_DOMAIN};".encode() in mail.read_bytes() for mail in mails),
    )
    screen.claim(
        "on their way the receiver kept a report about each domain: its signature proves it",
        holds=are_proved(await stage.receiver.list_received()),
    )
    await _quote_all(screen, stage.receiver)
    told = {domain: compare_by(await stage.receiver.list_results(domain)) for domain in _ASKING}
    screen.claim(
        "what the sender counted, what happened and what the receiver was told agree: "
        f"{UNLISTED_DOMAIN} 1 failed, {LISTED_DOMAIN} 1 fine",
        holds=counted == told == _HAPPENED,
    )


def are_proved(kept: Iterable[ListedReport]) -> bool:
    """Say if these are one report about each domain, which came by mail, as the sender's, to count.

    A node counts only what a signature of its author's domain proves.
    """
    expected = (Way.MAIL, Standing.COUNTED, SENDER_DOMAIN)
    about = [
        each.facts.domains for each in kept if (each.way, each.standing, each.submitter) == expected
    ]
    return sorted(about) == sorted((domain,) for domain in _ASKING)


def compare_by(results: Iterable[PolicyResult | KeptResult]) -> Told:
    """Give what has to be the same at both ends."""
    return sorted(
        (
            each.type,
            each.successful,
            each.failed,
            [(failure.result_type, failure.receiving_mx_hostname) for failure in each.failures],
        )
        for each in results
    )


async def _list_counted(node: Node, domain: str) -> Told:
    counted = await node.list_counted()
    return compare_by(
        policy for results in counted if results.domain == domain for policy in results.policies
    )


async def _let_a_day_pass(stage: Stage) -> None:
    """Set the clock of both nodes to when all reports on today are due, and have the sender look.

    It would look by itself, some time later.
    """
    stage.clock.move(timedelta(days=1) + stage.sender.config.tlsrpt.send_within + GRACE)
    try:
        await stage.sender.wake_reports()
    except (NodeNotRunning, NodeUnreachable) as error:
        raise CannotGoOn(f"the sender could not be woken: {error}") from None


async def _wait_for_mails(node: Node) -> Sequence[Path]:
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                mails = node.list_mailbox(REPORTS)
                if len(mails) >= len(_ASKING):
                    return mails
                await asyncio.sleep(_LOOK_SECONDS)
    except TimeoutError:
        raise CannotGoOn("the sender's reports did not arrive") from None


async def _quote_all(screen: Screen, node: Node) -> None:
    """Quote what the receiver's operator reads."""
    screen.tell("kept there", f"about {UNLISTED_DOMAIN}, as the receiver's operator reads it:")
    commands = [("tlsrpt", what, UNLISTED_DOMAIN) for what in ("list", "summary")]
    async with asyncio.TaskGroup() as tasks:
        running = [
            tasks.create_task(run_command(*command, "--config", node.config_file))
            for command in commands
        ]
    for command, task in zip(commands, running, strict=True):
        code, lines = task.result()
        screen.quote([f"$ {format_command(*command, '--config', node.config_file)}", *lines])
        # The summary ends with 1 where there are failures.
        if code != (command[1] == "summary"):
            raise CannotGoOn(f"letterlock {' '.join(command)} ended with {code}")
