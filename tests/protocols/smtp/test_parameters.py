"""RFC 1870, RFC 3461 §4, RFC 6152, RFC 6531 §3.4, RFC 6533 §3: parameters of MAIL and RCPT."""

import contextlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letterlock.protocols.smtp.envelope import BodyType, Notify, Ret
from letterlock.protocols.smtp.parameters import (
    MailParameters,
    ParameterError,
    RcptParameters,
    parse_mail_parameters,
    parse_rcpt_parameters,
)


def parse_rcpt(text: str) -> RcptParameters:
    return parse_rcpt_parameters(text, may_be_unicode=False)


def code_of(parse: Callable[[str], object], text: str) -> int:
    with pytest.raises(ParameterError) as caught:
        parse(text)
    assert caught.value.reply.status == "5.5.4"
    return caught.value.reply.code


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", MailParameters()),
        ("SIZE=0", MailParameters(size=0)),
        ("size=12345678901234567890", MailParameters(size=12345678901234567890)),
        ("BODY=7BIT", MailParameters(body_type=BodyType.SEVEN_BIT)),
        ("Body=8bitmime", MailParameters(body_type=BodyType.EIGHT_BIT)),
        ("SMTPUTF8", MailParameters(smtputf8=True)),
        ("RET=full", MailParameters(ret=Ret.FULL)),
        ("RET=HDRS ENVID=QQ+2B314159", MailParameters(ret=Ret.HEADERS, envid="QQ+2B314159")),
        ("ENVID=" + "a" * 100, MailParameters(envid="a" * 100)),
        ("requiretls", MailParameters(requiretls=True)),
        ("SIZE=1  SMTPUTF8", MailParameters(size=1, smtputf8=True)),
    ],
)
def test_mail_parameters(text: str, expected: MailParameters) -> None:
    assert parse_mail_parameters(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "SIZE",
        "SIZE=",
        "SIZE=-1",
        "SIZE=1x",
        "SIZE=123456789012345678901",
        "BODY",
        "BODY=9BIT",
        "SMTPUTF8=yes",
        "REQUIRETLS=",
        "REQUIRETLS=yes",
        "REQUIRETLS REQUIRETLS",
        "RET",
        "RET=ALL",
        "ENVID",
        "ENVID=a+2b",
        "ENVID=a+4",
        "ENVID=a=b",
        "ENVID=+0A",
        "ENVID=+FF",
        "ENVID=" + "a" * 101,
        "=1",
        "-A=1",
        "SIZE=1 SIZE=1",
        "RET=FULL RET=HDRS",
        "ENVID=a envid=b",
        "SMTPUTF8 SMTPUTF8",
        "SIZE=\u0661",
        "SIZE\t=1",
        "AUTH",
        "AUTH=nobody",
        "AUTH=+3C",
        "AUTH=<> AUTH=<>",
    ],
)
def test_bad_mail_parameters_get_501(text: str) -> None:
    """RFC 3461 §4.5 and §5.1 (a), RFC 1870 §6."""
    assert code_of(parse_mail_parameters, text) == 501


@pytest.mark.parametrize("text", ["AUTH=<>", "auth=e+3Dmc2@example.com"])
def test_whoever_the_client_says_submitted_it_counts_for_nothing(text: str) -> None:
    """RFC 4954 §5 and its examples."""
    assert parse_mail_parameters(text) == MailParameters(has_auth=True)


@pytest.mark.parametrize(
    "text",
    [
        "XFOO",
        "XFOO=bar",
        "BODY=BINARYMIME",
        "NOTIFY=NEVER",
        "SIZE=1 HOLDFOR=5",
    ],
)
def test_parameters_of_no_extension_offered_get_555(text: str) -> None:
    """RFC 5321 §4.1.1.11."""
    assert code_of(parse_mail_parameters, text) == 555


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", RcptParameters()),
        ("NOTIFY=never", RcptParameters(frozenset({Notify.NEVER}))),
        (
            "NOTIFY=Success,FAILURE,delay",
            RcptParameters(frozenset({Notify.SUCCESS, Notify.FAILURE, Notify.DELAY})),
        ),
        ("ORCPT=rfc822;a+2Bb@example.org", RcptParameters(orcpt="rfc822;a+2Bb@example.org")),
        ("ORCPT=x400;/C=US".replace("C=", "C+3D"), RcptParameters(orcpt="x400;/C+3DUS")),
        ("ORCPT=rfc822;" + "a" * 493, RcptParameters(orcpt="rfc822;" + "a" * 493)),
        (r"ORCPT=utf-8;\x{7528}a@b", RcptParameters(orcpt=r"utf-8;\x{7528}a@b")),
        (r"ORCPT=UTF-8;a\x{2B}b@b", RcptParameters(orcpt=r"UTF-8;a\x{2B}b@b")),
    ],
)
def test_rcpt_parameters(text: str, expected: RcptParameters) -> None:
    assert parse_rcpt(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "NOTIFY",
        "NOTIFY=",
        "NOTIFY=ALWAYS",
        "NOTIFY=NEVER,SUCCESS",
        "NOTIFY=SUCCESS,",
        "NOTIFY=NEVER NOTIFY=NEVER",
        "ORCPT",
        "ORCPT=a@example.org",
        "ORCPT=rfc822;",
        "ORCPT=;a@example.org",
        "ORCPT=rfc822;a+zz",
        "ORCPT=rfc822;a+0Db",
        "ORCPT=rf(c;a",
        "ORCPT=rfc822;" + "a" * 494,
        "ORCPT=rfc822;a ORCPT=rfc822;a",
        r"ORCPT=utf-8;a\b",
        r"ORCPT=utf-8;\x{0A}",
        r"ORCPT=utf-8;\x{7}",
        r"ORCPT=utf-8;\x{D800}",
        r"ORCPT=utf-8;\x{110000}",
        "ORCPT=utf-8;a+2B",
        "ORCPT=utf-8;用户@b",
    ],
)
def test_bad_rcpt_parameters_get_501(text: str) -> None:
    """RFC 3461 §4.5 and §5.1 (b); RFC 6533 §3."""
    assert code_of(parse_rcpt, text) == 501


@pytest.mark.parametrize("text", ["SIZE=1", "XFOO=bar", "RRVS=x"])
def test_unknown_rcpt_parameters_get_555(text: str) -> None:
    """RFC 5321 §4.1.1.11."""
    assert code_of(parse_rcpt, text) == 555


@pytest.mark.parametrize(
    ("orcpt", "meant"),
    [
        ("rfc822;+CE+B4@b", r"utf-8;\x{3B4}@b"),
        ("RFC822;gr+C3+BCn+2Bx@b", r"utf-8;gr\x{FC}n\x{2B}x@b"),
    ],
)
def test_utf8_sent_as_rfc822_is_given_its_type(orcpt: str, meant: str) -> None:
    """RFC 6533 §3. Postfix 3.7 sends addresses that need SMTPUTF8 in this way."""
    assert parse_rcpt(f"ORCPT={orcpt}").orcpt == meant


@pytest.mark.parametrize(
    "orcpt", ["rfc822;a+FFb", "rfc822;+CE+B4+0A", "rfc822;+C2+85", "x400;+CE+B4"]
)
def test_other_octets_over_127_are_refused_in_orcpt(orcpt: str) -> None:
    """RFC 3461 §4.2: printable ASCII."""
    assert code_of(parse_rcpt, f"ORCPT={orcpt}") == 501


def test_orcpt_may_be_utf8_in_a_smtputf8_transaction() -> None:
    """RFC 6533 §3 (utf-8-addr-unitext)."""
    given = parse_rcpt_parameters("ORCPT=utf-8;用户@例え.テスト", may_be_unicode=True)
    assert given.orcpt == "utf-8;用户@例え.テスト"


@given(st.text())
def test_any_text_gives_parameters_or_a_reply(text: str) -> None:
    for parse in (parse_mail_parameters, parse_rcpt):
        with contextlib.suppress(ParameterError):
            parse(text)
