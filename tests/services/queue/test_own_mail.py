"""Mail that the node writes itself: what it is in the queue, and to whom it goes."""

from datetime import timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace

from letterlock.protocols.smtp.envelope import Envelope, Notify, Recipient, TlsDemand
from letterlock.services.queue.own_mail import OwnMail
from letterlock.storage.ids import QueueIds
from tests.fakes import FakeClock
from tests.services.report.test_carrying import Box, queue_in

DAY = timedelta(days=1)


def forward(envelope: Envelope) -> Envelope:
    """Have an alias lead elsewhere."""
    (first, *rest) = envelope.recipients
    return replace(envelope, recipients=(Recipient("on@call.example", first.notify), *rest))


@pytest.mark.parametrize(
    ("sender", "to", "needs_utf8"),
    [
        ("node@ours.example", "a@one.example", False),
        ("node@ours.example", "jürgen@one.example", True),
        ("büro@ours.example", "a@one.example", True),
    ],
)
async def test_it_is_kept_for_whom_aliases_lead_to_and_tells_nobody(
    sender: str, to: str, needs_utf8: bool, tmp_path: Path
) -> None:
    """RFC 8460 §5.3, RFC 8689 §5: it goes in spite of TLS. RFC 6531 §3.4: SMTPUTF8 if need be."""
    clock = FakeClock()
    async with queue_in(tmp_path) as store:
        box = Box(store)
        mail = OwnMail(box, QueueIds(clock).make, forward, DAY)
        await mail.put(sender, (to, "b@two.example"), b"hello", clock.now(), {"alert": "7"})
        (message,) = await store.list_messages()
        content = b"".join([piece async for piece in store.read_body(message.queue_id)])
    envelope = box.message.envelope
    assert [each.address for each in envelope.recipients] == ["on@call.example", "b@two.example"]
    assert {each.notify for each in envelope.recipients} == {frozenset({Notify.NEVER})}
    assert (envelope.smtputf8, envelope.tls_demand) == (needs_utf8, TlsDemand.TLS_REQUIRED_NO)
    assert box.woken == ["call.example", "two.example"]
    assert message.expires - message.received == DAY
    assert (message.origin["client"], message.origin["alert"]) == ("local", "7")
    assert content == b"hello"
