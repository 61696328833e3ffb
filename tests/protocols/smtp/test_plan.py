"""May a message go to a server, and with which commands."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from letterlock.protocols.smtp.capabilities import Capabilities, Limits
from letterlock.protocols.smtp.content import ContentFacts
from letterlock.protocols.smtp.envelope import (
    BodyType,
    Envelope,
    Notify,
    Recipient,
    Ret,
    TlsDemand,
)
from letterlock.protocols.smtp.plan import (
    Refusal,
    TransactionSettings,
    find_host_refusal,
    must_scan,
    plan,
    split_recipients,
)
from letterlock.protocols.smtp.transaction import Transaction

BOB = Recipient("bob@example.com")
MAIL = Envelope("alice@example.org", (BOB,))
NOTHING = Capabilities()
ALL = Capabilities(
    pipelining=True,
    has_size=True,
    eightbitmime=True,
    smtputf8=True,
    chunking=True,
    binarymime=True,
    dsn=True,
)
ASCII = ContentFacts(100, is_seven_bit=True, has_utf8_headers=False)
EIGHT_BIT = ContentFacts(100, is_seven_bit=False, has_utf8_headers=False)
UTF8 = ContentFacts(100)


def commands(
    envelope: Envelope, capabilities: Capabilities, content: ContentFacts = ASCII
) -> list[str]:
    """Give what is said to a server that takes pipelined commands."""
    planned = plan(envelope, content, replace(capabilities, pipelining=True))
    assert isinstance(planned, Transaction)
    return planned.commands_to_send().decode().splitlines()


def refused(envelope: Envelope, capabilities: Capabilities, content: ContentFacts) -> str:
    planned = plan(envelope, content, capabilities)
    assert isinstance(planned, Refusal)
    assert planned.reply.is_permanent
    return f"{planned.reply.code} {planned.reply.status}"


def test_a_bare_server_is_sent_no_parameter() -> None:
    """RFC 5321 §4.1.1.2: parameters only for what was offered; RFC 3461 §5.2.2 (a)."""
    envelope = Envelope(
        "alice@example.org",
        (Recipient("bob@example.com", frozenset({Notify.SUCCESS}), "rfc822;bob@example.com"),),
        ret=Ret.FULL,
        envid="QQ1",
    )
    assert commands(envelope, NOTHING) == [
        "MAIL FROM:<alice@example.org>",
        "RCPT TO:<bob@example.com>",
        "DATA",
    ]


@pytest.mark.parametrize(
    ("envelope", "content", "mail"),
    [
        (MAIL, ASCII, "MAIL FROM:<alice@example.org> SIZE=100"),
        (structs.replace(MAIL, sender=""), ASCII, "MAIL FROM:<> SIZE=100"),
        (
            structs.replace(MAIL, body_type=BodyType.EIGHT_BIT),
            EIGHT_BIT,
            "MAIL FROM:<alice@example.org> SIZE=100 BODY=8BITMIME",
        ),
        (
            structs.replace(MAIL, body_type=BodyType.EIGHT_BIT),
            ASCII,
            "MAIL FROM:<alice@example.org> SIZE=100",
        ),
        (
            structs.replace(MAIL, smtputf8=True),
            UTF8,
            "MAIL FROM:<alice@example.org> SIZE=100 SMTPUTF8",
        ),
        (structs.replace(MAIL, smtputf8=True), ASCII, "MAIL FROM:<alice@example.org> SIZE=100"),
        (
            structs.replace(MAIL, sender="grün@example.org", smtputf8=True),
            ASCII,
            "MAIL FROM:<grün@example.org> SIZE=100 SMTPUTF8",
        ),
        (
            structs.replace(MAIL, recipients=(Recipient("grün@example.com"),)),
            ASCII,
            "MAIL FROM:<alice@example.org> SIZE=100 SMTPUTF8",
        ),
        (
            structs.replace(MAIL, ret=Ret.HEADERS, envid="QQ+3D1"),
            ASCII,
            "MAIL FROM:<alice@example.org> SIZE=100 RET=HDRS ENVID=QQ+3D1",
        ),
        (
            structs.replace(MAIL, sender="", ret=Ret.FULL, envid="a b"),
            ASCII,
            "MAIL FROM:<> SIZE=100",
        ),
    ],
)
def test_mail_says_what_the_message_needs(
    envelope: Envelope, content: ContentFacts, mail: str
) -> None:
    """RFC 1870 §5, RFC 6152 §2, RFC 6531 §3.4, RFC 3461 §5.2.1, §6.1."""
    assert commands(envelope, ALL, content)[0] == mail


@pytest.mark.parametrize(
    ("recipient", "rcpt"),
    [
        (BOB, "RCPT TO:<bob@example.com>"),
        (
            Recipient("bob@example.com", frozenset({Notify.NEVER})),
            "RCPT TO:<bob@example.com> NOTIFY=NEVER",
        ),
        (
            Recipient(
                "bob@example.com",
                frozenset({Notify.DELAY, Notify.SUCCESS, Notify.FAILURE}),
                "rfc822;Bob+2Bx@Example.com",
            ),
            (
                "RCPT TO:<bob@example.com> NOTIFY=SUCCESS,FAILURE,DELAY"
                " ORCPT=rfc822;Bob+2Bx@Example.com"
            ),
        ),
        (
            Recipient("bob@example.com", orcpt="rfc822;a b\r\nDATA"),
            "RCPT TO:<bob@example.com>",
        ),
        (
            Recipient("bob@example.com", orcpt="utf-8;grün@example.com"),
            "RCPT TO:<bob@example.com> ORCPT=utf-8;grün@example.com",
        ),
        (
            Recipient("bob@example.com", orcpt="x_foo!;a+20b"),
            "RCPT TO:<bob@example.com> ORCPT=x_foo!;a+20b",
        ),
        (Recipient('"a b>c"@example.com'), 'RCPT TO:<"a b>c"@example.com>'),
    ],
)
def test_rcpt_passes_on_what_was_asked(recipient: Recipient, rcpt: str) -> None:
    """RFC 3461 §5.2.1 (c), (d): the same values, and nothing that was not there."""
    assert commands(structs.replace(MAIL, recipients=(recipient,)), ALL)[1] == rcpt


def test_a_utf8_orcpt_is_encoded_for_a_server_without_smtputf8() -> None:
    """RFC 6533 §3."""
    recipient = Recipient("bob@example.com", orcpt=r"utf-8;grün\x{20}x@example.com")
    lines = commands(structs.replace(MAIL, recipients=(recipient,)), replace(ALL, smtputf8=False))
    assert lines[1].endswith(r" ORCPT=utf-8;gr\x{FC}n\x{20}x@example.com")


def test_a_message_larger_than_the_servers_limit_is_not_sent() -> None:
    """RFC 1870 §6.1 and RFC 3463 §3.4."""
    limited = replace(ALL, size=99)
    assert refused(MAIL, limited, ASCII) == "552 5.3.4"
    assert isinstance(plan(MAIL, ASCII, replace(ALL, size=100)), Transaction)


@pytest.mark.parametrize(
    ("envelope", "content", "capabilities", "answer"),
    [
        (
            structs.replace(MAIL, body_type=BodyType.EIGHT_BIT),
            EIGHT_BIT,
            replace(ALL, eightbitmime=False),
            "554 5.6.3",
        ),
        (
            structs.replace(MAIL, body_type=BodyType.BINARY),
            ASCII,
            replace(ALL, binarymime=False),
            "554 5.6.3",
        ),
        (
            structs.replace(MAIL, sender="grün@example.org"),
            ASCII,
            replace(ALL, smtputf8=False),
            "550 5.6.7",
        ),
        (
            structs.replace(MAIL, recipients=(Recipient("grün@example.com"),)),
            ASCII,
            replace(ALL, smtputf8=False),
            "553 5.6.7",
        ),
        (structs.replace(MAIL, smtputf8=True), UTF8, replace(ALL, smtputf8=False), "554 5.6.9"),
        (
            # The header that is not ASCII may be our own: Received names the only recipient.
            structs.replace(MAIL, recipients=(Recipient("grün@example.com"),), smtputf8=True),
            UTF8,
            replace(ALL, smtputf8=False),
            "553 5.6.7",
        ),
        (structs.replace(MAIL, recipients=()), ASCII, ALL, "554 5.1.0"),
    ],
)
def test_what_the_server_cannot_take_goes_back(
    envelope: Envelope, content: ContentFacts, capabilities: Capabilities, answer: str
) -> None:
    """RFC 6152 §3; RFC 3030 §3: binary MUST NOT be sent; RFC 6531 §3.2, §3.5."""
    assert refused(envelope, capabilities, content) == answer


@pytest.mark.parametrize(
    ("envelope", "content", "capabilities"),
    [
        (structs.replace(MAIL, body_type=BodyType.EIGHT_BIT), ASCII, NOTHING),
        (MAIL, EIGHT_BIT, NOTHING),
        (structs.replace(MAIL, smtputf8=True), EIGHT_BIT, NOTHING),
        (
            Envelope("alice@xn--grn-hoa.example", (Recipient("bob@xn--grn-hoa.example"),)),
            ASCII,
            NOTHING,
        ),
    ],
)
def test_what_was_declared_without_need_is_no_obstacle(
    envelope: Envelope, content: ContentFacts, capabilities: Capabilities
) -> None:
    """RFC 6531 §3.6: a message sent with SMTPUTF8 need not be an internationalised one."""
    assert isinstance(plan(envelope, content, capabilities), Transaction)


def test_one_recipient_that_cannot_be_sent_does_not_stop_the_others() -> None:
    """RFC 6531 §3.5."""
    green = Recipient("grün@example.com")
    planned = plan(structs.replace(MAIL, recipients=(green, BOB)), ASCII, NOTHING)
    assert isinstance(planned, Transaction)
    planned.lost("gone")
    first, second = planned.result().outcomes
    assert (first.reply.code, first.reply.status, first.is_ours) == (553, "5.6.7", True)
    assert second.reply.code == 451


@pytest.mark.parametrize(
    "address",
    [
        "",
        "bob@example.com>\r\nDATA",
        "bob@example.com> NOTIFY=NEVER",
        "bob\n@example.com",
        "<bob@example.com",
        'b"ob@example.com',
        "bob@example.com\x00",
        "bob \u2028@example.com",
    ],
)
def test_no_address_can_end_its_command(address: str) -> None:
    planned = plan(structs.replace(MAIL, recipients=(Recipient(address),)), ASCII, ALL)
    assert isinstance(planned, Refusal)
    assert (planned.reply.code, planned.reply.status) == (553, "5.1.3")
    if address:
        assert refused(structs.replace(MAIL, sender=address), ALL, ASCII) == "550 5.1.7"


@given(st.text(), st.text(), st.text(), st.text())
def test_whatever_the_queue_holds_each_command_is_one_line(
    sender: str, address: str, orcpt: str, envid: str
) -> None:
    envelope = Envelope(sender, (Recipient(address, orcpt=orcpt), BOB), envid=envid)
    planned = plan(envelope, ASCII, ALL)
    if isinstance(planned, Transaction):
        wire = planned.commands_to_send()
        assert wire.count(b"\n") == wire.count(b"\r\n") == wire.count(b"\r") in (3, 4)


@pytest.mark.parametrize(
    ("envelope", "settings", "is_chunked"),
    [
        (MAIL, TransactionSettings(), False),
        (MAIL, TransactionSettings(prefers_chunking=True), True),
        (structs.replace(MAIL, body_type=BodyType.BINARY), TransactionSettings(), True),
    ],
)
def test_data_is_preferred_unless_told_or_needed(
    envelope: Envelope, settings: TransactionSettings, is_chunked: bool
) -> None:
    """RFC 3030 §3: BINARYMIME cannot be used with DATA."""
    planned = plan(envelope, ASCII, ALL, settings)
    assert isinstance(planned, Transaction)
    assert (b"DATA\r\n" not in planned.commands_to_send()) == is_chunked


def test_chunking_is_used_only_where_offered() -> None:
    """RFC 3030 §2."""
    planned = plan(
        MAIL, ASCII, replace(ALL, chunking=False), TransactionSettings(prefers_chunking=True)
    )
    assert isinstance(planned, Transaction)
    assert planned.commands_to_send().endswith(b"DATA\r\n")


def test_pipelining_is_used_only_where_offered() -> None:
    """RFC 2920 §3.1."""
    planned = plan(MAIL, ASCII, replace(ALL, pipelining=False))
    assert isinstance(planned, Transaction)
    assert planned.commands_to_send().count(b"\r\n") == 1
    planned = plan(MAIL, ASCII, ALL, TransactionSettings(may_pipeline=False))
    assert isinstance(planned, Transaction)
    assert planned.commands_to_send().count(b"\r\n") == 1


@pytest.mark.parametrize(
    ("envelope", "capabilities", "answer"),
    [
        (MAIL, NOTHING, False),
        (structs.replace(MAIL, body_type=BodyType.EIGHT_BIT), ALL, False),
        (structs.replace(MAIL, body_type=BodyType.EIGHT_BIT), NOTHING, True),
        (structs.replace(MAIL, smtputf8=True), ALL, False),
        (structs.replace(MAIL, smtputf8=True), NOTHING, True),
    ],
)
def test_content_is_looked_through_only_where_it_matters(
    envelope: Envelope, capabilities: Capabilities, answer: bool
) -> None:
    assert must_scan(envelope, capabilities) is answer


PEOPLE = tuple(Recipient(f"u{number}@{'ab'[number % 2]}.example") for number in range(10))


@pytest.mark.parametrize(
    ("capabilities", "maximum", "sizes"),
    [
        (NOTHING, 100, [10]),
        (NOTHING, 4, [4, 4, 2]),
        (Capabilities(limits=Limits(rcpt_max=3)), 100, [3, 3, 3, 1]),
        (Capabilities(limits=Limits(rcpt_max=200)), 5, [5, 5]),
        (Capabilities(limits=Limits(rcpt_domain_max=2)), 100, [10]),
        (Capabilities(limits=Limits(rcpt_domain_max=1)), 100, [1] * 10),
    ],
)
def test_recipients_are_divided_by_the_limits(
    capabilities: Capabilities, maximum: int, sizes: list[int]
) -> None:
    """RFC 5321 §4.5.3.1.8, RFC 9422 §4."""
    groups = split_recipients(PEOPLE, capabilities, maximum)
    assert [len(group) for group in groups] == sizes
    assert tuple(recipient for group in groups for recipient in group) == PEOPLE


def test_nobody_is_no_group() -> None:
    assert split_recipients((), NOTHING, 100) == []


REQUIRED = structs.replace(MAIL, tls_demand=TlsDemand.REQUIRETLS)
OFFERED = replace(ALL, requiretls=True)


def test_requiretls_is_passed_on() -> None:
    """RFC 8689 §4.2.1 (rule 90)."""
    planned = plan(REQUIRED, ASCII, OFFERED, may_require_tls=True)
    assert isinstance(planned, Transaction)
    assert planned.commands_to_send().startswith(
        b"MAIL FROM:<alice@example.org> SIZE=100 REQUIRETLS\r\n"
    )


@pytest.mark.parametrize("demand", [TlsDemand.NORMAL, TlsDemand.TLS_REQUIRED_NO])
@pytest.mark.parametrize("sender", ["alice@example.org", ""])
def test_requiretls_is_not_said_unasked(demand: TlsDemand, sender: str) -> None:
    """RFC 8689 §4.1 (rule 92): the header field is no parameter."""
    envelope = structs.replace(MAIL, tls_demand=demand, sender=sender)
    planned = plan(envelope, ASCII, OFFERED, may_require_tls=True)
    assert isinstance(planned, Transaction)
    assert b"REQUIRETLS" not in planned.commands_to_send()


@pytest.mark.parametrize(
    ("capabilities", "may_require_tls", "reply"),
    [
        (ALL, True, "554 5.7.30 REQUIRETLS support required, and the server does not offer it"),
        (OFFERED, False, "554 5.7.10 encryption needed: REQUIRETLS, and the host was not proved"),
        (ALL, False, "554 5.7.10 encryption needed: REQUIRETLS, and the host was not proved"),
    ],
)
def test_requiretls_goes_nowhere_without_it(
    capabilities: Capabilities, may_require_tls: bool, reply: str
) -> None:
    """RFC 8689 §2, §4.2.1 (rules 88, 89): the host lacks it; another may have it."""
    planned = plan(REQUIRED, ASCII, capabilities, may_require_tls=may_require_tls)
    assert isinstance(planned, Refusal)
    assert planned.reply.text == reply
    refusal = find_host_refusal(REQUIRED, capabilities, may_require_tls=may_require_tls)
    assert refusal == planned.reply


@pytest.mark.parametrize("capabilities", [ALL, OFFERED])
@pytest.mark.parametrize("may_require_tls", [True, False])
def test_a_notification_goes_without_requiretls_as_well(
    capabilities: Capabilities, may_require_tls: bool
) -> None:
    """RFC 8689 §5 (rule 91); §2: still said only where it may be said."""
    bounce = structs.replace(REQUIRED, sender="")
    planned = plan(bounce, ASCII, capabilities, may_require_tls=may_require_tls)
    assert isinstance(planned, Transaction)
    is_said = b" REQUIRETLS" in planned.commands_to_send()
    assert is_said == (may_require_tls and capabilities.requiretls)


@pytest.mark.parametrize("demand", TlsDemand)
def test_what_the_message_itself_lacks_is_not_the_hosts(demand: TlsDemand) -> None:
    """RFC 8689 §4.2.1: another host could not take it either."""
    envelope, small = structs.replace(MAIL, tls_demand=demand), replace(OFFERED, size=10)
    assert isinstance(plan(envelope, ASCII, small, may_require_tls=True), Refusal)
    assert find_host_refusal(envelope, small, may_require_tls=True) is None
