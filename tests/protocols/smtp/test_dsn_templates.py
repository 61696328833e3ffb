"""The texts of notifications: an operator's files, and what they give."""

import contextlib
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letterlock.protocols.smtp.dsn import make_dsn
from letterlock.protocols.smtp.dsn_causes import DEFAULT_SENTENCES, Cause
from letterlock.protocols.smtp.dsn_report import Action
from letterlock.protocols.smtp.dsn_templates import (
    BLOCK_NAMES,
    DEFAULT_NOTICES,
    LINE_NAMES,
    MAX_TEXT_OCTETS,
    NoticeText,
    NoticeTexts,
    TextError,
    fill_names,
    parse_notice_text,
    parse_sentences,
)
from tests.protocols.smtp.test_dsn import TOKEN, report

GERMAN = """Subject: Nicht zugestellt: Gruß von {hostname}
From: Der Postdienst für alle
Content-Language: de

Ihre Nachricht an {recipients} wurde
nicht zugestellt.

{reasons}

Hilfe: {postmaster}
  eingerückt {{bleibt}}

Nächster Versuch: {next_try}

Technisches:
{details}
"""


def parse(text: str) -> NoticeText:
    return parse_notice_text(text.encode())


def faults(text: str | bytes) -> list[tuple[int, str]]:
    octets = text if isinstance(text, bytes) else text.encode()
    with pytest.raises(TextError) as caught:
        parse_notice_text(octets)
    return [(each.line, each.message) for each in caught.value.faults]


def test_a_text_has_headers_and_paragraphs() -> None:
    text = parse(GERMAN)
    assert text.subject == "Nicht zugestellt: Gruß von {hostname}"
    assert text.author == "Der Postdienst für alle"
    assert text.language == "de"
    assert text.paragraphs == (
        ("Ihre Nachricht an {recipients} wurde nicht zugestellt.",),
        ("{reasons}",),
        ("Hilfe: {postmaster}", "  eingerückt {{bleibt}}"),
        ("Nächster Versuch: {next_try}",),
        ("Technisches:", "{details}"),
    )


def test_line_ends_and_marks_of_other_systems_do_no_harm() -> None:
    octets = b"\xef\xbb\xbf" + GERMAN.replace("\n", "\r\n").encode()
    assert parse_notice_text(octets) == parse(GERMAN)


def test_a_paragraph_that_has_nothing_to_say_is_left_out() -> None:
    lines = parse(GERMAN).fill({"recipients": "bob@example.com", "postmaster": "p", "reasons": ""})
    assert lines == [
        "Ihre Nachricht an bob@example.com wurde nicht zugestellt.",
        "",
        "Hilfe: p",
        "  eingerückt {bleibt}",
    ]


def test_a_value_is_not_looked_at_again() -> None:
    assert fill_names("{a} {{b}} {c}", {"a": "{c}{{", "c": "C"}) == "{c}{{ {b} C"


@pytest.mark.parametrize("action", Action)
def test_our_own_texts_are_in_the_same_form(action: Action) -> None:
    text = parse(DEFAULT_NOTICES[action])
    assert text.author == "Mail Delivery System"
    assert NoticeTexts().find_notice(action) == text


HEAD = "Subject: x\n\n"


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("", 1, "must give a Subject"),
        ("From: x\n\nHello\n", 1, "must give a Subject"),
        ("Subject: x\n\n\n", 4, "no text below"),
        ("Subject: x\nBcc: y\n\nHello", 2, "before the empty line stand only"),
        ("Subject: x\n  folded\n\nHello", 2, "before the empty line stand only"),
        ("Subject: x\nsubject: y\n\nHello", 2, "subject stands here twice"),
        ("Subject:\n\nHello", 1, "must have 1 to 200"),
        (f"Subject: {'x' * 201}\n\nHello", 1, "must have 1 to 200"),
        ("Subject: {recipients}\n\nHello", 1, "{recipients} is unknown here"),
        ("Subject: x\nContent-Language: d e\n\nHello", 2, "must be a language"),
        (f"{HEAD}Hello {{recipient}}", 3, "{recipient} is unknown here; there are {recipients},"),
        (f"{HEAD}Hello {{}}", 3, "{} is unknown here"),
        (f"{HEAD}Hello {{", 3, "a { by itself is written {{"),
        (f"{HEAD}Hello\n}}", 4, "a } by itself is written }}"),
        (f"{HEAD}See: {{reasons}}", 3, "{reasons} must stand alone on its line"),
        (f"{HEAD}Hello \x1b[2J", 3, "cannot be printed"),
        (f"{HEAD}Hello \u2028", 3, "cannot be printed"),
        (f"{HEAD}a\rb", 3, "cannot be printed"),
        (f"{HEAD}{'x' * 501}", 3, "longer than 500"),
        (b"Subject: x\n\nGr\xfc\xdfe", 3, "is not UTF-8"),
        (b"x" * (MAX_TEXT_OCTETS + 1), 0, "is larger than"),
    ],
)
def test_a_mistake_is_told_with_its_line(text: str | bytes, line: int, said: str) -> None:
    found = faults(text)
    assert [number for number, message in found if said in message] == [line], found


def test_all_mistakes_are_told_at_once() -> None:
    assert [line for line, _ in faults("Subject: {x}\nTo: me\n\n{y} {z}\n{")] == [1, 2, 4, 4, 5]


def test_sentences_are_replaced_by_their_names() -> None:
    text = "# Ursachen\n\nno-such-user: Gibt es nicht\n  bei {domain}.\nrefused: Nein.\n"
    found = parse_sentences(text.encode())
    assert found == {"no-such-user": "Gibt es nicht bei {domain}.", "refused": "Nein."}
    texts = NoticeTexts(sentences=found)
    assert texts.find_sentence(Cause.REFUSED) == "Nein."
    assert texts.find_sentence(Cause.LOOP) == DEFAULT_SENTENCES[Cause.LOOP]


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("nosuch: x", 1, "no cause of the name nosuch"),
        ("loop: x\nloop: y", 2, "loop stands here twice"),
        ("loop", 1, "not `name: text`"),
        ("  loop: x", 1, "not `name: text`"),
        ("loop: {tried}", 1, "{tried} is unknown here"),
        ("loop: x\n  {", 2, "by itself"),
    ],
)
def test_a_mistake_in_a_sentence_is_told_with_its_line(text: str, line: int, said: str) -> None:
    with pytest.raises(TextError, match="line") as caught:
        parse_sentences(text.encode())
    assert [(each.line, said in each.message) for each in caught.value.faults] == [(line, True)]


def make(text: NoticeText, action: Action = Action.FAILED) -> EmailMessage:
    content = make_dsn(report(action), NoticeTexts({action: text})).content
    parsed = message_from_bytes(content, policy=policy.default)
    assert isinstance(parsed, EmailMessage)
    assert [defect for part in parsed.walk() for defect in part.defects] == []
    return parsed


def test_a_text_in_another_language_becomes_a_notification() -> None:
    """RFC 2047 §2 (Subject and From), RFC 2045 §6.7 (the text): readable anywhere."""
    message = make(parse(GERMAN))
    assert message["Subject"] == "Nicht zugestellt: Gruß von mx1.example.org"
    assert message["From"].addresses[0].display_name == "Der Postdienst für alle"
    assert message["From"].addresses[0].addr_spec == "MAILER-DAEMON@mx1.example.org"
    first = cast("list[EmailMessage]", message.get_payload())[0]
    assert first["Content-Language"] == "de"
    lines = first.get_content().splitlines()
    at = lines.index("Hilfe: postmaster@mx1.example.org")
    assert lines[at + 1] == "  eingerückt {bleibt}"
    assert "Nächster Versuch" not in first.get_content()


NAMES = [f"{{{name}}}" for name in (*LINE_NAMES, *BLOCK_NAMES)]
LINES = st.text(max_size=600) | st.sampled_from(
    [*NAMES, "--=_x", f"--=_{TOKEN}--", "Content-Type: text/html", ".", "From x", "Bcc: y@x.test"]
)


@given(st.lists(LINES, max_size=6), st.text(max_size=40), st.sampled_from(Action))
def test_no_text_breaks_the_structure(lines: list[str], subject: str, action: Action) -> None:
    """RFC 2046 §5.1.1: three parts, whatever an operator wrote; and one header."""
    octets = "\n".join([f"Subject: {subject}", "", "x", *lines]).encode("utf-8", "replace")
    try:
        text = parse_notice_text(octets)
    except TextError:
        return
    message = make(text, action)
    assert len(cast("list[object]", message.get_payload())) == 3
    assert message["Bcc"] is None
    content = make_dsn(report(action), NoticeTexts({action: text})).content
    assert all(len(line) <= 998 and b"\n" not in line for line in content.split(b"\r\n"))


@given(st.binary(max_size=300))
def test_any_octets_give_a_text_or_its_mistakes(octets: bytes) -> None:
    for read in (parse_notice_text, parse_sentences):
        with contextlib.suppress(TextError):
            read(octets)
