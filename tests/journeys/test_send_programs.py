"""Programs that run sendmail(1), as they run it: cron, PHP's mail(), mail(1)."""

import shlex
import subprocess
from pathlib import Path

import pytest

from tests.journeys.running_node import NodeFiles, running
from tests.peers import environment, program
from tests.send.sending import COMMAND, PATIENCE

BARE = {"PATH": "/usr/bin:/bin", "HOME": "/", "LOGNAME": "root", "SHELL": "/bin/sh"}


@pytest.fixture
def files(tmp_path: Path) -> NodeFiles:
    files = NodeFiles(tmp_path / "node")
    files.set("send", origin="example.org")
    return files


def _install(files: NodeFiles) -> Path:
    """Put the program where others find it, as /usr/sbin/sendmail."""
    path = files.folder / "sendmail"
    words = shlex.join([*COMMAND, "-C", str(files.config)])
    path.write_text(f'#!/bin/sh\nexec {words} "$@"\n')
    path.chmod(0o755)
    return path


def _take(files: NodeFiles, command: str, text: bytes, environment: dict[str, str]) -> list[str]:
    """Run a command of a shell, and give alice's mail after two were delivered."""
    with running(files) as node:
        node.wait_log("mail is handed in at")
        done = subprocess.run(
            ["/bin/sh", "-c", command],
            input=text,
            capture_output=True,
            timeout=PATIENCE,
            cwd="/",
            env=environment,
            check=False,
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
        node.wait_log("status=sent", count=2)
    return files.mails()


def test_cron_tells_what_a_job_said(files: NodeFiles) -> None:
    """As Debian's cron runs it: options of sendmail, next to no environment, LF lines."""
    command = f"{_install(files)} -i -FCronDaemon -B8BITMIME -oem alice postmaster"
    text = (
        "From: alice (Cron Daemon)\nTo: alice\nSubject: Cron <alice@mx> job\n"
        "MIME-Version: 1.0\nContent-Type: text/plain; charset=UTF-8\n\nfertig: ö\n.\nende\n"
    )
    (mail,) = _take(files, command, text.encode(), BARE)
    assert "\nFrom: alice@example.org (Cron Daemon)\nTo: alice@example.org\n" in mail
    assert mail.endswith("\n\nfertig: ö\n.\nende\n")
    assert "\nDate: " in mail


def test_php_sends_a_form(files: NodeFiles) -> None:
    """PHP's mail(): `sendmail_path` and the fifth argument to a shell, lines of CRLF in the header
    and of either kind below; Bcc in the header."""
    command = f"{_install(files)} -t -i -fwww@example.org"
    text = (
        b"To: Alice <alice@example.org>\r\nSubject: =?UTF-8?Q?form?=\r\nFrom: www@example.org\r\n"
        b"Bcc: postmaster@example.org\r\nX-Mailer: PHP\r\n\r\none\n.\r\ntwo\r\n"
    )
    (mail,) = _take(files, command, text, {})
    assert mail.startswith("Return-Path: <www@example.org>\n")
    assert "Bcc" not in mail
    assert mail.endswith("\n\none\n.\ntwo\n")


@pytest.mark.peer("bsd-mailx")
def test_mail_sends(files: NodeFiles) -> None:
    """mail(1): the program's name from a setting, recipients as arguments."""
    settings = files.folder / "mailrc"
    settings.write_text(f"set sendmail={_install(files)}\n")
    mail = shlex.quote(str(program("bsd-mailx", "bsd-mailx")))
    command = f"{mail} -s 'by mail' -c postmaster alice"
    (text,) = _take(
        files, command, b"hello\n", {**environment("bsd-mailx"), **BARE, "MAILRC": str(settings)}
    )
    assert "\nTo: alice@example.org\n" in text
    assert "\nCc: postmaster@example.org\n" in text
    assert "\nSubject: by mail\n" in text
    assert text.endswith("\n\nhello\n")


@pytest.mark.peer("mutt")
def test_mutt_sends(files: NodeFiles) -> None:
    """mutt through sendmail(1), as it does where no `smtp_url` is set."""
    settings = files.folder / "muttrc"
    settings.write_text(
        f'set sendmail="{_install(files)} -oem -oi" use_envelope_from=yes copy=no\n'
        'set from="alice@example.org" realname="Alice" use_domain=no\n'
    )
    mutt = shlex.quote(str(program("mutt", "mutt")))
    command = f"{mutt} -n -F {settings} -s 'by mutt' -c postmaster -- alice"
    (text,) = _take(files, command, b"hello\n.\n", {**environment("mutt"), **BARE})
    assert text.startswith("Return-Path: <alice@example.org>\n")
    assert "\nSubject: by mutt\n" in text
    assert text.endswith("\n\nhello\n.\n")


@pytest.mark.peer("php")
def test_php_itself_sends(files: NodeFiles) -> None:
    """PHP's mail() with a sender in its fifth argument and fields in its fourth."""
    script = files.folder / "form.php"
    script.write_text(
        "<?php $fields = ['From' => 'www@example.org', 'X-Form' => '1'];\n"
        "$to = 'alice@example.org, postmaster@example.org';\n"
        "exit(mail($to, 'form', \"one\\n.\\ntwo\\n\", $fields, '-fwww@example.org') ? 0 : 1);\n"
    )
    php = shlex.quote(str(program("php", "php")))
    command = f"{php} -n -d sendmail_path={shlex.quote(f'{_install(files)} -t -i')} {script}"
    (text,) = _take(files, command, b"", {**environment("php"), **BARE})
    assert text.startswith("Return-Path: <www@example.org>\n")
    assert "\nX-Form: 1\n" in text
    assert text.rstrip("\n").endswith("\n\none\n.\ntwo")
