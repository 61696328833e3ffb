"""What answers questions about policy, as the settings say, for a command and without a node.

It reads what the node keeps of MTA-STS policies, where it may, and changes nothing: what it fetches
itself it keeps in memory.
"""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import fields, replace
from datetime import timedelta
from pathlib import Path

from letterlock.base.clock import Clock
from letterlock.base.config.inbound import ReceiveSection
from letterlock.base.config.outbound import DeliverSection, DeliverTimeouts
from letterlock.base.config.sections import Config
from letterlock.base.domains import Domain, DomainError, parse_domain
from letterlock.base.errors import LocalError
from letterlock.base.log import Service
from letterlock.node.building import (
    DeliveryBuilder,
    build_directory,
    find_mail_store,
    remote_settings,
)
from letterlock.node.mta_sts import make_finder
from letterlock.node.policy import describe_end, load_policy
from letterlock.node.relay_logins import build_logins
from letterlock.node.shared_database import find_database
from letterlock.protocols.policy.password_demand import HopSecret
from letterlock.protocols.sasl.client_steps import Credentials
from letterlock.protocols.smtp.envelope import TlsDemand
from letterlock.protocols.smtp.paths import AddressError, Mailbox, parse_mailbox
from letterlock.protocols.tables.expansion import Expanded
from letterlock.protocols.tables.transport import Fail, ToLmtp, ToMailbox
from letterlock.services.deliver.logins import Login, LoginUnknown
from letterlock.services.discover.mta_sts import MtaStsFinder
from letterlock.services.discover.resolver_check import ResolverState, check_resolver
from letterlock.services.explain.explainer import Explainer, parse_question
from letterlock.services.explain.explanation import Explanation, Question
from letterlock.services.explain.trials import Trials
from letterlock.services.receive.recipients import judge_recipient
from letterlock.services.redirect.tables import TableFiles, Tables
from letterlock.storage.policies import StoredPolicy
from letterlock.storage.queue import StoreUnavailable
from letterlock.storage.sqlite.node import MEMORY, NodeDatabase
from letterlock.storage.sqlite.policies import SqlitePolicies, read_policy

PATIENCE = timedelta(seconds=30)
"""For each step of a trial, and CONNECT_PATIENCE for the connection: somebody is looking on."""
CONNECT_PATIENCE = timedelta(seconds=10)
STAND_IN = Domain("localhost")
_LEASE = timedelta(minutes=5)


class Silence:
    """A log for commands, whose answer says it all."""

    def write(
        self, service: Service, text: str, *, queue_id: str | None = None, **fields: object
    ) -> None:
        """Write nothing."""


def make_default_config() -> Config:
    """Make settings for who has none: the defaults, and no mail of our own.

    No address is our own listener's then, and EHLO has this machine's name.
    """
    helo = _find_host_name()
    return Config(
        hostname=STAND_IN,
        domains=(),
        contact="",
        data_dir=Path("/nonexistent"),
        receive=ReceiveSection(listen=()),
        deliver=DeliverSection(helo_ipv4=helo, helo_ipv6=helo),
    )


async def explain(
    config: Config,
    text: str,
    demand: TlsDemand,
    clock: Clock,
    *,
    is_live: bool,
    sender: str = "",
) -> Explanation:
    """Explain what would become of mail for an address, a domain, or `[host]:port`.

    `sender` counts where senders have relay hosts of their own; empty: the null reverse-path.
    Raises NextHopError for what is none of these, LocalError for settings that can't be used.
    """
    table = load_policy(config.policy).table
    builder = DeliveryBuilder(_be_quick(config), table, clock, Silence(), workers=1)
    tables = _load_tables(config, clock)
    question = _with_mail_store(config, parse_question(text, builder.routing(), tables, sender))
    question = _with_refusal(config, text, question, tables)
    hop = question.next_hop
    domain = hop.domain if hop is not None and not hop.is_bracketed else None
    logins = build_logins(config, clock, Silence())
    login = (
        logins.find(hop, sender, is_relay=question.is_relay) if logins is not None and hop else None
    )
    async with _finding_policies(config, builder, domain, clock) as (finder, notes):

        async def check() -> ResolverState:
            return await check_resolver(
                builder.backend, config.dns.signed_name, config.dns.bogus_name
            )

        explainer = Explainer(
            finder=builder.route_finder(),
            policy=builder.policy(finder),
            resolver=builder.resolver,
            check_resolver=check,
            anchors=builder.anchors,
            trials=Trials(builder.dialer(), remote_settings(config)) if is_live else None,
            login=login,
            secret=logins.secret if logins is not None else HopSecret.NONE,
        )
        explanation = await explainer.explain(question, demand)
    if not config.policy.dane:
        notes.append("DANE is switched off here (policy.dane)")
    notes += [*_describe_login(login), *_describe_tables(text, sender, tables)]
    lapsed = table.on(clock.now().date()).find_lapsed(hop.key) if hop is not None else None
    if lapsed is not None:
        notes.append(describe_end(lapsed))
    return replace(explanation, notes=tuple(notes))


def _load_tables(config: Config, clock: Clock) -> Tables:
    ours = config.domains, config.hostname
    return TableFiles(config.maps, *ours, clock, directory=build_directory(config)).current()


def _with_mail_store(config: Config, question: Question) -> Question:
    """Name the server that has the mailboxes, where it is one."""
    is_mailbox = question.next_hop is None and isinstance(question.ending, ToMailbox)
    store = find_mail_store(config) if is_mailbox else None
    return question if store is None else replace(question, ending=ToLmtp(store))


def _with_refusal(config: Config, text: str, question: Question, tables: Tables) -> Question:
    """Say of an address that RCPT would refuse or put off for anybody that its mail goes nowhere.

    What follows then, for mail that came some other way, is what the refusal says, too.
    """
    recipient = _parse_recipient(text)
    if recipient is None:
        return question
    refused = judge_recipient(recipient, build_directory(config), tables, may_relay=True)
    if refused is None or isinstance(question.ending, Fail):
        return question
    words = refused.reason or refused.reply.lines[0].removeprefix(f"<{recipient}>: ")
    ending = Fail(refused.reply.status or "", words)
    return replace(question, next_hop=None, ending=ending, where=None)


def _parse_recipient(text: str) -> Mailbox | None:
    try:
        return parse_mailbox(text.strip())
    except AddressError:
        return None


def _describe_tables(text: str, sender: str, tables: Tables) -> list[str]:
    """Say what else depends on tables: aliases come before this, and the sender may count."""
    notes = []
    recipient = _parse_recipient(text)
    expansion = tables.expand(recipient) if recipient is not None else None
    if isinstance(expansion, Expanded):
        if expansion.destinations != (recipient,):
            ends = ", ".join(each.format() for each in expansion.destinations) or "nobody"
            notes.append(f"aliases: mail for it goes to {ends} instead; ask about that")
    elif expansion is not None:
        notes.append(f"aliases: mail for it waits: {expansion.reason}")
    if tables.sender_relays is not None and not sender:
        notes.append("senders may have relay hosts of their own (maps.sender_relay): --sender")
    return notes


def _describe_login(login: Login) -> list[str]:
    match login:
        case Credentials():
            return [f"we log in there as {login.user} ({login.where})"]
        case LoginUnknown():
            return [f"{login.reason}; this command reads the file with your rights"]
        case None:
            return []


@asynccontextmanager
async def _finding_policies(
    config: Config, builder: DeliveryBuilder, domain: Domain | None, clock: Clock
) -> AsyncIterator[tuple[MtaStsFinder | None, list[str]]]:
    """Find MTA-STS policies, beginning with what the node knows; and what is to be said of that."""
    notes: list[str] = []
    if not config.policy.mta_sts:
        yield None, ["MTA-STS is switched off here (policy.mta_sts)"]
        return
    store = SqlitePolicies(NodeDatabase(MEMORY, clock))
    await store.open()
    if domain is not None:
        try:
            kept = await load_kept(config, domain)
        except (StoreUnavailable, LocalError) as error:
            kept = None
            notes.append(
                f"the MTA-STS policies that the node keeps cannot be read by this command: {error}"
                "; where the node can't read them either, its mail waits"
            )
        now = clock.now()
        lease = await store.claim_fetch(domain, now, now + _LEASE) if kept is not None else None
        if kept is not None and lease is not None:
            await store.settle_fetch(lease, kept.entry)
    finder = make_finder(config, builder.resolver, store, builder.anchors.load, clock, Silence())
    try:
        yield finder, notes
    finally:
        await finder.close()
        await store.close()


async def load_kept(config: Config, domain: Domain) -> StoredPolicy | None:
    """Read what the node keeps of a domain. Raises StoreUnavailable and LocalError."""
    database = find_database(config)
    if database is None:
        return await read_policy(config.node_database, domain)
    # asyncpg is an extra: only loaded where it is used.
    from letterlock.storage.postgres import policies  # noqa: PLC0415 - asyncpg is an extra

    return await policies.read_policy(database, domain)


def _be_quick(config: Config) -> Config:
    """Wait less than a delivery does."""
    times = config.deliver.timeouts
    steps = {each.name: min(PATIENCE, getattr(times, each.name)) for each in fields(times)}
    steps["connect"] = min(CONNECT_PATIENCE, times.connect)
    return replace(config, deliver=replace(config.deliver, timeouts=DeliverTimeouts(**steps)))


def _find_host_name() -> Domain:
    try:
        return parse_domain(os.uname().nodename)
    except DomainError:
        return STAND_IN


def run(
    config: Config, text: str, demand: TlsDemand, clock: Clock, *, is_live: bool, sender: str = ""
) -> Explanation:
    """Do `explain` in an event loop of its own."""
    return asyncio.run(explain(config, text, demand, clock, is_live=is_live, sender=sender))
