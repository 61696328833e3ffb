"""Clients of others send to us: swaks, OpenSSL, posttls-finger, smtp-source, Python's smtplib."""

import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from letterlock.protocols.pki.throwaway_ca import Issued
from tests.interop.postfix_instance import PostfixFiles, postfix_files
from tests.journeys.running_node import PATIENCE, NodeFiles, RunningNode, running
from tests.network.certificates import authority, issue
from tests.peers import environment, program

HOST = "mx.example.org"
OTHER_HOST = "mx2.example.org"


@dataclass(frozen=True)
class Said:
    """What a program gave: its exit code, its output and errors in one."""

    code: int
    text: str


def run(
    peer: str, name: str, *arguments: object, typed: str = "", env: Mapping[str, str] | None = None
) -> Said:
    """Run a peer's program to its end; `typed` is its standard input."""
    done = subprocess.run(
        [program(name, peer), *map(str, arguments)],
        env=env or environment(peer),
        input=typed,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    return Said(done.returncode, done.stdout)


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningNode]:
    """A node with an ECDSA and an RSA certificate for one name, and one for another name."""
    files = NodeFiles(tmp_path_factory.mktemp("node"))
    files.change("local", mailboxes=["alice", "bob", "carol", "many", "postmaster"])
    files.change("receive", relay_from=[])
    for name, issued in certificates().items():
        files.add_certificate(issued, name)
    with running(files) as node:
        yield node


def certificates() -> dict[str, Issued]:
    return {
        "ecdsa": issue((HOST,)),
        "rsa": issue((HOST,), "rsa"),
        "other": issue((OTHER_HOST,)),
    }


@pytest.fixture(scope="module")
def ca_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("authority") / "authority.pem"
    path.write_bytes(authority().pem)
    return path


# swaks


def swaks(node: RunningNode, *arguments: object, to: str = "alice@example.org") -> Said:
    return run(
        "swaks",
        "swaks",
        *("--server", f"{node.files.host}:{node.port}", "--helo", "client.example"),
        *("--from", "bob@example.net", "--to", to, *arguments),
    )


def queue_id(said: Said) -> str:
    found = re.search(r"queued as (\w+)", said.text)
    assert found is not None, said.text
    return found[1]


def wait_for_mail(node: RunningNode, queue_id: str, user: str = "alice") -> str:
    """Wait until it is delivered; gives its text."""
    node.wait_log(rf"{queue_id}: to=<{user}@example.org>.*status=sent")
    (mail,) = [mail for mail in node.files.mails(user) if queue_id in mail.partition("\n\n")[0]]
    return mail


@pytest.mark.peer("swaks")
@pytest.mark.parametrize(
    ("options", "logged", "shown"),
    [
        ((), "none", HOST),
        (("--tls-sni", HOST), HOST, HOST),
        (("--tls-sni", OTHER_HOST), OTHER_HOST, OTHER_HOST),
        (("--tls-sni", "unknown.example"), "unknown.example", HOST),
        (("--tls-sni", "localhost"), "localhost", HOST),
        (("--tls-sni", "127.0.0.1"), "127.0.0.1", HOST),
    ],
    ids=["no SNI", "our name", "our other name", "unknown name", "one label", "IP address"],
)
def test_swaks_delivers_over_starttls_whatever_name_it_asks_for(
    node: RunningNode, options: tuple[str, ...], logged: str, shown: str
) -> None:
    """RFC 6066 §3, RFC 3207 §4: the default certificate, never a failed handshake."""
    since = len(node.lines)
    said = swaks(node, "-tls", *options)
    assert said.code == 0, said.text
    assert f"CN={shown}" in said.text
    mail = wait_for_mail(node, queue_id(said))
    assert "with ESMTPS" in mail
    found = node.wait_log(
        r"TLS connection established from \S+: (\S+) with cipher (\S+)", since=since
    )
    assert f"TLS started with cipher {found[1]}:{found[2]}:" in said.text
    assert f"sni {logged}\n" in "".join(node.lines[since:])


@pytest.mark.peer("swaks")
def test_swaks_verifies_our_chain(node: RunningNode, ca_file: Path) -> None:
    said = swaks(node, "-tls", "--tls-verify", "--tls-ca-path", ca_file)
    assert said.code == 0, said.text
    wait_for_mail(node, queue_id(said))


@pytest.mark.peer("swaks")
def test_a_large_message_of_swaks_arrives_as_it_was(node: RunningNode, tmp_path: Path) -> None:
    lines = [f"line {number} " + "x" * (number % 900) for number in range(12_000)]
    lines[5::100] = [".", "..", "From here", ".hidden"] * 30
    body = "\r\n".join(lines)
    path = tmp_path / "message"
    path.write_bytes(f"Subject: large\r\n\r\n{body}\r\n".encode())
    said = swaks(node, "-tls", "--data", f"@{path}", "--suppress-data")
    assert said.code == 0, said.text
    mail = wait_for_mail(node, queue_id(said))
    header, _, arrived = mail.partition("\n\n")
    assert "Subject: large" in header
    assert arrived.splitlines()[: len(lines)] == lines


@pytest.mark.peer("swaks")
@pytest.mark.parametrize("pipelining", [(), ("--pipeline",)], ids=["one by one", "pipelined"])
def test_swaks_sends_to_several_and_hears_who_is_unknown(
    node: RunningNode, pipelining: tuple[str, ...]
) -> None:
    """RFC 5321 §3.3, RFC 2920 §3.1: one refused recipient doesn't keep it from the others."""
    everyone = "alice@example.org,nobody@example.org,bob@example.org,carol@example.org"
    said = swaks(node, "-tls", *pipelining, to=everyone)
    assert said.code == 0, said.text
    assert re.search(r"550 5\.1\.1 .*nobody@example\.org", said.text)
    for user in ("alice", "bob", "carol"):
        wait_for_mail(node, queue_id(said), user)


@pytest.mark.peer("swaks")
def test_swaks_may_not_relay_by_us(node: RunningNode) -> None:
    """RFC 5321 §3.6.2, RFC 3463 §3.8."""
    said = swaks(node, "-tls", to="someone@example.com")
    assert "554 5.7.1" in said.text
    assert said.code != 0


# openssl s_client


def s_client(node: RunningNode, *options: object) -> Said:
    return run(
        "openssl",
        "openssl",
        *("s_client", "-connect", f"{node.files.host}:{node.port}", "-starttls", "smtp"),
        *("-brief", "-ign_eof", "-name", "client.example", *options),
        typed="QUIT\r\n",
    )


@pytest.mark.peer("openssl")
@pytest.mark.parametrize("version", ["TLSv1.2", "TLSv1.3"])
@pytest.mark.parametrize(
    ("key", "signatures"),
    [("ECDSA", "ECDSA+SHA256"), ("RSA", "RSA-PSS+SHA256:RSA+SHA256")],
)
def test_openssl_gets_the_certificate_that_it_can_check(
    node: RunningNode, ca_file: Path, version: str, key: str, signatures: str
) -> None:
    """RFC 8446 §4.4.2.2: by the client's signature_algorithms."""
    since = len(node.lines)
    said = s_client(
        node,
        *("-tls1_2" if version == "TLSv1.2" else "-tls1_3", "-sigalgs", signatures),
        *("-CAfile", ca_file, "-verify_return_error", "-verify_hostname", HOST),
        *("-servername", HOST),
    )
    assert said.code == 0, said.text
    assert f"Protocol version: {version}" in said.text
    assert "Verification: OK" in said.text
    assert f"Verified peername: {HOST}" in said.text
    assert re.search(rf"Signature type: {key}", said.text)
    found = node.wait_log(r"established from \S+: (\S+) with cipher (\S+) .*sni", since=since)
    assert found[1] == version
    assert f"Ciphersuite: {found[2]}" in said.text


@pytest.mark.peer("openssl")
@pytest.mark.parametrize(
    "name", [("-noservername",), ("-servername", "unknown.example"), ("-servername", "x")]
)
def test_openssl_is_shown_the_default_certificate(
    node: RunningNode, ca_file: Path, name: tuple[str, ...]
) -> None:
    """RFC 6066 §3."""
    said = s_client(node, *name, "-CAfile", ca_file, "-verify_return_error")
    assert said.code == 0, said.text
    assert f"CN = {HOST}" in said.text
    assert "221 2.0.0" in said.text


@pytest.mark.peer("openssl")
def test_openssl_resumes_a_session(node: RunningNode, tmp_path: Path) -> None:
    """RFC 8446 §4.6.1."""
    session = tmp_path / "session"
    first = s_client(node, "-tls1_3", "-sess_out", session)
    assert first.code == 0, first.text
    since = len(node.lines)
    again = s_client(node, "-tls1_3", "-sess_in", session)
    assert again.code == 0, again.text
    node.wait_log(r"TLS connection established from .*, resumed", since=since)


@pytest.mark.peer("openssl")
def test_openssl_cannot_use_an_old_version(node: RunningNode) -> None:
    """RFC 8996 §5."""
    since = len(node.lines)
    said = s_client(node, "-tls1_1", "-cipher", "DEFAULT:@SECLEVEL=0")
    assert said.code != 0
    assert "protocol version" in said.text
    node.wait_log(r"SSL_accept error from ", since=since)


# posttls-finger and smtp-source


@pytest.fixture(scope="module")
def postfix_tools() -> Iterator[PostfixFiles]:
    """Give a main.cf: Postfix's programs read one, though nothing of it matters here."""
    with postfix_files() as files:
        files.write()
        (files.folder / "authority.pem").write_bytes(authority().pem)
        yield files


@pytest.mark.peer("postfix")
@pytest.mark.parametrize(
    ("level", "name", "is_trusted", "verdict"),
    [
        ("may", HOST, True, "Trusted"),
        ("encrypt", HOST, True, "Trusted"),
        ("encrypt", HOST, False, "Untrusted"),
        ("verify", HOST, True, "Verified"),
        ("secure", HOST, True, "Verified"),
        ("verify", ".example.org", True, "Verified"),
        ("secure", "wrong.example", True, "Untrusted"),
        ("secure", HOST, False, "Untrusted"),
    ],
)
def test_posttls_finger_finds_us(
    node: RunningNode,
    postfix_tools: PostfixFiles,
    level: str,
    name: str,
    is_trusted: bool,
    verdict: str,
) -> None:
    trust = ("-F", postfix_tools.folder / "authority.pem") if is_trusted else ()
    since = len(node.lines)
    said = run(
        "postfix",
        "posttls-finger",
        *("-c", "-l", level, *trust, f"[{node.files.host}]:{node.port}", name),
        env=postfix_tools.environment,
    )
    shape = r"(\w+) TLS connection established to \S+ (\S+) with cipher (\S+) \((\d+)/\d+ bits\)"
    found = re.search(shape, said.text)
    assert found is not None, said.text
    assert found[1] == verdict
    ours = node.wait_log(r"established from \S+: (\S+) with cipher (\S+) \((\d+)/", since=since)
    assert ours.groups() == found.groups()[1:]


@pytest.mark.peer("postfix")
def test_all_of_many_messages_of_smtp_source_arrive(
    node: RunningNode, postfix_tools: PostfixFiles
) -> None:
    """Each gets one 250 and is one message in the mailbox."""
    total, since = 300, len(node.lines)
    said = run(
        "postfix",
        "smtp-source",
        *("-s", 10, "-m", total, "-l", 2000, "-f", "bob@example.net", "-t", "many@example.org"),
        f"{node.files.host}:{node.port}",
        env=postfix_tools.environment,
    )
    assert said.code == 0, said.text
    node.wait_log(r"to=<many@example.org>.*status=sent", since=since, count=total)
    ids = {
        found[1]
        for line in node.lines[since:]
        if (found := re.search(r" (\w+): client=.*from=<bob@example.net>", line))
    }
    assert len(ids) == total
    mails = node.files.mails("many")
    assert len(mails) == total
    assert all(any(each in mail for mail in mails) for each in list(ids)[:10])
