"""SMTP on standard input and output: `-bs`."""

import smtplib
import socket
import subprocess
from email.message import EmailMessage
from pathlib import Path

import pytest

from letterlock.storage.drop import parse_envelope
from tests.send.sending import BARE, COMMAND, PATIENCE, DropPlace

SCRIPT = (
    b"EHLO me\r\nMAIL FROM:<jo@example.org>\r\nRCPT TO:<a@example.org>\r\nDATA\r\n"
    b"Subject: hi\r\n\r\n..one\r\nMAIL is no command here\r\n.\r\nQUIT\r\n"
)
TEXT = b"Subject: hi\r\n\r\n.one\r\nMAIL is no command here\r\n"


@pytest.fixture
def place(tmp_path: Path) -> DropPlace:
    return DropPlace(tmp_path).make()


def codes(done: subprocess.CompletedProcess[str]) -> list[str]:
    """Give the last lines' codes of all replies."""
    return [line[:3] for line in done.stdout.splitlines() if line[3:4] != "-"]


@pytest.mark.parametrize("end", [b"\r\n", b"\n"], ids=["CRLF", "LF"])
def test_a_script_is_carried_out_though_it_comes_at_once(place: DropPlace, end: bytes) -> None:
    """RFC 5321 §3.3; a program of this machine may write ahead."""
    done = place.run("-bs", text=SCRIPT.replace(b"\r\n", end))
    assert done.returncode == 0, done.stderr
    assert codes(done) == ["220", "250", "250", "250", "354", "250", "221"]
    envelope, text = place.only()
    assert (envelope.recipients, envelope.facts) == (
        ("a@example.org",),
        {"sender": "jo@example.org"},
    )
    assert text == TEXT


def test_text_that_looks_like_the_end_of_a_message_is_none(place: DropPlace) -> None:
    """RFC 5321 §4.1.1.4: a program that writes CRLF may pass on what a stranger wrote with LF."""
    smuggled = b"Subject: hi\r\n\r\none\n.\nMAIL FROM:<evil@example.org>\r\n"
    script = SCRIPT.replace(TEXT.replace(b"\r\n.", b"\r\n.."), smuggled)
    done = place.run("-bs", text=script)
    assert codes(done) == ["220", "250", "250", "250", "354", "250", "221"]
    assert b"MAIL FROM:<evil@example.org>" in place.only()[1]


def test_several_messages_each_as_it_was_asked_for(place: DropPlace) -> None:
    """RFC 3461 §4.1 to §4.4; what was asked differs by recipient."""
    script = (
        b"EHLO me\r\nMAIL FROM:<> RET=HDRS ENVID=a+2Bb\r\n"
        b"RCPT TO:<a@x.test> NOTIFY=NEVER\r\nRCPT TO:<b@x.test>\r\n"
        b"RCPT TO:<c@x.test> NOTIFY=FAILURE,DELAY\r\nBDAT 5\r\na\nb\r\nBDAT 2 LAST\r\n\r\n"
        b"MAIL FROM:<jo@x.test>\r\nRCPT TO:<d@x.test>\r\nDATA\r\nx\r\n.\r\nQUIT\r\n"
    )
    done = place.run("-bs", text=script)
    assert set(codes(done)) == {"220", "250", "354", "221"}
    found = {}
    for name in place.names():
        envelope, text = parse_envelope((place.drops / name).read_bytes())
        found[envelope.recipients[0]] = (envelope.facts, text)
    assert {key: facts.get("notify") for key, (facts, _) in found.items()} == {
        "a@x.test": "NEVER",
        "b@x.test": None,
        "c@x.test": "DELAY,FAILURE",
        "d@x.test": None,
    }
    facts, text = found["a@x.test"]
    assert (facts["sender"], facts["ret"], facts["envid"], text) == (
        *("", "HDRS", "a+b", b"a\r\nb\r\n\r\n"),
    )


@pytest.mark.parametrize(
    "script",
    [
        b"",
        b"QUIT\r\n",
        b"EHLO me\r\nMAIL FROM:<a@x.test>\r\nRCPT TO:<b@x.test>\r\nDATA\r\nhalf a mess",
        b"EHLO me\r\nMAIL FROM:<a@x.test>\r\nRCPT TO:<b@x.test>\r\nBDAT 100\r\nhalf",
        b"MAIL FROM:<a@x.test>\r\nSTARTTLS\r\nAUTH PLAIN\r\nnonsense\r\n\xff\xff\r\nQUIT\r\n",
    ],
)
def test_what_is_not_whole_is_not_left(place: DropPlace, script: bytes) -> None:
    done = place.run("-bs", text=script)
    assert (done.returncode, done.stderr) == (0, "")
    assert place.names() == []


def test_what_the_node_does_not_take_is_refused(tmp_path: Path) -> None:
    place = DropPlace(tmp_path).make(max_message_bytes=40, max_recipients=1)
    done = place.run("-bs", text=SCRIPT.replace(b"DATA", b"RCPT TO:<b@x.test>\r\nDATA"))
    assert codes(done) == ["220", "250", "250", "250", "452", "354", "552", "221"]
    assert place.names() == []


def test_without_the_folder_nothing_is_said(tmp_path: Path) -> None:
    (tmp_path / "letterlock.toml").write_text(f'data_dir = "{tmp_path}"\n')
    done = DropPlace(tmp_path).run("-bs", text=SCRIPT)
    assert (done.returncode, done.stdout) == (75, "")


def test_a_client_that_waits_for_replies_is_answered(place: DropPlace) -> None:
    """As Alpine and PHP libraries talk to `sendmail -bs`: with a library of SMTP over a pipe."""
    ours, theirs = socket.socketpair()
    with ours:
        process = subprocess.Popen(
            [*COMMAND, "-C", str(place.config), "-bs"],
            stdin=theirs.fileno(),
            stdout=theirs.fileno(),
            env=BARE,
        )
        theirs.close()
        client = smtplib.SMTP()
        client.sock = ours
        assert client.getreply()[0] == 220
        message = EmailMessage()
        message["To"], message["Subject"] = "a@example.org", "hi"
        message.set_content("hello\n.\n")
        client.send_message(message, "jo@example.org", ["a@example.org"])
        client.quit()
        assert process.wait(PATIENCE) == 0
    assert place.only()[1].endswith(b"\r\n\r\nhello\r\n.\r\n")
