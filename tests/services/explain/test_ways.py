"""What `policy explain` tells of a way is what delivery does, for each kind of it."""

from datetime import timedelta
from typing import Any

import pytest

from letterlock.base.domains import Domain
from letterlock.protocols.smtp.envelope import BodyType, Recipient
from letterlock.protocols.tables.expansion import AddressTables
from letterlock.protocols.tables.transport import (
    Discard,
    Fail,
    LmtpHost,
    LmtpSocket,
    ToLmtp,
    ToMailbox,
)
from letterlock.services.deliver.delivery import ClaimDelivery
from letterlock.services.deliver.ways import Routing
from letterlock.services.discover.next_hop import NextHop, parse_next_hop
from letterlock.services.explain.document import describe_explanation
from letterlock.services.explain.explainer import parse_question
from letterlock.services.explain.explanation import Explanation, Question
from letterlock.services.queue.outcomes import Delivery, Result, same_for_all
from letterlock.services.redirect.files import Unreadable
from letterlock.services.redirect.tables import (
    FixedTables,
    Tables,
    parse_sender_relay_file,
    parse_transport_file,
)
from letterlock.storage.queue import Claim, ClaimedRecipient, QueueId
from tests.fakes import START, FakeClock
from tests.services.explain.asking import RESOLVER

TRANSPORT = b"""\
mailbox.example local:
lmtp.example lmtp:unix:/run/lmtp
lmtphost.example lmtp:inet:[192.0.2.1]:24
smart.example smtp:[smart.example.net]:587
own.example smtp:
.parent.example relay:[up.example.net]
gone.example discard:thrown away
bad.example error:5.7.1 not here
later.example retry:not now
wrong.example uucp:x
one@ours.example smtp:[elsewhere.example]
any@[192.0.2.8] smtp:[elsewhere.example]
"""
SENDER_RELAYS = b"""\
bob@ours.example [bobs.example.net]:587
@wide.example [wide.example.net]
odd@ours.example [::
usual@wide.example DUNNO
"""
TABLES = Tables(
    AddressTables("ours.example", {"ours.example"}.__contains__, delimiter="+"),
    transport=parse_transport_file(TRANSPORT, "t"),
    sender_relays=parse_sender_relay_file(SENDER_RELAYS, "s"),
)
BROKEN = Unreadable("/t: No such file or directory")
ROUTES = {Domain("routed.example"): parse_next_hop("[route.example]:26")}
RECIPIENTS = (
    *("any@mailbox.example", "any@lmtp.example", "any@lmtphost.example", "any@smart.example"),
    *("any@own.example", "any@sub.parent.example", "any@gone.example", "any@bad.example"),
    *("any@later.example", "any@wrong.example", "one@ours.example", "one+tag@ours.example"),
    *("two@ours.example", "any@routed.example", "any@else.example", '"a b"@else.example'),
    *("any@[192.0.2.7]", "any@[192.0.2.8]", "any@[IPv6:2001:db8::7]", "any@[192.0.2.1]"),
)
SENDERS = ("", "bob@ours.example", "x@wide.example", "odd@ours.example", "usual@wide.example")


class Spy:
    """In the place of all that delivers: notes what it was asked for, in a question's terms."""

    clock = FakeClock()

    def __init__(self) -> None:
        self.done: list[object] = []

    async def deliver(
        self, claim: Claim, *asked: object, is_relay: bool = False, is_chosen: bool = False
    ) -> Delivery:
        match asked:
            case (NextHop() as next_hop, _):
                self.done.append((next_hop, is_relay, is_chosen))
            case (LmtpSocket() | LmtpHost() as server, _):
                self.done.append(ToLmtp(server))
            case _:
                self.done.append(ToMailbox())
        numbers = [item.number for item in claim.recipients]
        return Delivery(same_for_all(numbers, Result.DELIVERED, "2.0.0", "done"))


async def deliver(recipient: str, sender: str, tables: Tables, routing: Routing) -> object:
    """Give what delivery does with mail: a next hop, a server, a mailbox, or how it ends."""
    spy: Any = Spy()
    given = FixedTables(tables)
    claimed = ClaimedRecipient(0, Recipient(recipient), 0, is_delay_notified=False)
    claim = Claim(
        queue_id=QueueId("4F2k"),
        destination=recipient.rpartition("@")[2],
        lease="lease",
        lease_until=START + timedelta(hours=1),
        sender=sender,
        recipients=(claimed,),
        body_type=BodyType.SEVEN_BIT,
        smtputf8=False,
        ret=None,
        envid=None,
        size=100,
        received=START,
        expires=START + timedelta(days=5),
    )
    done = await ClaimDelivery(routing, spy, spy, spy, None, given).deliver(claim, spy)
    if spy.done:
        return spy.done[0]
    (outcome,) = done.outcomes
    if outcome.result is Result.DELIVERED:
        return Discard(outcome.reply)
    is_final = outcome.result is Result.FAILED
    assert outcome.status.startswith("5") is is_final
    return Fail(outcome.status, outcome.reply)


def tell(question: Question) -> object:
    """Give what is explained, in the same terms."""
    if question.next_hop is not None:
        return question.next_hop, question.is_relay, question.is_chosen
    return question.ending


@pytest.mark.parametrize("relayhost", [None, "[relay.example.net]:587"])
@pytest.mark.parametrize("sender", SENDERS)
@pytest.mark.parametrize("recipient", RECIPIENTS)
async def test_what_is_told_is_what_is_done(
    recipient: str, sender: str, relayhost: str | None
) -> None:
    relay = parse_next_hop(relayhost) if relayhost is not None else None
    own = "[192.0.2.1]".__eq__
    routing = Routing(frozenset({"ours.example"}), ROUTES, relay, is_own_literal=own)
    told = tell(parse_question(recipient, routing, TABLES, sender))
    assert told == await deliver(recipient, sender, TABLES, routing)


@pytest.mark.parametrize(
    "tables",
    [Tables(TABLES.addresses, transport=BROKEN), Tables(TABLES.addresses, sender_relays=BROKEN)],
)
async def test_a_table_that_cannot_be_read_keeps_mail_waiting_in_both(tables: Tables) -> None:
    routing = Routing(frozenset(), {}, None)
    told = tell(parse_question("a@else.example", routing, tables))
    assert told == Fail("4.3.5", BROKEN.reason)
    assert told == await deliver("a@else.example", "", tables, routing)


DECIDED = {
    "any@mailbox.example": ("deliver", "mailbox", None, "t:1", "it goes into a mailbox of ours"),
    "any@lmtp.example": ("deliver", "lmtp", "unix:/run/lmtp", "t:2", "by LMTP, which is not tried"),
    "any@gone.example": ("deliver", "discard", None, "t:7", "it is thrown away: thrown away"),
    "any@bad.example": ("bounce", "error", None, "t:8", "5.7.1 not here (t:8)"),
    "any@later.example": ("defer", "error", None, "t:9", "4.0.0 not now (t:9)"),
    "wrong.example": ("defer", "error", None, None, "4.3.5 t:10: "),
    "two@ours.example": ("deliver", "mailbox", None, None, "ours.example is a domain of ours"),
    "two@[192.0.2.1]": ("deliver", "mailbox", None, None, "[192.0.2.1] is an address of ours"),
}


@pytest.mark.parametrize("asked", DECIDED)
def test_mail_that_goes_to_no_next_hop_is_explained_too(asked: str) -> None:
    own = "[192.0.2.1]".__eq__
    routing = Routing(frozenset({"ours.example"}), {}, None, is_own_literal=own)
    question = parse_question(asked, routing, TABLES)
    document = describe_explanation(Explanation(question, RESOLVER, None))
    decision, kind, to, where, reason = DECIDED[asked]
    assert document["decision"] == decision
    assert document["way"] == {"kind": kind, "to": to, "where": where}
    assert reason in document["reason"]
    assert document["next_hop"] is None


def test_a_next_hop_of_a_table_is_named_with_its_line() -> None:
    routing = Routing(frozenset(), {}, None)
    question = parse_question("any@smart.example", routing, TABLES)
    assert (question.next_hop, question.where) == (parse_next_hop("[smart.example.net]:587"), "t:4")
    assert question.is_routed
    relayed = parse_question("any@else.example", routing, TABLES, "bob@ours.example")
    assert (relayed.is_relay, relayed.where) == (True, "s:1")
    assert parse_question("[192.0.2.1]:26", routing, TABLES).where is None
