"""A node with the ports for submission, and clients of others: smtplib, msmtp, mutt, swaks."""

import base64
import os
import re
import smtplib
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.journeys.running_node import PATIENCE, NodeFiles, RunningNode, mx_certificate, running
from tests.network.certificates import authority
from tests.peers import find_program
from tests.programs import command_environment

NAME, PASSWORD = "alice", "correct horse, battery"
TEXT = "From: Alice <alice@example.org>\nTo: postmaster@example.org\nSubject: hello\n\nhello\n"


class Submitting:
    """A running node, its ports, and what its authority's certificate is in."""

    def __init__(self, node: RunningNode) -> None:
        self.node = node
        found = node.wait_log(r"taking submissions on \S+:(\d+) \(TLS\), \S+:(\d+) \(STARTTLS\)")
        self.tls, self.starttls = int(found[1]), int(found[2])
        self.trust = node.files.folder / "ca.pem"
        self.trust.write_bytes(authority().pem)

    def connect(self, *, is_tls: bool = True) -> smtplib.SMTP:
        """Connect under TLS to the name in the certificate."""
        context = ssl.create_default_context(cadata=authority().pem.decode("ascii"))
        context.check_hostname = False
        if is_tls:
            return smtplib.SMTP_SSL("127.0.0.1", self.tls, timeout=PATIENCE, context=context)
        client = smtplib.SMTP("127.0.0.1", self.starttls, timeout=PATIENCE)
        client.starttls(context=context)
        return client

    def connect_from(self, source: str) -> smtplib.SMTP:
        """Connect under TLS from an address of this machine's."""
        context = ssl.create_default_context(cadata=authority().pem.decode("ascii"))
        context.check_hostname = False
        return smtplib.SMTP_SSL(
            "127.0.0.1",
            self.tls,
            timeout=PATIENCE,
            context=context,
            source_address=(source, 0),
        )

    def wait_delivered(self, count: int = 1) -> str:
        """Give the newest of the mails to the postmaster."""
        files = self.node.files
        self.node.wait_for(lambda: len(files.mails("postmaster")) >= count, "mail")
        return files.mails("postmaster")[-1]


def add_user(files: NodeFiles, name: str, *arguments: str, password: str = PASSWORD) -> None:
    subprocess.run(
        [
            *(sys.executable, "-m", "letterlock", "user", "add", name, *arguments),
            *("--config", str(files.config)),
        ],
        env=command_environment(),
        input=f"{password}\n",
        text=True,
        check=True,
        timeout=PATIENCE,
        capture_output=True,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("submission")


@pytest.fixture(scope="module")
def submitting(folder: Path) -> Iterator[Submitting]:
    """One node for all tests here: they look at what each of them sends."""
    files = NodeFiles(folder / "node")
    files.add_certificate(mx_certificate())
    files.set("node", workers=2)
    files.set(
        "submission",
        enabled=True,
        listen=["127.0.0.1:0"],
        listen_starttls=["127.0.0.1:0"],
        max_failures_per_account=5,
        max_failures_per_client=0,
    )
    files.write()
    add_user(files, NAME)
    with running(files) as node:
        yield Submitting(node)


def count(submitting: Submitting) -> int:
    return len(submitting.node.files.mails("postmaster"))


@pytest.mark.parametrize("is_tls", [True, False], ids=["465", "587"])
@pytest.mark.parametrize("method", ["auth_plain", "auth_login"])
def test_smtplib_submits(submitting: Submitting, is_tls: bool, method: str) -> None:
    """RFC 8314 §3.3, RFC 4616."""
    before = count(submitting)
    with submitting.connect(is_tls=is_tls) as client:
        client.ehlo()
        client.user, client.password = NAME, PASSWORD
        code, _ = client.auth(method.removeprefix("auth_").upper(), getattr(client, method))
        assert code == 235
        assert client.sendmail("alice@example.org", ["postmaster@example.org"], TEXT) == {}
    mail = submitting.wait_delivered(before + 1)
    assert "ESMTPSA" in mail
    assert "127.0.0.1" not in mail
    assert re.search(r"^Date: ", mail, re.MULTILINE)
    assert re.search(r"^Message-ID: <.*@mx\.example\.org>$", mail, re.MULTILINE)


def test_what_is_wrong_is_told_by_its_code(submitting: Submitting) -> None:
    """RFC 4954 §6, RFC 6409 §4.3, §6.1."""
    with submitting.connect() as client:
        with pytest.raises(smtplib.SMTPAuthenticationError) as refused:
            client.login(NAME, "wrong")
        assert refused.value.smtp_code == 535
        assert client.mail("alice@example.org")[0] == 530
        client.login(NAME, PASSWORD)
        assert client.mail("postmaster@example.org")[0] == 550
        assert client.mail("alice@example.org")[0] == 250
        assert client.rcpt("someone@elsewhere.invalid")[0] == 250
        assert client.rcpt("nobody@example.org")[0] == 550
        assert client.data("From: postmaster@example.org\n\nhello\n")[0] == 550


def test_without_tls_there_is_no_login(submitting: Submitting) -> None:
    """RFC 4954 §4 (rule 113)."""
    with smtplib.SMTP("127.0.0.1", submitting.starttls, timeout=PATIENCE) as client:
        client.ehlo()
        assert not client.has_extn("auth")
        assert client.docmd("AUTH", "PLAIN AGFsaWNlAHdyb25n")[0] == 504
        assert client.mail("alice@example.org")[0] == 530


def test_port_25_is_as_before(submitting: Submitting) -> None:
    with submitting.node.client() as client:
        client.ehlo()
        client.start()
        client.ehlo()
        assert not client.has_extn("auth")
        assert client.docmd("AUTH", "PLAIN AGFsaWNlAHdyb25n")[0] == 502


def test_guesses_are_counted_over_workers_and_reloads(submitting: Submitting) -> None:
    """RFC 4954 §9."""
    add_user(submitting.node.files, "guessed")
    codes = []
    for number in range(7):
        if number == 3:
            submitting.node.reload()
        response = base64.b64encode(f"\0guessed\0guess {number}".encode()).decode()
        with submitting.connect() as client:
            client.ehlo()
            codes.append(client.docmd("AUTH", f"PLAIN {response}")[0])
    assert codes == [535] * 5 + [454] * 2


def test_an_account_is_there_as_soon_as_it_is_added(submitting: Submitting) -> None:
    add_user(submitting.node.files, "late", "--no-scram")
    with submitting.connect() as client:
        client.login("late", PASSWORD)
    assert submitting.node.files.command("user", "change", "late", "--disable").code == 0
    with submitting.connect() as client, pytest.raises(smtplib.SMTPAuthenticationError):
        client.login("late", PASSWORD)


@pytest.mark.peer("msmtp")
@pytest.mark.parametrize("method", ["scram-sha-256", "plain", "login"])
@pytest.mark.parametrize("is_tls", [True, False], ids=["465", "587"])
def test_msmtp_submits(submitting: Submitting, folder: Path, method: str, is_tls: bool) -> None:
    """RFC 7677: SCRAM as GNU SASL talks it."""
    before, since = count(submitting), len(submitting.node.lines)
    settings = folder / f"msmtprc-{method}-{is_tls}"
    port = submitting.tls if is_tls else submitting.starttls
    settings.write_text(
        f"account default\nhost 127.0.0.1\nport {port}\n"
        f"tls on\ntls_starttls {'off' if is_tls else 'on'}\ntls_trust_file {submitting.trust}\n"
        f"tls_host_override mx.example.org\nauth {method}\nuser {NAME}\npassword {PASSWORD}\n"
        "from alice@example.org\ntimeout 60\n"
    )
    settings.chmod(0o600)
    done = subprocess.run(
        [str(find_program("msmtp")), "-C", str(settings), "postmaster@example.org"],
        input=TEXT,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "ESMTPSA" in submitting.wait_delivered(before + 1)
    submitting.node.wait_log(f"sasl_method={method.upper()}, sasl_username=", since=since)


@pytest.mark.peer("gsasl")
@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "PLAIN"])
def test_gsasl_logs_in(submitting: Submitting, mechanism: str) -> None:
    """RFC 5802 §6, RFC 9266: GNU SASL binds its login to the TLS connection, and so do we."""
    done = subprocess.run(
        [
            *(str(find_program("gsasl")), "--client", "--smtp", "--starttls"),
            *("--connect", f"127.0.0.1:{submitting.starttls}", "--mechanism", mechanism),
            *("--authentication-id", NAME, "--authorization-id", NAME, "--password", PASSWORD),
            # The name that it connects to is an address; what is tested is the login.
            *("--x509-ca-file=", "--hostname", "mx.example.org"),
            *(() if mechanism.endswith("-PLUS") else ("--no-cb",)),
        ],
        input="",
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
        env={**os.environ, "LC_ALL": "C"},
    )
    assert "235 2.7.0 Authentication successful" in done.stdout, done.stdout + done.stderr


@pytest.mark.peer("swaks")
@pytest.mark.parametrize("method", ["PLAIN", "LOGIN"])
def test_swaks_submits(submitting: Submitting, method: str) -> None:
    before = count(submitting)
    done = subprocess.run(
        [
            *(str(find_program("swaks")), "--server", f"127.0.0.1:{submitting.tls}"),
            *("--tls-on-connect", "--auth", method, "--auth-user", NAME),
            *("--auth-password", PASSWORD, "--from", "alice@example.org"),
            *("--to", "postmaster@example.org"),
        ],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
        env={**os.environ, "LC_ALL": "C"},
    )
    assert done.returncode == 0, done.stdout
    assert "ESMTPSA" in submitting.wait_delivered(before + 1)


@pytest.mark.peer("mutt")
@pytest.mark.parametrize("method", ["scram-sha-256", "plain"])
@pytest.mark.parametrize("is_tls", [True, False], ids=["465", "587"])
def test_mutt_submits(submitting: Submitting, folder: Path, method: str, is_tls: bool) -> None:
    """RFC 8314 §3.3 (`smtps:`), and STARTTLS; the password from mutt's settings."""
    before, since = count(submitting), len(submitting.node.lines)
    settings = folder / f"muttrc-{method}-{is_tls}"
    url = f"smtps://{NAME}@127.0.0.1:{submitting.tls}"
    if not is_tls:
        url = f"smtp://{NAME}@127.0.0.1:{submitting.starttls}"
    settings.write_text(
        f'set smtp_url="{url}" smtp_pass="{PASSWORD}" smtp_authenticators="{method}"\n'
        f'set ssl_ca_certificates_file="{submitting.trust}" ssl_usesystemcerts=no\n'
        "set ssl_verify_host=no ssl_starttls=yes ssl_force_tls=yes copy=no\n"
        'set from="alice@example.org" realname="Alice" use_domain=no use_envelope_from=yes\n'
    )
    settings.chmod(0o600)
    done = subprocess.run(
        [
            *(str(find_program("mutt")), "-n", "-F", str(settings)),
            *("-s", "by mutt", "postmaster@example.org"),
        ],
        input="hello\n",
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
        env={**os.environ, "HOME": str(folder), "LC_ALL": "C"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    mail = submitting.wait_delivered(before + 1)
    assert "ESMTPSA" in mail
    assert "\nSubject: by mutt\n" in mail
    submitting.node.wait_log(f"sasl_method={method.upper()}, sasl_username=", since=since)


def test_what_the_greeting_needs_comes_after_the_handshake_only(submitting: Submitting) -> None:
    """RFC 8314 §3.3: nothing is said in clear on that port."""
    with socket.create_connection(("127.0.0.1", submitting.tls), PATIENCE) as client:
        client.sendall(b"EHLO client.example\r\n")
        said = b""
        while octets := client.recv(4096):
            said += octets
    assert b"220" not in said
    assert said[:1] in {b"", b"\x15"}, "an alert at most"
