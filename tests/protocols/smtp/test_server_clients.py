"""XCLIENT and XFORWARD in a session: who may, when, and what is left of the session.

Postfix's XCLIENT_README and XFORWARD_README.
"""

from dataclasses import replace

import pytest

from letterlock.protocols.smtp.replies import reply
from letterlock.protocols.smtp.server_events import ClientNamed, OriginTold, ProtocolError
from letterlock.protocols.smtp.server_session import ServerSession
from letterlock.protocols.smtp.submission_session import SubmissionSession
from tests.protocols.smtp.dialogue import SETTINGS, Dialogue, answering

TRUSTED = replace(SETTINGS, may_name_clients=True, may_tell_origins=True)
SUBMISSION = replace(SETTINGS, require_tls=True, auth_mechanisms=("PLAIN",), may_name_clients=True)
NAMING = b"XCLIENT ADDR=192.0.2.7 LOGIN=a\r\n"


def test_both_are_offered_to_whom_may_and_to_nobody_else() -> None:
    for settings, offered in ((TRUSTED, True), (SETTINGS, False)):
        talk = Dialogue(settings)
        talk.session.receive(b"EHLO c\r\n")
        lines = talk.pump().decode().splitlines()
        for line in (
            "XCLIENT NAME ADDR PORT PROTO HELO LOGIN DESTADDR DESTPORT",
            "XFORWARD NAME ADDR PORT PROTO HELO IDENT SOURCE",
        ):
            assert any(each[4:] == line for each in lines) is offered


@pytest.mark.parametrize("verb", [b"XCLIENT", b"XFORWARD"])
def test_who_may_not_is_refused_whatever_he_says(verb: bytes) -> None:
    talk = Dialogue()
    assert talk.codes(b"EHLO c\r\n", verb + b" ADDR=192.0.2.7\r\n", verb + b"\r\n") == [
        *(250, 550, 550)
    ]


@pytest.mark.parametrize("verb", [b"XCLIENT", b"XFORWARD"])
def test_neither_comes_within_a_transaction(verb: bytes) -> None:
    talk = Dialogue(TRUSTED)
    codes = talk.codes(b"EHLO c\r\n", b"MAIL FROM:<a@b>\r\n", verb + b" ADDR=192.0.2.7\r\n")
    assert codes == [250, 250, 503]


@pytest.mark.parametrize("verb", [b"XCLIENT", b"XFORWARD"])
def test_attributes_that_are_none_are_errors(verb: bytes) -> None:
    talk = Dialogue(TRUSTED)
    assert talk.codes(verb + b" ADDR=x\r\n") == [501]
    assert any(isinstance(event, ProtocolError) for event in talk.events)


def test_where_tls_is_demanded_only_a_proxy_goes_without() -> None:
    """RFC 3207 §4 (rule 3)."""
    for settings, codes in ((SETTINGS, [530, 530]), (TRUSTED, [501, 530])):
        talk = Dialogue(replace(settings, require_tls=True))
        assert talk.codes(b"XCLIENT\r\n", b"XFORWARD\r\n") == codes


def test_a_client_that_is_refused_changes_nothing() -> None:
    talk = Dialogue(TRUSTED, answering(ClientNamed, reply(550, "5.7.0", "No")))
    assert talk.codes(b"EHLO c\r\n", NAMING, b"MAIL FROM:<a@b>\r\n") == [250, 550, 250]
    assert ClientNamed({"ADDR": "192.0.2.7", "LOGIN": "a"}) in talk.events


def test_nothing_may_follow_xclient_before_the_new_greeting() -> None:
    talk = Dialogue(TRUSTED)
    assert talk.codes(NAMING + b"EHLO c\r\n") == [554]
    assert talk.reason == "improper command pipelining after XCLIENT"


def test_origins_are_told_in_a_group_and_add_up() -> None:
    """RFC 2920 §3.1: Postfix sends them before MAIL, without waiting."""
    talk = Dialogue(TRUSTED)
    group = b"XFORWARD NAME=c.example\r\nXFORWARD ADDR=192.0.2.7\r\nMAIL FROM:<a@b>\r\n"
    assert talk.codes(b"EHLO c\r\n", group) == [250, 250, 250, 250]
    told = [event.attributes for event in talk.events if isinstance(event, OriginTold)]
    assert told == [{"NAME": "c.example"}, {"ADDR": "192.0.2.7"}]


def test_the_next_session_keeps_tls_and_no_name() -> None:
    before = ServerSession(TRUSTED)
    before.is_tls = True
    talk = Dialogue(SETTINGS, is_greeted=False)
    talk.session.go_on_from(before, has_login=False)
    talk.session.greet()
    assert talk.pump().startswith(b"220 ")
    assert talk.codes(b"MAIL FROM:<a@b>\r\n", b"EHLO c\r\n", b"STARTTLS\r\n") == [503, 250, 503]


def submitting(before: SubmissionSession, *, has_login: bool) -> Dialogue:
    """Be the session after XCLIENT."""
    talk = Dialogue(SUBMISSION, is_greeted=False, make=SubmissionSession)
    talk.session.go_on_from(before, has_login=has_login)
    talk.session.greet()
    assert talk.pump().startswith(b"220 ")
    return talk


def test_whoever_is_logged_in_by_his_proxy_needs_neither_tls_nor_auth() -> None:
    """No password goes over the wire between the two."""
    proxy = Dialogue(SUBMISSION, make=SubmissionSession)
    assert proxy.codes(b"EHLO c\r\n", b"MAIL FROM:<a@b>\r\n") == [250, 530]
    proxy.session.receive(NAMING)
    assert isinstance(proxy.session.next_event(), ClientNamed)
    assert isinstance(proxy.session, SubmissionSession)
    talk = submitting(proxy.session, has_login=True)
    assert talk.codes(b"EHLO c\r\n", b"MAIL FROM:<a@b>\r\n") == [250, 250]
    other = submitting(proxy.session, has_login=False)
    assert other.codes(b"EHLO c\r\n", b"MAIL FROM:<a@b>\r\n", b"AUTH PLAIN AGEAYg==\r\n") == [
        *(250, 530, 504)
    ]


def test_implicit_tls_is_not_asked_for_again() -> None:
    before = SubmissionSession(SUBMISSION, is_implicit_tls=True)
    before.is_tls = True
    for act in ("greet", "refuse"):
        session = SubmissionSession(SUBMISSION, is_implicit_tls=True)
        session.go_on_from(before, has_login=True)
        if act == "greet":
            session.greet()
            assert session.bytes_to_send().startswith(b"220 ")
        else:
            session.refuse(reply(421, "4.7.0", "No"))
            assert session.bytes_to_send().startswith(b"421 ")


def test_who_is_refused_is_refused_with_a_login_too() -> None:
    before = SubmissionSession(SUBMISSION)
    session = SubmissionSession(SUBMISSION)
    session.go_on_from(before, has_login=True)
    session.refuse(reply(554, "5.7.0", "No"))
    session.receive(b"MAIL FROM:<a@b>\r\n")
    session.next_event()
    assert b"503" in session.bytes_to_send()
