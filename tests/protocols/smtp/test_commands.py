"""RFC 5321 §4.1.1: command lines to values."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letterlock.protocols.smtp.commands import (
    Auth,
    Bdat,
    Command,
    Data,
    Ehlo,
    Helo,
    Help,
    Mail,
    Noop,
    Quit,
    Rcpt,
    Rejected,
    Rset,
    StartTls,
    Vrfy,
    parse_command,
)
from letterlock.protocols.smtp.envelope import BodyType, Notify, Ret
from letterlock.protocols.smtp.parameters import MailParameters, RcptParameters
from letterlock.protocols.smtp.paths import Mailbox

ALICE = Mailbox("alice", "example.org")


@pytest.mark.parametrize(
    ("line", "command"),
    [
        (b"EHLO client.example", Ehlo("client.example")),
        (b"ehlo [192.0.2.1]", Ehlo("[192.0.2.1]")),
        (b"EHLO [IPv6:2001:db8::1] ", Ehlo("[IPv6:2001:db8::1]")),
        (b"EHLO  my_pc", Ehlo("my_pc")),
        ("EHLO bücher.example".encode(), Ehlo("b?cher.example")),
        ("helo Büro-PC ".encode("latin-1"), Helo("B?ro-PC")),
        (b"EHLO [IPv6:fe80::1%en0]", Ehlo("[IPv6:fe80::1?en0]")),
        (b"Helo localhost", Helo("localhost")),
        (b"MAIL FROM:<>", Mail(None, MailParameters())),
        (b"MAIL FROM:<alice@example.org>", Mail(ALICE, MailParameters())),
        (b"mail from: <alice@EXAMPLE.org>", Mail(ALICE, MailParameters())),
        (b"MAIL  FROM:<alice@example.org>  SIZE=5 ", Mail(ALICE, MailParameters(size=5))),
        (b"MAIL FROM:<@x.example:alice@example.org>", Mail(ALICE, MailParameters())),
        (
            b"MAIL FROM:<alice@example.org> body=8BITMIME",
            Mail(ALICE, MailParameters(body_type=BodyType.EIGHT_BIT)),
        ),
        (
            "MAIL FROM:<用户@example.org> SMTPUTF8".encode(),
            Mail(Mailbox("用户", "example.org"), MailParameters(smtputf8=True)),
        ),
        (
            b"MAIL FROM:<alice@example.org> RET=HDRS ENVID=x",
            Mail(ALICE, MailParameters(ret=Ret.HEADERS, envid="x")),
        ),
        (
            b'MAIL FROM:<"a > b"@example.org>',
            Mail(Mailbox("a > b", "example.org"), MailParameters()),
        ),
        (b"RCPT TO:<alice@example.org>", Rcpt(ALICE, RcptParameters())),
        (b"rcpt to: <alice@example.org>", Rcpt(ALICE, RcptParameters())),
        (b"RCPT TO:<Postmaster>", Rcpt(None, RcptParameters())),
        (
            b"RCPT TO:<alice@example.org> NOTIFY=NEVER ORCPT=rfc822;b@c",
            Rcpt(ALICE, RcptParameters(frozenset({Notify.NEVER}), "rfc822;b@c")),
        ),
        (b"DATA", Data()),
        (b"data \t ", Data()),
        (b"BDAT 0", Bdat(0, is_last=False)),
        (b"BDAT 86 LAST", Bdat(86, is_last=True)),
        (b"bdat 007  last ", Bdat(7, is_last=True)),
        (b"RSET", Rset()),
        (b"NOOP", Noop()),
        (b"NOOP anything <at> all", Noop()),
        (b"QUIT", Quit()),
        (b"VRFY alice", Vrfy()),
        (b"HELP", Help()),
        (b"HELP DATA", Help()),
        (b"STARTTLS", StartTls()),
        (b"starttls", StartTls()),
        (b"AUTH PLAIN", Auth("PLAIN")),
        (b"auth scram-sha-256 =", Auth("SCRAM-SHA-256", "=")),
        (b"AUTH LOGIN  YQ==", Auth("LOGIN", "YQ==")),
    ],
)
def test_commands(line: bytes, command: Command) -> None:
    """RFC 5321 §2.4: verbs and keywords without regard to case; §4.1.1: trailing space is fine."""
    assert parse_command(line) == command


@pytest.mark.parametrize(
    ("line", "verb", "code", "status"),
    [
        (b"", "", 500, "5.5.2"),
        (b" EHLO a", "", 500, "5.5.2"),
        (b"FOO bar", "FOO", 500, "5.5.2"),
        (b"GET / HTTP/1.1", "GET", 500, "5.5.2"),
        (b"f\xc3\xb6\xc3\xb6", "F??", 500, "5.5.2"),
        (b"\x16\x03\x01\x02", "????", 500, "5.5.2"),
        (b"NOOP \xff", "NOOP", 500, "5.5.2"),
        (b"NOOP a\x00b", "NOOP", 500, "5.5.2"),
        (b"MAIL FROM:<a\x00@example.org>", "MAIL", 500, "5.5.2"),
        (b"MAIL\tFROM:<a@b>", "MAIL?FROM??A?B?", 500, "5.5.2"),
        (b"EHLO", "EHLO", 501, None),
        (b"EHLO a b", "EHLO", 501, None),
        (b"EHLO (a)", "EHLO", 501, None),
        (b"EHLO " + b"a" * 256, "EHLO", 501, None),
        ("EHLO bü cher".encode(), "EHLO", 501, None),
        (b"EHLO \xfc<", "EHLO", 501, None),
        (b"EHLO \xfc\x00", "EHLO", 500, "5.5.2"),
        (b"HELO", "HELO", 501, None),
        (b"HELO a;b", "HELO", 501, None),
        (b"MAIL", "MAIL", 501, "5.5.4"),
        (b"MAIL FROM:", "MAIL", 501, "5.5.4"),
        (b"MAIL FROM:a@example.org", "MAIL", 501, "5.5.4"),
        (b"MAIL FROM <a@example.org>", "MAIL", 501, "5.5.4"),
        (b"MAIL TO:<a@example.org>", "MAIL", 501, "5.5.4"),
        (b"MAIL FROM:<a@example.org>SIZE=1", "MAIL", 501, "5.5.4"),
        (b"MAIL FROM:<a@example.org> x", "MAIL", 555, "5.5.4"),
        (b"MAIL FROM:<a@example.org> SIZE=x", "MAIL", 501, "5.5.4"),
        (b"MAIL FROM:<a>", "MAIL", 501, "5.1.7"),
        (b"MAIL FROM:<a b@example.org>", "MAIL", 501, "5.1.7"),
        (b"MAIL FROM:<postmaster>", "MAIL", 501, "5.1.7"),
        ("MAIL FROM:<用户@example.org>".encode(), "MAIL", 550, "5.6.7"),
        ("MAIL FROM:<用 户@example.org>".encode(), "MAIL", 501, "5.1.7"),
        (b"RCPT", "RCPT", 501, "5.5.4"),
        (b"RCPT TO:a@example.org", "RCPT", 501, "5.5.4"),
        (b"RCPT TO:<>", "RCPT", 501, "5.1.3"),
        (b"RCPT TO:<alice>", "RCPT", 501, "5.1.3"),
        (b"RCPT TO:<a@example.org> SIZE=1", "RCPT", 555, "5.5.4"),
        (b"RCPT TO:<a@example.org> NOTIFY=x", "RCPT", 501, "5.5.4"),
        ("RCPT TO:<用户@example.org>".encode(), "RCPT", 553, "5.6.7"),
        (b"DATA now", "DATA", 501, "5.5.4"),
        (b"RSET now", "RSET", 501, "5.5.4"),
        (b"QUIT now", "QUIT", 501, "5.5.4"),
        (b"STARTTLS x", "STARTTLS", 501, "5.5.4"),
        (b"BDAT", "BDAT", 501, "5.5.4"),
        (b"BDAT x", "BDAT", 501, "5.5.4"),
        (b"BDAT -1", "BDAT", 501, "5.5.4"),
        (b"BDAT 1 FIRST", "BDAT", 501, "5.5.4"),
        (b"BDAT 1LAST", "BDAT", 501, "5.5.4"),
        (b"BDAT 1234567890123456789", "BDAT", 501, "5.5.4"),
        ("BDAT \N{ARABIC-INDIC DIGIT ONE}".encode(), "BDAT", 501, "5.5.4"),
        (b"VRFY", "VRFY", 501, "5.5.4"),
        (b"EXPN list", "EXPN", 502, "5.5.1"),
        (b"AUTH", "AUTH", 501, "5.5.4"),
        (b"AUTH PLAIN a b", "AUTH", 501, "5.5.4"),
        (b"AUTH PLAIN \xc3\xa9", "AUTH", 501, "5.5.4"),
        (b"AUTH " + b"A" * 21, "AUTH", 501, "5.5.4"),
        (b"TURN", "TURN", 502, "5.5.1"),
        (b"ETRN example.org", "ETRN", 502, "5.5.1"),
    ],
)
def test_lines_that_are_no_command_we_take(
    line: bytes, verb: str, code: int, status: str | None
) -> None:
    """RFC 5321 §4.3.2 and §4.2.4; RFC 2034 §4: no status code in answers to EHLO and HELO."""
    command = parse_command(line)
    assert isinstance(command, Rejected)
    assert (command.verb, command.reply.code, command.reply.status) == (verb, code, status)


def test_rcpt_may_be_utf8_in_a_smtputf8_transaction() -> None:
    """RFC 6531 §3.2."""
    command = parse_command("RCPT TO:<用户@例え.テスト>".encode(), may_be_unicode=True)
    assert command == Rcpt(Mailbox("用户", "xn--r8jz45g.xn--zckzah"), RcptParameters())


def test_starttls_x_gets_501() -> None:
    """RFC 3207 §4 (rule 1)."""
    command = parse_command(b"STARTTLS x")
    assert isinstance(command, Rejected)
    assert command.reply.code == 501


def test_replies_that_quote_the_client_are_ascii() -> None:
    """RFC 5321 §4.2."""
    command = parse_command("MAIL FROM:<ü ü@example.org>".encode())
    assert isinstance(command, Rejected)
    assert command.reply.text.isascii()


def test_a_line_full_of_quotes_takes_no_time() -> None:
    """The path's expression must not backtrack: this would take for ever."""
    command = parse_command(b"MAIL FROM:<" + b'"\\"' * 600 + b"a" * 200)
    assert isinstance(command, Rejected)


_VERBS = [b"EHLO ", b"HELO ", b"MAIL FROM:", b"RCPT TO:", b"BDAT ", b"DATA", b"VRFY ", b""]


@given(st.sampled_from(_VERBS), st.binary(max_size=80), st.booleans())
def test_any_octets_are_a_command_or_rejected(verb: bytes, rest: bytes, unicode: bool) -> None:
    command = parse_command(verb + rest, may_be_unicode=unicode)
    if isinstance(command, Rejected):
        assert command.reply.is_permanent
        assert command.reply.text.isprintable()
