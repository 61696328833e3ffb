"""The report that an alias was followed, to senders that asked for reports of success.

RFC 3461 §5.2.7.3 (c). It is stored after the message: a process that dies in between loses the
report and not the mail.
"""

from collections.abc import Callable, Collection
from typing import Protocol

from letterlock.base.log import Log, Service
from letterlock.protocols.smtp.dsn import is_dsn_wanted
from letterlock.protocols.smtp.dsn_report import Action, OriginalMessage, ReportedRecipient
from letterlock.protocols.smtp.envelope import Recipient
from letterlock.services.queue.notices import NoticeMaker, Told
from letterlock.storage.queue import BodyWriter, NewMessage, StoreUnavailable


class _Store(Protocol):
    def write_body(self) -> BodyWriter: ...

    async def save(self, message: NewMessage) -> None: ...


class Reporter(Protocol):
    """What is needed of a `Receiver`."""

    @property
    def notices(self) -> NoticeMaker | None: ...

    @property
    def store(self) -> _Store: ...

    @property
    def log(self) -> Log: ...

    @property
    def wake(self) -> Callable[[Collection[str]], None]: ...


async def report_expanded(
    reporter: Reporter, message: NewMessage, expanded: tuple[Recipient, ...], header: bytes
) -> None:
    """Tell the sender of a stored message. What goes wrong is logged: the message is taken."""
    sender = message.envelope.sender
    reported = tuple(
        ReportedRecipient(each, "2.0.0", "alias expanded", last_attempt=message.received)
        for each in expanded
        if is_dsn_wanted(sender, each, Action.EXPANDED)
    )
    if reporter.notices is None or not reported:
        return
    original = OriginalMessage(
        message.envelope, message.queue_id, message.received, message.body.size, header
    )
    try:
        notice = await reporter.notices.make(
            Told(Action.EXPANDED, reported), original, reporter.store.write_body
        )
        await reporter.store.save(notice)
    except StoreUnavailable as error:
        text = f"warning: sender delivery status notification is lost: {error}"
    except Exception as error:  # noqa: BLE001 - the message is stored: it must get its 250
        text = f"error: sender delivery status notification broke: {error!r}"
    else:
        text = f"sender delivery status notification: {notice.queue_id}"
        reporter.wake(notice.destinations)
    reporter.log.write(Service.BOUNCE, text, queue_id=message.queue_id)
