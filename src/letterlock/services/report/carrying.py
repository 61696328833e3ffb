"""How a report gets to one destination: as a signed mail, or by POST over HTTPS.

RFC 8460 §5.3 (mail: signed, in spite of failures of TLS), §5.4 (POST: any 2xx is success);
RFC 9110 §10.2.3 (Retry-After). Each
carrier says whether a report was taken, or why not, in one line; when it is tried again is
`sending`'s. Mail counts as taken when it is in the queue, which gives up after 24 hours (§5.5).
Nobody is told of mail that cannot be delivered: there is no second report about a report. That it
was given up is noted by `undelivered`.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Protocol

import msgspec

from letterlock.base.clock import Clock
from letterlock.base.counts import format_count
from letterlock.network.http_exchange import (
    HttpBounds,
    HttpFailed,
    HttpRequest,
    HttpResponse,
)
from letterlock.protocols.acme.headers import parse_retry_after
from letterlock.protocols.smtp.envelope import Envelope
from letterlock.protocols.smtp.header_fields import format_date
from letterlock.protocols.tlsrpt.destinations import HttpsDestination, MailDestination
from letterlock.protocols.tlsrpt.file_names import FileName
from letterlock.protocols.tlsrpt.mail import GZIP_TYPE, ReportMail, format_report_mail, pack
from letterlock.services.queue.own_mail import Outbox, OwnMail
from letterlock.services.report.composing import Submitter
from letterlock.storage.queue import QueueId

LIFETIME = timedelta(hours=24)
"""RFC 8460 §5.5: redelivery for up to 24 hours."""
REPORT = "report"
"""What a message of the queue comes from has the report's identifier under this name,"""
PLACE = "report_place"
"""and under this one which of its destinations it goes to, from 0 on."""
POST_SECONDS = 30.0
_BOUNDS = HttpBounds(POST_SECONDS, max_body_octets=64 * 1024, max_received_octets=256 * 1024)
_SHOWN_POLICIES = 20
_COME_AGAIN = (429, 503)
"""The statuses whose Retry-After is heeded."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A report on its way; `octets` are the JSON."""

    report_id: str
    domain: str
    day: date
    octets: bytes


@dataclass(frozen=True, slots=True)
class NotTaken:
    """Why a report was not taken, in one line; `wait`: for how long the server wants to be left."""

    reason: str
    wait: timedelta | None = None


class MailCarrier(Protocol):
    """Has a report delivered as mail. `number` tells the destinations of a report apart."""

    async def send(self, report: Outgoing, destination: MailDestination, number: int) -> str | None:
        """Give None when it was taken, or else why not. Raises StoreUnavailable."""


class Asker(Protocol):
    """Asks a server over HTTPS."""

    async def ask(
        self,
        request: HttpRequest,
        bounds: HttpBounds,
        wants_body: Callable[[HttpResponse], bool],
    ) -> HttpResponse | HttpFailed: ...


@dataclass(frozen=True, slots=True)
class ReportWriter:
    """Writes the mail that carries a report.

    `sign` puts our signatures in front, if we have any; `check` says why nobody would take them.

    The same report to the same destination has the same Message-ID each time.
    """

    submitter: Submitter
    sign: Callable[[bytes], bytes]
    check: Callable[[bytes, datetime], Awaitable[str | None]]

    async def write(
        self, report: Outgoing, destination: MailDestination, number: int, now: datetime
    ) -> bytes | str:
        """Give a mail, or why it cannot be written."""
        start = datetime.combine(report.day, time(), UTC)
        begin = int(start.timestamp())
        left, _, right = report.report_id.partition("@")
        name = FileName(
            self.submitter.domain, report.domain, begin, begin + 86_399, left.rpartition(".")[2]
        )
        mail = ReportMail(
            sender=self.submitter.contact,
            recipient=destination.address,
            date=format_date(now),
            message_id=f"<{left}.{number}@{right}>",
            report_id=report.report_id,
            file_name=name,
            octets=report.octets,
            text=self._describe(report),
        )
        try:
            content = format_report_mail(mail)
        except ValueError as error:
            return str(error)
        signed = self.sign(content)
        fault = await self.check(signed, now)
        return signed if fault is None else fault

    def _describe(self, report: Outgoing) -> str:
        lines = [
            f"This is a report on TLS (RFC 8460) about mail from {self.submitter.organization}",
            f"to {report.domain} on {report.day.isoformat()}, a day of UTC.",
            "",
        ]
        policies = msgspec.json.decode(report.octets)["policies"]
        for each in policies[:_SHOWN_POLICIES]:
            summary = each["summary"]
            failed = summary["total-failure-session-count"]
            total = summary["total-successful-session-count"] + failed
            policy = each["policy"]
            lines.append(
                f"{policy['policy-type']} {policy['policy-domain']}: "
                f"{failed} of {format_count(total, 'session')} failed"
            )
        if len(policies) > _SHOWN_POLICIES:
            lines.append("...")
        return "\n".join([*lines, "", "All of it is attached, as JSON packed by gzip."])


@dataclass(frozen=True, slots=True)
class QueueCarrier:
    """Puts reports into the queue of this node."""

    writer: ReportWriter
    outbox: Outbox
    clock: Clock
    make_id: Callable[[], QueueId]
    redirect: Callable[[Envelope], Envelope] = lambda envelope: envelope
    """Follows the aliases of those who get a report here."""

    async def send(self, report: Outgoing, destination: MailDestination, number: int) -> str | None:
        now = self.clock.now()
        content = await self.writer.write(report, destination, number, now)
        if isinstance(content, str):
            return content
        mail = OwnMail(self.outbox, self.make_id, self.redirect, LIFETIME)
        about = {REPORT: report.report_id, PLACE: str(number)}
        sender = self.writer.submitter.contact
        await mail.put(sender, (destination.address,), content, now, about)
        return None


@dataclass(frozen=True, slots=True)
class HttpsCarrier:
    """Posts reports. The server has to prove its name, and no redirect is followed."""

    client: Asker
    clock: Clock

    async def post(self, report: Outgoing, destination: HttpsDestination) -> NotTaken | None:
        """Give None when it was taken, or else why not."""
        request = HttpRequest(
            destination.host,
            destination.target,
            destination.port,
            "POST",
            (("Content-Type", GZIP_TYPE),),
            pack(report.octets),
        )
        answer = await self.client.ask(request, _BOUNDS, lambda _: False)
        if isinstance(answer, HttpFailed):
            return NotTaken(answer.reason)
        if 200 <= answer.status < 300:
            return None
        reason = f"{destination.host}: HTTP status {answer.status}"
        return NotTaken(reason, self._find_wait(answer))

    def _find_wait(self, answer: HttpResponse) -> timedelta | None:
        values = answer.find(b"retry-after") if answer.status in _COME_AGAIN else []
        return parse_retry_after(values[0], self.clock.now()) if len(values) == 1 else None
