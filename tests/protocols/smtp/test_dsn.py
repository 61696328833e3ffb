"""Delivery status notifications: who gets one, and the message itself."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from letterlock.protocols.smtp.dsn import (
    MAX_RETURNED_OCTETS,
    is_content_returned,
    is_dsn_wanted,
    make_dsn,
)
from letterlock.protocols.smtp.dsn_report import (
    Action,
    DsnReport,
    OriginalMessage,
    ReportedRecipient,
    Tried,
)
from letterlock.protocols.smtp.envelope import (
    BodyType,
    Envelope,
    Notify,
    Recipient,
    Ret,
    TlsDemand,
)
from letterlock.protocols.tlsrpt.result_types import ResultType

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
BOB = Recipient("bob@example.com")
HEADER = b"From: alice@example.org\r\nSubject: hello\r\n"
CONTENT = HEADER + b"\r\nHello, Bob.\r\n.\r\n"
TOKEN = "0123456789abcdef"


def report(
    action: Action = Action.FAILED,
    *,
    header: bytes = HEADER,
    content: bytes | None = CONTENT,
    envelope: Envelope | None = None,
    reported: ReportedRecipient | None = None,
) -> DsnReport:
    return DsnReport(
        action=action,
        original=OriginalMessage(
            envelope=envelope or Envelope("alice@example.org", (BOB,)),
            queue_id="4XYZ",
            arrived=NOON - timedelta(hours=5),
            size=len(content or b""),
            header=header,
            content=content,
        ),
        recipients=(
            reported
            or ReportedRecipient(
                BOB, "5.1.1", "550 5.1.1 no such user", "mx.example.com[192.0.2.1]", NOON
            ),
        ),
        reporting_mta="mx1.example.org",
        queue_id="5ABC",
        now=NOON,
        token=TOKEN,
    )


def parse(of: DsnReport) -> EmailMessage:
    """Read a notification as a mail reader does; nothing in it may be defective."""
    content = make_dsn(of).content
    lines = content.split(b"\r\n")
    assert not any(b"\r" in line or b"\n" in line for line in lines)
    message = message_from_bytes(content, policy=policy.default)
    assert isinstance(message, EmailMessage)
    assert [defect for part in message.walk() for defect in part.defects] == []
    return message


def parts(of: DsnReport) -> list[EmailMessage]:
    return cast("list[EmailMessage]", parse(of).get_payload())


def status(of: DsnReport) -> list[dict[str, str]]:
    """Give the groups of fields in the machine's part."""
    part = parts(of)[1]
    if part.get_content_subtype() == "delivery-status":
        groups = cast("list[EmailMessage]", part.get_payload())
        return [{name.lower(): value for name, value in group.items()} for group in groups]
    body = part.get_payload(decode=True)
    if body is None:  # the parser takes it for a message, and its first group for the header
        (inner,) = cast("list[EmailMessage]", part.get_payload())
        body = inner.as_bytes()
    assert isinstance(body, bytes)
    return [
        dict(line.lower().split(": ", 1) for line in group.splitlines())
        for group in body.decode().replace("\r\n", "\n").replace("\n ", " ").strip().split("\n\n")
    ]


def explanation(of: DsnReport) -> str:
    return " ".join(str(parts(of)[0].get_content()).split())


@pytest.mark.parametrize("action", Action)
@pytest.mark.parametrize(
    ("notify", "told"),
    [
        ((), {Action.FAILED, Action.DELAYED}),
        ((Notify.NEVER,), set()),
        ((Notify.SUCCESS,), {Action.DELIVERED, Action.RELAYED, Action.EXPANDED}),
        ((Notify.FAILURE,), {Action.FAILED}),
        ((Notify.DELAY,), {Action.DELAYED}),
        ((Notify.SUCCESS, Notify.FAILURE, Notify.DELAY), set(Action)),
    ],
)
def test_senders_are_told_what_they_asked_for(
    notify: tuple[Notify, ...], told: set[Action], action: Action
) -> None:
    """RFC 3461 §4.1, §5.2.2, §5.2.3, §5.2.5, §5.2.6, §5.2.7.3."""
    recipient = Recipient("bob@example.com", frozenset(notify))
    assert is_dsn_wanted("alice@example.org", recipient, action) is (action in told)
    assert not is_dsn_wanted("", recipient, action)


def test_the_null_sender_is_never_answered() -> None:
    """RFC 5321 §6.1."""
    with pytest.raises(ValueError, match="null sender"):
        make_dsn(report(envelope=Envelope("", (BOB,))))


def test_a_report_is_about_someone() -> None:
    with pytest.raises(ValueError, match="at least one"):
        make_dsn(replace(report(), recipients=()))


@pytest.mark.parametrize("token", ["", "short", "a" * 61, 'a"b0123456789', "a\r\nb0123456789"])
def test_a_token_is_letters_and_digits(token: str) -> None:
    with pytest.raises(ValueError, match="token"):
        make_dsn(replace(report(), token=token))


def test_a_notification_has_the_null_reverse_path() -> None:
    """RFC 5321 §4.5.5, §6.1; RFC 3461 §6.1: no RET, NOTIFY only as NEVER."""
    envelope = make_dsn(
        report(envelope=Envelope("alice@example.org", (BOB,), ret=Ret.FULL, envid="QQ1"))
    ).envelope
    assert envelope == Envelope("", (Recipient("alice@example.org", frozenset({Notify.NEVER})),))
    assert not is_dsn_wanted(envelope.sender, envelope.recipients[0], Action.FAILED)


def test_the_header_says_who_what_and_that_a_machine_wrote_it() -> None:
    """RFC 3834 §5, RFC 6522 §3, RFC 5322 §3.6."""
    message = parse(report())
    assert message["From"] == "Mail Delivery System <MAILER-DAEMON@mx1.example.org>"
    assert message["To"] == "alice@example.org"
    assert message["Subject"] == "Undelivered Mail Returned to Sender"
    assert message["Auto-Submitted"] == "auto-replied"
    assert message["Date"].datetime == NOON
    assert message["Message-ID"] == f"<20260301120000.{TOKEN}@mx1.example.org>"
    assert message["MIME-Version"] == "1.0"
    assert message["Received"].startswith("by mx1.example.org (Letterlock) id 5ABC;")
    assert message.get_content_type() == "multipart/report"
    assert message.get_param("report-type") == "delivery-status"
    assert [part.get_content_type() for part in parts(report())] == [
        "text/plain",
        "message/delivery-status",
        "message/rfc822",
    ]


@pytest.mark.parametrize(
    ("action", "subject"),
    [
        (Action.FAILED, "Undelivered Mail Returned to Sender"),
        (Action.DELAYED, "Delayed Mail (still being retried)"),
        (Action.DELIVERED, "Successful Mail Delivery Report"),
        (Action.RELAYED, "Successful Mail Delivery Report"),
    ],
)
def test_each_kind_has_its_subject_and_action(action: Action, subject: str) -> None:
    """RFC 3464 §2.3.3."""
    assert parse(report(action))["Subject"] == subject
    assert status(report(action))[1]["action"] == action.value


def test_the_machines_part_has_all_that_is_known() -> None:
    """RFC 3464 §2.2, §2.3; RFC 3461 §6.3."""
    recipient = Recipient("bob@example.com", orcpt="rfc822;Bob+2Bx@Example.com")
    envelope = Envelope("alice@example.org", (recipient,), envid="QQ+3D1")
    reported = ReportedRecipient(
        recipient, "4.2.0", "450 4.2.0 later", "mx.example.com[192.0.2.1]", NOON
    )
    delayed = replace(
        report(Action.DELAYED, envelope=envelope, reported=reported),
        retry_until=NOON + timedelta(days=4),
    )
    assert status(delayed) == [
        {
            "reporting-mta": "dns; mx1.example.org",
            "original-envelope-id": "QQ=1",
            "x-letterlock-queue-id": "4XYZ",
            "arrival-date": "Sun, 01 Mar 2026 07:00:00 +0000",
        },
        {
            "original-recipient": "rfc822; Bob+x@Example.com",
            "final-recipient": "rfc822; bob@example.com",
            "action": "delayed",
            "status": "4.2.0",
            "remote-mta": "dns; mx.example.com",
            "diagnostic-code": "smtp; 450 4.2.0 later",
            "last-attempt-date": "Sun, 01 Mar 2026 12:00:00 +0000",
            "will-retry-until": "Thu, 05 Mar 2026 12:00:00 +0000",
        },
    ]


def test_the_machines_part_leaves_out_what_is_not_known() -> None:
    """RFC 3461 §6.3 (a), (d); RFC 3464 §2.3.5: no remote MTA where none was spoken to."""
    reported = ReportedRecipient(BOB, "", "")
    assert status(report(reported=reported))[1] == {
        "final-recipient": "rfc822; bob@example.com",
        "action": "failed",
        "status": "5.0.0",
    }
    assert "original-envelope-id" not in status(report())[0]


def test_our_own_words_are_no_smtp_reply() -> None:
    """RFC 3461 §9.2, RFC 3464 §2.3.6."""
    reported = ReportedRecipient(
        BOB, "4.7.5", "wrong name", tls_result=ResultType.CERTIFICATE_HOST_MISMATCH
    )
    fields = status(report(reported=reported))[1]
    assert fields["diagnostic-code"] == "X-Letterlock; wrong name"
    assert fields["x-letterlock-tls-result"] == "certificate-host-mismatch"


def test_several_recipients_share_one_notification() -> None:
    """RFC 5321 §4.4, RFC 3461 §5.2.8."""
    carol = ReportedRecipient(Recipient("carol@example.com"), "5.2.2", "552 5.2.2 quota", "mx")
    both = replace(report(), recipients=(*report().recipients, carol))
    assert [group["final-recipient"] for group in status(both)[1:]] == [
        "rfc822; bob@example.com",
        "rfc822; carol@example.com",
    ]
    assert "<carol@example.com>: host mx said: 552 5.2.2 quota" in explanation(both)


@pytest.mark.parametrize(
    ("action", "given"),
    [
        (Action.FAILED, "5.0.0"),
        (Action.DELAYED, "4.0.0"),
        (Action.DELIVERED, "2.0.0"),
        (Action.RELAYED, "2.0.0"),
    ],
)
def test_a_status_that_is_none_becomes_the_general_one(action: Action, given: str) -> None:
    """RFC 3461 §6.3 (g)."""
    reported = ReportedRecipient(BOB, "5.1.1\r\nX: y", "no")
    assert status(report(action, reported=reported))[1]["status"] == given


@pytest.mark.parametrize(
    ("orcpt", "shown"),
    [
        ("rfc822;bob@example.com", "rfc822; bob@example.com"),
        ("RFC822;Bob@EXAMPLE.com", "RFC822; Bob@EXAMPLE.com"),
        ("x400;not+xtext", "x400; not+xtext"),
        ("x_foo;a+20b", "x_foo; a b"),
        ("rfc822;a+0D+0AAction:+20delivered", "rfc822; a  Action: delivered"),
        ("rfc822;a+FF", "rfc822; a?"),
        (r"utf-8;gr\x{FC}n@example.com", r"utf-8; gr\x{FC}n@example.com"),
        ("utf-8;grün@example.com", r"utf-8; gr\x{FC}n@example.com"),
        ("no-semicolon", None),
        ("bad type;x", None),
    ],
)
def test_the_original_recipient_is_what_the_sender_wrote(orcpt: str, shown: str | None) -> None:
    """RFC 3461 §6.3 (d), RFC 6533 §3."""
    reported = ReportedRecipient(Recipient("bob@example.com", orcpt=orcpt), "5.1.1", "no")
    assert status(report(reported=reported))[1].get("original-recipient") == shown


def test_a_failure_says_what_happened_and_what_was_said() -> None:
    text = explanation(report())
    assert "This is the mail system at host mx1.example.org." in text
    assert "could not be delivered" in text
    assert "<bob@example.com>: host mx.example.com[192.0.2.1] said: 550 5.1.1 no such user" in text


def test_a_delay_says_that_nothing_is_to_be_done_and_when_it_is_tried_next() -> None:
    """RFC 3461 §5.2.5."""
    delayed = replace(
        report(Action.DELAYED),
        next_attempt=NOON + timedelta(hours=1),
        retry_until=NOON + timedelta(days=4),
    )
    text = explanation(delayed)
    assert "YOU DO NOT NEED TO SEND YOUR MESSAGE AGAIN" in text
    assert "The next try is due at 2026-03-01 13:00 UTC." in text
    assert "It is tried again until 2026-03-05 12:00 UTC;" in text


def test_a_delay_without_plans_promises_nothing() -> None:
    text = explanation(report(Action.DELAYED))
    assert "next try" not in text
    assert "until" not in text


def test_a_relayed_message_is_not_called_delivered() -> None:
    """RFC 3464 §2.3.3."""
    assert "does not confirm deliveries" in explanation(report(Action.RELAYED))
    assert "was delivered" in explanation(report(Action.DELIVERED))


@pytest.mark.parametrize("result", ResultType)
def test_a_tls_failure_says_what_it_means(result: ResultType) -> None:
    """RFC 8460 §4.3: each result has its words, and the message stayed here."""
    reported = ReportedRecipient(BOB, "4.7.5", "no", tls_result=result)
    text = explanation(report(reported=reported))
    assert "It was NOT sent, and in particular it was not sent in clear." in text
    assert f"({result.value})" in text


def test_nothing_known_is_said_so() -> None:
    assert "(nothing more is known)" in explanation(
        report(reported=ReportedRecipient(BOB, "5.0.0", ""))
    )


@pytest.mark.parametrize(
    ("action", "ret", "body_type", "size", "is_full"),
    [
        (Action.FAILED, None, BodyType.SEVEN_BIT, 1000, True),
        (Action.FAILED, Ret.FULL, BodyType.EIGHT_BIT, MAX_RETURNED_OCTETS, True),
        (Action.FAILED, Ret.FULL, BodyType.SEVEN_BIT, MAX_RETURNED_OCTETS + 1, False),
        (Action.FAILED, Ret.HEADERS, BodyType.SEVEN_BIT, 1000, False),
        (Action.FAILED, Ret.FULL, BodyType.BINARY, 1000, False),
        (Action.DELAYED, Ret.FULL, BodyType.SEVEN_BIT, 1000, False),
        (Action.DELIVERED, Ret.FULL, BodyType.SEVEN_BIT, 1000, False),
        (Action.RELAYED, None, BodyType.SEVEN_BIT, 1000, False),
    ],
)
def test_the_whole_message_comes_back_only_with_a_failure_and_up_to_a_size(
    action: Action, ret: Ret | None, body_type: BodyType, size: int, is_full: bool
) -> None:
    """RFC 3461 §4.3, §6.2."""
    envelope = Envelope("alice@example.org", (BOB,), body_type, ret=ret)
    assert is_content_returned(action, envelope, size) is is_full


def test_the_message_comes_back_octet_for_octet() -> None:
    """RFC 2046 §5.2.1."""
    content = make_dsn(report()).content
    assert (
        b"Content-Type: message/rfc822\r\nContent-Transfer-Encoding: 7bit\r\n\r\n"
        + CONTENT
        + b"\r\n--=_"
    ) in content


@pytest.mark.parametrize(
    "of",
    [
        report(content=None),
        report(Action.DELAYED),
        report(envelope=Envelope("alice@example.org", (BOB,), ret=Ret.HEADERS)),
    ],
)
def test_else_the_header_section_comes_back(of: DsnReport) -> None:
    """RFC 3461 §6.2, RFC 6522 §4."""
    part = parts(of)[2]
    assert part.get_content_type() == "text/rfc822-headers"
    assert part.get_payload(decode=True) == HEADER
    assert b"Hello, Bob." not in make_dsn(of).content


def test_a_long_header_section_comes_back_in_part_in_whole_lines() -> None:
    header = b"X: 123456789\r\n" * 10_000
    content = make_dsn(report(header=header, content=None)).content
    assert len(content) < MAX_RETURNED_OCTETS + 5000
    assert content.endswith(f"X: 123456789\r\n\r\n--=_{TOKEN}--\r\n".encode())


EIGHT_BIT = HEADER + "\r\nGrün.\r\n".encode()


def test_eight_bit_content_is_declared() -> None:
    """RFC 6152 §2, RFC 2045 §6.4, RFC 2046 §5.2.1."""
    of = report(content=EIGHT_BIT)
    assert make_dsn(of).envelope.body_type is BodyType.EIGHT_BIT
    assert not make_dsn(of).envelope.smtputf8
    assert parse(of)["Content-Transfer-Encoding"] == "8bit"
    assert parts(of)[2]["Content-Transfer-Encoding"] == "8bit"
    assert EIGHT_BIT in make_dsn(of).content
    assert make_dsn(report()).envelope.body_type is BodyType.SEVEN_BIT
    assert parse(report())["Content-Transfer-Encoding"] == "7bit"


def test_raw_octets_in_a_header_section_are_encoded() -> None:
    """RFC 6522 §4: text/rfc822-headers is 7-bit."""
    of = report(header=b"Subject: gr\xfcn\r\n", content=None)
    part = parts(of)[2]
    assert part.get_content_type() == "text/rfc822-headers"
    assert part["Content-Transfer-Encoding"] == "quoted-printable"
    assert part.get_payload(decode=True) == b"Subject: gr\xfcn\r\n"
    assert make_dsn(of).content.isascii()


GREEN = Recipient("grün@example.com", orcpt=r"utf-8;gr\x{FC}n@example.com")
UTF8_HEADER = "Subject: grün\r\n".encode()


def utf8_report(sender: str, content: bytes | None = None) -> DsnReport:
    return report(
        header=UTF8_HEADER,
        content=content,
        envelope=Envelope(sender, (GREEN,), BodyType.EIGHT_BIT, smtputf8=True),
        reported=ReportedRecipient(GREEN, "5.6.7", "550 5.6.7 grün?", "mx.example.com"),
    )


def test_a_utf8_report_to_a_utf8_sender_is_in_plain_utf8() -> None:
    """RFC 6533 §4.1, §4.3, §4.5."""
    of = utf8_report("grün@example.org")
    message = make_dsn(of)
    assert message.envelope.smtputf8
    assert message.envelope.body_type is BodyType.EIGHT_BIT
    assert parse(of).get_param("report-type") == "global-delivery-status"
    assert [part.get_content_type() for part in parts(of)] == [
        "text/plain",
        "message/global-delivery-status",
        "message/global-headers",
    ]
    assert {part["Content-Transfer-Encoding"] for part in parts(of)} == {"8bit"}
    text = message.content.decode()
    assert "To: grün@example.org\r\n" in text
    assert "Original-Recipient: utf-8; grün@example.com\r\n" in text
    assert "Final-Recipient: utf-8; grün@example.com\r\n" in text
    assert "Diagnostic-Code: smtp; 550 5.6.7 grün?\r\n" in text
    assert "Subject: grün\r\n" in text


def test_a_utf8_report_to_an_ascii_sender_is_in_seven_bits() -> None:
    """RFC 6533 §4.5: whether the way back has SMTPUTF8 is not known."""
    of = utf8_report("alice@example.org")
    message = make_dsn(of)
    assert message.content.isascii()
    assert not message.envelope.smtputf8
    assert message.envelope.body_type is BodyType.SEVEN_BIT
    assert [part.get_content_type() for part in parts(of)] == [
        "text/plain",
        "message/global-delivery-status",
        "message/global-headers",
    ]
    assert b"Final-Recipient: utf-8; gr=C3=BCn@example.com\r\n" in message.content
    assert "<grün@example.com>" in explanation(of)


def test_a_utf8_message_comes_back_as_message_global() -> None:
    """RFC 6533 §4.2."""
    content = UTF8_HEADER + b"\r\nx\r\n"
    of = utf8_report("alice@example.org", content)
    assert parts(of)[2].get_content_type() == "message/global"
    assert b"Subject: gr=C3=BCn\r\n\r\nx\r\n" in make_dsn(of).content


def test_without_need_the_traditional_types_are_used() -> None:
    """RFC 6533 §4.4."""
    of = report(envelope=Envelope("alice@example.org", (BOB,), smtputf8=True))
    assert parse(of).get_param("report-type") == "delivery-status"
    assert parts(of)[2].get_content_type() == "message/rfc822"


def test_a_utf8_recipient_of_a_plain_message_is_encoded() -> None:
    """RFC 6533 §3: the 7-bit form."""
    reported = ReportedRecipient(Recipient("grün@example.com"), "5.6.7", "no")
    fields = status(report(reported=reported))[1]
    assert fields["final-recipient"] == r"utf-8; gr\x{FC}n@example.com"


HOSTILE = st.text() | st.sampled_from(
    [
        "x\r\nBcc: victim@example.org\r\n\r\nbody",
        f"x\r\n--=_{TOKEN}--\r\n",
        "x\n\nAction: delivered\nFinal-Recipient: rfc822; other@example.com",
        "y" * 5000,
        "\x1b[2J\x00",
    ]
)


@given(
    st.tuples(HOSTILE, HOSTILE, HOSTILE, HOSTILE, HOSTILE), st.booleans(), st.sampled_from(Action)
)
@settings(max_examples=60)
def test_nothing_from_outside_adds_a_field_or_a_part(
    texts: tuple[str, str, str, str, str], smtputf8: bool, action: Action
) -> None:
    """RFC 3464 §4: whatever peers and senders said."""
    address, orcpt, diagnostic, remote, envid = texts
    recipient = Recipient(address, orcpt=f"rfc822;{orcpt}")
    envelope = Envelope("alice@example.org", (recipient,), smtputf8=smtputf8, envid=envid)
    of = report(
        action,
        envelope=envelope,
        reported=ReportedRecipient(recipient, diagnostic, diagnostic, remote, NOON),
    )
    of = replace(of, tried=(Tried(remote, diagnostic, NOON, NOON, 2),))
    message = make_dsn(of)
    lines = message.content.split(b"\r\n")
    assert all(len(line) <= 998 and b"\n" not in line and b"\r" not in line for line in lines)
    parsed = message_from_bytes(message.content, policy=policy.compat32)
    # Longer than the token's, where somebody guessed that.
    boundary = f"--{parsed.get_boundary()}".encode()
    assert lines.count(boundary) == 3
    assert lines.count(boundary + b"--") == 1
    assert message.envelope.recipients[0].address == "alice@example.org"
    assert parsed["Bcc"] is None
    assert len(cast("list[object]", parsed.get_payload())) == 3
    machine = message.content.split(b"\r\n" + boundary + b"\r\n")[2]
    assert machine.count(b"\r\nAction: ") == 1
    assert machine.count(b"\r\nFinal-Recipient: ") == 1


@given(HOSTILE)
def test_a_hostile_sender_adds_nothing_to_the_header(sender: str) -> None:
    """RFC 5322 §2.2."""
    if not sender:
        return
    of = report(envelope=Envelope(sender, (BOB,)))
    head = make_dsn(of).content.partition(b"\r\n\r\n")[0]
    names = [line.partition(b":")[0] for line in head.split(b"\r\n") if not line.startswith(b" ")]
    assert names == [
        b"Received",
        b"Date",
        b"From",
        b"To",
        b"Subject",
        b"Message-ID",
        b"Auto-Submitted",
        b"MIME-Version",
        b"Content-Type",
        b"Content-Transfer-Encoding",
    ]


@pytest.mark.parametrize("ret", [None, Ret.FULL, Ret.HEADERS])
def test_of_a_requiretls_message_only_the_header_returns(ret: Ret | None) -> None:
    """RFC 8689 §5 (rule 91): as if RET=HDRS was present; RET=FULL MUST be disregarded."""
    envelope = Envelope("alice@example.org", (BOB,), ret=ret, tls_demand=TlsDemand.REQUIRETLS)
    assert not is_content_returned(Action.FAILED, envelope, 10)
    explanation, _, returned = parts(report(envelope=envelope))
    assert "(REQUIRETLS)" in explanation.get_content()
    assert returned.get_content_type() == "text/rfc822-headers"
    assert b"Hello, Bob." not in make_dsn(report(envelope=envelope)).content


@pytest.mark.parametrize("action", Action)
@pytest.mark.parametrize("demand", TlsDemand)
def test_a_notification_asks_of_tls_what_its_message_did(action: Action, demand: TlsDemand) -> None:
    """RFC 8689 §5, §6 (rules 91, 156)."""
    of = report(action, envelope=Envelope("alice@example.org", (BOB,), tls_demand=demand))
    assert make_dsn(of).envelope.tls_demand is demand
    is_no = demand is TlsDemand.TLS_REQUIRED_NO
    assert parse(of).get_all("TLS-Required") == (["No"] if is_no else None)
    explanation = parts(of)[0].get_content()
    is_explained = action is Action.FAILED and demand is TlsDemand.REQUIRETLS
    assert ("REQUIRETLS" in explanation) == is_explained
