"""RFC 8689 as a server: who may ask for REQUIRETLS, and what a header asks of TLS."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letterlock.protocols.smtp.envelope import TlsDemand
from letterlock.protocols.smtp.requiretls import find_tls_demand
from letterlock.protocols.smtp.server_session import SessionSettings
from tests.protocols.smtp.dialogue import Dialogue

OFFERED = SessionSettings("mx.example.org", offer_requiretls=True)
EHLO = b"EHLO client.example\r\n"
MAIL = b"MAIL FROM:<alice@example.com> REQUIRETLS\r\n"
RCPT = b"RCPT TO:<bob@example.org>\r\n"
NORMAL, REQUIRETLS, NO = TlsDemand.NORMAL, TlsDemand.REQUIRETLS, TlsDemand.TLS_REQUIRED_NO


def keywords(dialogue: Dialogue) -> list[str]:
    dialogue.session.receive(EHLO)
    lines = dialogue.pump().decode().splitlines()
    return [line[4:] for line in lines]


def test_requiretls_is_offered_under_tls_only() -> None:
    """RFC 8689 §2 (rule 85); RFC 3207 §4.2 (rule 16)."""
    dialogue = Dialogue(OFFERED)
    assert "REQUIRETLS" not in keywords(dialogue)
    dialogue.start_tls()
    assert "REQUIRETLS" in keywords(dialogue)


def test_requiretls_is_not_offered_where_it_is_off() -> None:
    """RFC 8689 §2 (rule 85)."""
    dialogue = Dialogue(SessionSettings("mx.example.org", offer_requiretls=False))
    dialogue.start_tls()
    assert "REQUIRETLS" not in keywords(dialogue)


def test_requiretls_in_clear_is_refused() -> None:
    """RFC 8689 §2 (rule 85): the session MUST employ TLS. The code is ours."""
    dialogue = Dialogue(OFFERED)
    answers = dialogue.say(EHLO, MAIL, RCPT)
    assert answers[1:] == [
        "530 5.7.10 REQUIRETLS needs TLS: STARTTLS first",
        "503 5.5.1 Need MAIL command first",
    ]
    assert dialogue.codes(b"MAIL FROM:<alice@example.com>\r\n") == [250]


def test_requiretls_that_is_not_offered_is_not_known() -> None:
    """RFC 5321 §4.1.1.11 (rule 85)."""
    dialogue = Dialogue(SessionSettings("mx.example.org", offer_requiretls=False))
    dialogue.start_tls()
    assert dialogue.say(EHLO, MAIL)[1:] == ["555 5.5.4 REQUIRETLS is not offered"]


@pytest.mark.parametrize("value", ["REQUIRETLS=x", "REQUIRETLS=YES"])
def test_requiretls_takes_no_value(value: str) -> None:
    """RFC 8689 §2 (rule 86)."""
    dialogue = Dialogue(OFFERED)
    dialogue.start_tls()
    mail = f"MAIL FROM:<alice@example.com> {value}\r\n".encode()
    assert dialogue.say(EHLO, mail)[1:] == ["501 5.5.4 Syntax: REQUIRETLS takes no value"]


@pytest.mark.parametrize("keyword", [b"REQUIRETLS", b"requiretls", b"RequireTLS"])
@pytest.mark.parametrize("sender", [b"alice@example.com", b""])
def test_requiretls_tags_the_message(keyword: bytes, sender: bytes) -> None:
    """RFC 8689 §4.1 (rule 87)."""
    dialogue = Dialogue(OFFERED)
    dialogue.start_tls()
    mail = b"MAIL FROM:<" + sender + b"> SIZE=9 " + keyword + b" BODY=8BITMIME\r\n"
    codes = dialogue.codes(EHLO, mail, RCPT, b"DATA\r\n", b"Subject: a\r\n\r\n.\r\n")
    assert codes == [250, 250, 250, 354, 250]
    ((envelope, _),) = dialogue.messages
    assert envelope.tls_demand is REQUIRETLS
    dialogue.codes(b"MAIL FROM:<a@example.com>\r\n", RCPT, b"BDAT 3 LAST\r\na\r\n")
    assert dialogue.messages[1][0].tls_demand is NORMAL


def header(*fields: str) -> bytes:
    return "".join(f"{field}\r\n" for field in ("Subject: a", *fields, "To: b")).encode()


@pytest.mark.parametrize(
    "field",
    [
        "TLS-Required: No",
        "TLS-Required:No",
        "tls-required: no",
        "TLS-REQUIRED: NO",
        "TLS-Required: \t No",
        "TLS-Required:\r\n No",
        "TLS-Required: \r\n\tNo",
        "TLS-Required:\r\n \r\n No",
    ],
)
def test_the_field_tags_the_message(field: str) -> None:
    """RFC 8689 §3, §4.1 (rule 92): the strings of its ABNF count in any case."""
    assert find_tls_demand(NORMAL, header(field) + b"\r\nbody\r\n") is NO
    assert find_tls_demand(NORMAL, header(field)) is NO
    assert find_tls_demand(NORMAL, field.encode() + b"\r\n") is NO


@pytest.mark.parametrize(
    "fields",
    [
        ["TLS-Required: Yes"],
        ["TLS-Required:"],
        ["TLS-Required: No, please"],
        ["TLS-Required: None"],
        ["TLS-Required: No "],
        ["TLS-Required: No\r\n "],
        ["TLS-Required: No\r\n thanks"],
        ["TLS-Required: N\r\n o"],
        ["TLS-Required: (comment) No"],
        ['TLS-Required: "No"'],
        ["TLS-Required : No"],
        ["X-TLS-Required: No"],
        ["TLS-Required-Not: No"],
        ["Subject: folded\r\n TLS-Required: No"],
    ],
)
def test_what_is_not_the_field_asks_for_nothing(fields: list[str]) -> None:
    """RFC 8689 §3 (rule 92): TLS is never lowered by mistake."""
    assert find_tls_demand(NORMAL, header(*fields)) is NORMAL


@pytest.mark.parametrize(
    "other", ["TLS-Required: No", "tls-required: Yes", "TLS-Required : No", "TLS-Required:"]
)
def test_two_fields_ask_for_nothing(other: str) -> None:
    """RFC 8689 §3 (rule 92): more than one MUST NOT appear."""
    assert find_tls_demand(NORMAL, header("TLS-Required: No", other)) is NORMAL
    assert find_tls_demand(NORMAL, header(other, "Date: x", "TLS-Required: No")) is NORMAL


@pytest.mark.parametrize("start", ["", "Subject: a\r\n"])
def test_only_the_header_section_counts(start: str) -> None:
    """RFC 8689 §3 (rule 92), RFC 5322 §2.1."""
    content = f"{start}\r\nTLS-Required: No\r\n\r\nTLS-Required: No\r\n".encode()
    assert find_tls_demand(NORMAL, content) is NORMAL


def test_requiretls_wins_over_the_field() -> None:
    """RFC 8689 §4.1 (rule 92): the field MUST be ignored then."""
    assert find_tls_demand(REQUIRETLS, header("TLS-Required: No")) is REQUIRETLS


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_whatever_stands_in_a_header_gives_a_tag(before: bytes, after: bytes) -> None:
    content = before + b"\r\nTLS-Required: No" + after
    assert find_tls_demand(NORMAL, content) in (NORMAL, NO)
    assert find_tls_demand(REQUIRETLS, content) is REQUIRETLS
