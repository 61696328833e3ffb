"""An rspamd as a filter, asked over HTTP: one request for each whole message.

It is asked nothing about senders and recipients before: it says nothing of them without a message.
What it answers is carried out as its own milter has it, so that both ways give the same mail.
"""

from collections.abc import AsyncIterator, Iterator
from typing import Protocol

from msgspec import Struct

from letterlock.base.config.filters import FilteredMail
from letterlock.base.log import Log, Service
from letterlock.network.http_exchange import BodyStream, HttpFailed, HttpResponse
from letterlock.protocols.rspamd.answers import (
    AnswerError,
    RspamdAnswer,
    describe,
    parse_answer,
)
from letterlock.protocols.rspamd.requests import CheckFacts, format_check_headers
from letterlock.protocols.smtp.field_edits import (
    AppendField,
    ChangeField,
    DeleteField,
    FieldEdit,
    InsertField,
)
from letterlock.protocols.smtp.header_edits import cut_fields
from letterlock.protocols.smtp.header_fields import make_safe
from letterlock.protocols.smtp.replies import reply
from letterlock.services.filter.contract import (
    Answer,
    Discarded,
    Failed,
    FilterClient,
    FilterMail,
    FilterMessage,
    Judgement,
    Passed,
    Refused,
)

_MAX_REPLY_CHARACTERS = 400
_PASSED = Passed()


class RspamdAsker(Protocol):
    """See `network.rspamd_client.RspamdClient`."""

    async def check(
        self, headers: tuple[tuple[str, str], ...], message: BodyStream
    ) -> HttpResponse | HttpFailed: ...


class RspamdFilter(Struct, frozen=True):
    """One rspamd, for all sessions. `settings_id` "" names no settings of its."""

    name: str
    client: RspamdAsker
    log: Log
    settings_id: str = ""
    spam_field: str = "X-Spam"

    def begin(self, client: FilterClient) -> "RspamdFiltering":
        return RspamdFiltering(self, client)


class RspamdFiltering:
    """One session. There is nothing between its messages that could be ended or closed."""

    def __init__(self, rspamd: RspamdFilter, client: FilterClient) -> None:
        self._rspamd = rspamd
        self._client = client

    async def begin(self, mail: FilterMail) -> Answer:  # noqa: ARG002 - the envelope has it
        return _PASSED

    async def take_recipient(
        self,
        address: str,  # noqa: ARG002 - the envelope has it
        parameters: tuple[str, ...],  # noqa: ARG002
    ) -> Answer:
        return _PASSED

    async def judge(self, message: FilterMessage) -> Judgement:
        """Ask. Raises what reading the message raises."""
        rspamd = self._rspamd
        headers = format_check_headers(find_facts(self._client, message, rspamd.settings_id))
        octets = len(message.header) + 2 + message.body_octets
        response = await rspamd.client.check(headers, BodyStream(octets, _read(message)))
        answer = _read_response(response)
        if isinstance(answer, Failed):
            return Judgement(answer)
        rspamd.log.write(
            Service.SMTPD,
            f"rspamd: {make_safe(describe(answer))}",
            queue_id=message.queue_id,
            action=make_safe(answer.action),
            score=answer.score,
        )
        return judge_answer(answer, len(cut_fields(message.header)), rspamd.spam_field)

    def abort(self) -> None:
        """Nothing is under way."""

    def close(self) -> None:
        """Nothing is open."""


def find_facts(client: FilterClient, message: FilterMessage, settings_id: str = "") -> CheckFacts:
    """Give what rspamd is told of a message beside its octets."""
    envelope = message.envelope
    recipients = tuple(each.address for each in envelope.recipients)
    is_account = client.source is FilteredMail.SUBMISSION
    return CheckFacts(
        queue_id=message.queue_id,
        sender=envelope.sender,
        recipients=recipients,
        ip=client.ip,
        helo=client.helo,
        hostname=client.name or "",
        user=client.login or "" if is_account else "",
        tls_version=client.tls.version if client.tls is not None else "",
        tls_cipher=client.tls.cipher if client.tls is not None else "",
        mta_name=client.hostname,
        deliver_to=recipients[0] if len(recipients) == 1 else "",
        settings_id=settings_id,
    )


def judge_answer(answer: RspamdAnswer, field_count: int, spam_field: str = "X-Spam") -> Judgement:
    """Say what follows from an answer. `field_count`: how many fields the message has."""
    edits = [*_list_edits(answer, field_count)]
    action = answer.action
    if answer.is_advice:
        edits.append(AppendField("X-Rspamd-Action", _value(make_safe(action))))
        action = "no action"
    elif action == "reject" and answer.on_reject in {"discard", "quarantine"}:
        action = answer.on_reject
    match action:
        case "reject":
            text = answer.message or "Spam message rejected"
            return Judgement(Refused(reply(554, "5.7.1", _make_line(text))))
        case "soft reject":
            text = answer.message or "Try again later"
            return Judgement(Refused(reply(451, "4.7.1", _make_line(text))))
        case "discard":
            return Judgement(Discarded(_make_line(answer.message or "")))
        case "add header":
            edits += _mark_spam(answer, spam_field)
        case "rewrite subject" if answer.subject is not None:
            edits.append(ChangeField("Subject", 1, _value(answer.subject)))
        case _:
            # No action, greylist (rspamd itself says soft reject when it is time to), quarantine,
            # and those that its owner made: it is delivered.
            pass
    is_kept_back = action == "quarantine"
    return Judgement(
        edits=tuple(edits),
        quarantine=_make_line(answer.message or "Spam message quarantined")
        if is_kept_back
        else None,
        sender=_strip(answer.sender) if answer.sender is not None else None,
        added=tuple(map(_strip, answer.added_recipients)),
        removed=tuple(map(_strip, answer.removed_recipients)),
    )


def _read_response(response: HttpResponse | HttpFailed) -> RspamdAnswer | Failed:
    if isinstance(response, HttpFailed):
        return Failed(make_safe(response.reason))
    try:
        answer = parse_answer(response.body)
    except AnswerError as error:
        return Failed(f"HTTP status {response.status}, {make_safe(str(error))}")
    return answer if response.status == 200 else Failed(f"HTTP status {response.status}")


async def _read(message: FilterMessage) -> AsyncIterator[bytes]:
    yield message.header + b"\r\n"
    async for piece in message.read_body():
        yield piece


def _list_edits(answer: RspamdAnswer, field_count: int) -> Iterator[FieldEdit]:
    """Give what is to be done to the header whatever the action is, in rspamd's order."""
    for each in answer.removed:
        yield DeleteField(each.name, each.number or None)
    for field in answer.added:
        if field.order is None:
            yield AppendField(field.name, _value(field.value))
        else:
            order = field.order if field.order >= 0 else field_count + field.order + 1
            yield InsertField(_count_above(order), field.name, _value(field.value))
    for number, signature in enumerate(answer.signatures):
        yield InsertField(number, "DKIM-Signature", _value(signature))


def _count_above(order: int) -> int:
    """Turn a place among fields that begin with our Received into how many stay above."""
    return max(0, order - 1)


def _mark_spam(answer: RspamdAnswer, spam_field: str) -> Iterator[FieldEdit]:
    marks = [(each.name or spam_field, each.value) for each in answer.spam_fields]
    for name, value in marks or [(spam_field, "Yes")]:
        yield DeleteField(name)
        yield AppendField(name, _value(value))


def _value(text: str) -> bytes:
    return b" " + text.encode("utf-8", "replace")


def _make_line(text: str) -> str:
    return make_safe(text, max_characters=_MAX_REPLY_CHARACTERS)


def _strip(address: str) -> str:
    return address.strip().removeprefix("<").removesuffix(">")
