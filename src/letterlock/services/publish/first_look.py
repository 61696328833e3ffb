"""Whether a host is fit to take and to send mail, as far as it sees itself: what to look at.

RFC 5321 §2.3.5, §4.1.4 (names and addresses of hosts), RFC 8461 §3.3 and RFC 7672 §3.1 (what a host
before this one may have left behind). Pure: looking is `first_looking`. What is missing of the
records to publish is told by `check`, once they are.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from letterlock.base.domains import Domain
from letterlock.base.printable import make_line
from letterlock.network.public_addresses import is_public
from letterlock.protocols.dns.answers import Answer, Security
from letterlock.protocols.mta_sts.record import LABEL as MTA_STS_LABEL
from letterlock.protocols.mta_sts.record import parse_record
from letterlock.services.discover.resolver_check import ResolverState, SelfTest
from letterlock.services.publish.checks.hosts import check_hosts, check_reverse
from letterlock.services.publish.checks.null_mx import has_null_mx
from letterlock.services.publish.findings import Code
from letterlock.services.publish.observed import Observed
from letterlock.services.publish.records import IpAddress, OwnHost, Plan, below

MAX_NAMED_HOSTS = 3
MAX_SAID_CHARACTERS = 80


class RemarkCode(StrEnum):
    """What to look at. Others script against these words; those of addresses are `Code`."""

    NO_DNS = "no-dns"
    NO_DNSSEC = "no-dnssec"
    NO_WAY_OUT = "no-way-out"
    BEHIND_ROUTER = "behind-a-router"
    PORT_CLOSED = "port-25-closed"
    PORT_TAKEN = "port-taken"
    MX_ELSEWHERE = "mx-elsewhere"
    MX_NULL = "mx-null"
    MTA_STS_THERE = "mta-sts-there"
    TLSA_THERE = "tlsa-there"


@dataclass(frozen=True, slots=True)
class Remark:
    """One thing to look at; `fix` is what to change, as a line for people."""

    code: str
    text: str
    fix: str


@dataclass(frozen=True, slots=True)
class Knock:
    """A host of others whose port 25 was tried; `said` is its first line, or why there is none."""

    host: Domain
    address: IpAddress
    is_answered: bool
    said: str


@dataclass(frozen=True, slots=True)
class TakenPort:
    """A port of this machine that we are to listen on, where somebody answers who is not us."""

    place: str
    said: str
    setting: str


@dataclass(frozen=True, slots=True)
class HostSeen:
    """What was seen. `outgoing` are the addresses by which this machine reaches the Internet.

    `known` are those by which others reach it, as far as that is known here. `plans` are what our
    domains should publish, and `observed` what they do. `is_new`: no node ran here yet, so that
    what is published of the host is of another one. `resolver` None: it did not answer in time.
    `knocks` is empty where none was made, as where another host sends our mail.
    """

    host: Domain
    outgoing: tuple[IpAddress, ...]
    known: tuple[IpAddress, ...]
    plans: Mapping[Domain, Plan]
    is_new: bool = False
    resolver: ResolverState | None = None
    observed: Mapping[Domain, Observed] = field(default_factory=dict)
    knocks: tuple[Knock, ...] = ()
    taken: tuple[TakenPort, ...] = ()


def list_remarks(seen: HostSeen) -> Iterator[Remark]:
    """Give what to look at, in the order in which to mend it."""
    yield from _judge_ports(seen)
    if not seen.outgoing:
        text = "this machine has no way to the Internet: nothing more could be looked at"
        yield Remark(RemarkCode.NO_WAY_OUT, text, "give it an address and a default route")
        return
    yield from _judge_resolver(seen)
    if not seen.known and not any(map(is_public, seen.outgoing)):
        addresses = ", ".join(map(str, seen.outgoing))
        text = (
            f"this machine's addresses are not of the Internet ({addresses}): a router translates"
        )
        fix = (
            "have the router pass port 25 on to this machine, and name the address outside in "
            "deliver.own_addresses"
        )
        yield Remark(RemarkCode.BEHIND_ROUTER, text, fix)
    yield from _judge_knocks(seen)
    for domain, observed in seen.observed.items():
        yield from _judge_domain(seen, domain, observed)
    yield from dict.fromkeys(_judge_host(seen))


def _judge_ports(seen: HostSeen) -> Iterator[Remark]:
    for taken in seen.taken:
        said = f", and says {_show(taken.said)}" if taken.said else ""
        text = f"another program answers at {taken.place}{said}: the node can't listen there"
        yield Remark(RemarkCode.PORT_TAKEN, text, f"stop that program, or change {taken.setting}")


def _judge_resolver(seen: HostSeen) -> Iterator[Remark]:
    state = seen.resolver
    answers = [each for one in seen.observed.values() for each in one.answers.values()]
    if state is None or state.self_test is SelfTest.UNDECIDED or _is_silent(answers):
        where = f" {state.address}" if state is not None else ""
        text = f"the resolver{where} does not answer: names could not be looked up"
        fix = "see that it runs and is reached; dns.resolver names another"
        yield Remark(RemarkCode.NO_DNS, text, fix)
    elif state.self_test is not SelfTest.PASSED:
        yield Remark(RemarkCode.NO_DNSSEC, f"no DANE: {state.reason}", state.advice)


def _is_silent(answers: Sequence[Answer]) -> bool:
    """Say whether nothing was answered at all: one broken zone is another fault."""
    return all(answer.security is Security.FAILED for answer in answers)


def _judge_knocks(seen: HostSeen) -> Iterator[Remark]:
    """Tell of each IP version by which nobody was reached."""
    for version in sorted({knock.address.version for knock in seen.knocks}):
        of_version = [knock for knock in seen.knocks if knock.address.version == version]
        if any(knock.is_answered for knock in of_version):
            continue
        tried = "; ".join(f"{each.host}[{each.address}]: {_show(each.said)}" for each in of_version)
        text = f"port 25 of others is not reached by IPv{version}, so no mail leaves: {tried}"
        fix = (
            "ask who gave you this machine to open port 25 for outgoing connections; or send by "
            "another host: deliver.relayhost"
        )
        if version == 6:
            fix = f'{fix}; or by IPv4 alone: deliver.families = ["ipv4"]'
        yield Remark(RemarkCode.PORT_CLOSED, text, fix)


def _judge_domain(seen: HostSeen, domain: Domain, observed: Observed) -> Iterator[Remark]:
    own = {host.name for host in seen.plans[domain].own.hosts}
    exchanges = [record.exchange for record in observed.find_mx() if record.exchange is not None]
    others = [name for name in dict.fromkeys(exchanges) if name not in own]
    if others and not own & set(exchanges):
        more = f" and {len(others) - MAX_NAMED_HOSTS} more" if len(others) > MAX_NAMED_HOSTS else ""
        text = f"mail for {domain} goes to {', '.join(others[:MAX_NAMED_HOSTS])}{more} now"
        fix = f"change the MX record last, when {seen.host} takes mail for all its addresses"
        yield Remark(RemarkCode.MX_ELSEWHERE, text, fix)
    if has_null_mx(observed):
        text = f"{domain} has a null MX: it says that it takes no mail"
        yield Remark(RemarkCode.MX_NULL, text, "put the new MX record in its place")
    name = below(MTA_STS_LABEL, domain)
    is_policy_ours = seen.plans[domain].own.policy is not None
    if not is_policy_ours and parse_record(observed.find_texts(name, "")) is not None:
        text = f"{domain} has an MTA-STS policy already, by which senders go"
        fix = f"list {seen.host} in it, with a new id, before you change the MX record"
        yield Remark(RemarkCode.MTA_STS_THERE, text, fix)


def _judge_host(seen: HostSeen) -> Iterator[Remark]:
    for domain, observed in seen.observed.items():
        for found in check_hosts(observed, seen.plans[domain]):
            is_to_be_published = seen.is_new and bool(seen.known)
            if not (is_to_be_published and found.code is Code.ADDRESS_MISSING):
                # Of a new host it stands among the records to publish, where it is known.
                yield Remark(str(found.code), found.text, found.fix)
        yield from _judge_reverse(seen, observed)
        answer = observed.find_tlsa(seen.host)
        if seen.is_new and answer.records:
            text = f"{answer.name} has TLSA records, of the key of a host before this one"
            fix = "remove them first, or take over that key: else senders with DANE don't deliver"
            yield Remark(RemarkCode.TLSA_THERE, text, fix)


def _judge_reverse(seen: HostSeen, observed: Observed) -> Iterator[Remark]:
    """Look at the names of our addresses that are not published yet: who gives them takes days."""
    host = OwnHost(seen.host, addresses=seen.known)
    for address in seen.known:
        if address not in observed.find_addresses(seen.host):
            for found in check_reverse(observed, host, address):
                if found.code is not Code.PTR_NOT_CONFIRMED:
                    yield Remark(str(found.code), found.text, found.fix)


def _show(said: str) -> str:
    return make_line(said, MAX_SAID_CHARACTERS)
