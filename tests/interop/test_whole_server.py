"""A mail server for one domain, out of Debian's parts with a node in the middle.

HAProxy in front, rspamd beside it as a milter, Dovecot behind it with mailboxes and passwords, and
a Postfix that is the rest of the world. It is what docs/guide/whole-server.md describes.
"""

import re
import smtplib
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from letterlock.base.config.load import parse_config
from tests.free_ports import free_port
from tests.guides import settings_of
from tests.interop.background import zones
from tests.interop.dovecot_store import ALICE, PASSWORD, Dovecot, running_dovecot_store
from tests.interop.postfix_instance import (
    PostfixInstance,
    postfix_files,
    require_root,
    running_postfix,
)
from tests.interop.proxy_instances import HAPROXY_SOURCE, HaproxyFiles, running_haproxy
from tests.interop.rspamd_server import GTUBE, Rspamd
from tests.journeys.running_node import PATIENCE, NodeFiles, RunningNode, mx_certificate, running
from tests.network.certificates import authority, issue
from tests.peers import command, find_program
from tests.programs import command_environment
from tests.send.sending import COMMAND

pytestmark = [pytest.mark.peer(name) for name in ("dovecot", "rspamd", "haproxy", "postfix")]

WORLD_IP, OFFICE_IP, STRANGER_IP = "127.0.79.1", "127.0.79.2", "127.0.79.3"
FRIEND, NOBODY = "friend@example.net", "nobody@example.net"


@dataclass
class World:
    """Everything that runs, and the ports of HAProxy."""

    node: RunningNode
    dovecot: Dovecot
    postfix: PostfixInstance
    smtp: int
    submissions: int

    def wait_mail(self, pattern: str) -> str:
        """Wait until Dovecot has a mail of alice's in which a pattern is found."""
        found: list[str] = []

        def is_there() -> bool:
            found[:] = [
                text for mail in self.dovecot.mails() if re.search(pattern, text := mail.decode())
            ]
            return bool(found)

        self.node.wait_for(is_there, f"a mail with {pattern}")
        (mail,) = found
        return mail

    def wait_world_mail(self, pattern: str) -> str:
        """Wait until the friend elsewhere has such a mail."""
        found: list[str] = []

        def is_there() -> bool:
            mails = (mail.decode() for mail in self.postfix.files.mails(FRIEND))
            found[:] = [mail for mail in mails if re.search(pattern, mail)]
            return bool(found)

        self.node.wait_for(is_there, f"a mail of the friend's with {pattern}")
        (mail,) = found
        return mail

    def send(
        self, source: str, sender: str, to: str, text: str, *, port: int | None = None
    ) -> tuple[int, str]:
        """Come from an address to port 25, which is HAProxy's; gives the last reply."""
        with smtplib.SMTP(
            "127.0.0.1", port or self.smtp, "client.example", PATIENCE, (source, 0)
        ) as client:
            client.ehlo()
            client.mail(sender)
            code, reply = client.rcpt(to)
            if code == 250:
                code, reply = client.data(text)
        return code, reply.decode()

    def submit(self, folder: Path, to: str, subject: str) -> None:
        """Have msmtp submit as alice, over HAProxy's port 465."""
        (folder / "ca.pem").write_bytes(authority().pem)
        settings = folder / "msmtprc"
        settings.write_text(
            f"account default\nhost 127.0.0.1\nport {self.submissions}\n"
            "tls on\ntls_starttls off\n"
            f"tls_trust_file {folder / 'ca.pem'}\ntls_host_override mx.example.org\n"
            f"auth plain\nuser {ALICE}\npassword {PASSWORD}\nfrom {ALICE}\n"
        )
        settings.chmod(0o600)
        subprocess.run(
            [str(find_program("msmtp")), "-C", str(settings), to],
            input=make(ALICE, to, subject),
            text=True,
            check=True,
            capture_output=True,
            timeout=PATIENCE,
        )


def make(sender: str, to: str, subject: str, body: str = "hello") -> str:
    return (
        f"From: {sender}\nTo: {to}\nSubject: {subject}\n"
        f"Date: Sun, 22 Nov 2026 12:00:00 +0000\nMessage-ID: <{subject}@test>\n\n{body}\n"
    )


@pytest.fixture(scope="module")
def world(rspamd: Rspamd, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    require_root()
    folder = tmp_path_factory.mktemp("whole")
    with ExitStack() as stack:
        dovecot = stack.enter_context(running_dovecot_store())
        postfix = stack.enter_context(postfix_files(mailboxes=(FRIEND,)))
        port = free_port(WORLD_IP)
        certificate = postfix.add_certificate(issue(("mx.example.net",)), "mx")
        postfix.add_server(WORLD_IP, port, **certificate, smtpd_tls_security_level="may")
        resolver = stack.enter_context(zones({"example.net": f"@ MX 10 mx\nmx A {WORLD_IP}"}))
        inner, outer = (tuple(free_port("127.0.0.1") for _ in range(2)) for _ in range(2))
        files = node_files(folder / "node", dovecot, rspamd, inner)
        files.change("dns", resolver=resolver)
        files.change("deliver", port=port, families=["ipv4"])
        node = stack.enter_context(running(files))
        proxy = HaproxyFiles(folder)
        proxy.add("smtp", (outer[0], inner[0]), "send-proxy-v2")
        proxy.add("submissions", (outer[1], inner[1]), "send-proxy-v2")
        stack.enter_context(running_haproxy(proxy)).wait_banner("127.0.0.1", outer[0])
        world_postfix = stack.enter_context(running_postfix(postfix))
        yield World(node, dovecot, world_postfix, *outer)


def node_files(folder: Path, dovecot: Dovecot, rspamd: Rspamd, ports: tuple[int, ...]) -> NodeFiles:
    files = NodeFiles(folder)
    files.add_certificate(mx_certificate())
    files.change(
        "receive",
        listen=[f"127.0.0.1:{ports[0]}"],
        proxy_from=[HAPROXY_SOURCE],
        relay_from=[OFFICE_IP],
    )
    files.set(
        "submission",
        enabled=True,
        listen=[f"127.0.0.1:{ports[1]}"],
        listen_starttls=[],
        proxy_from=[HAPROXY_SOURCE],
        accounts="dovecot",
        dovecot_socket=str(dovecot.auth),
    )
    files.set("local", lmtp=f"unix:{dovecot.lmtp}")
    files.set("filter", milters=[{"address": f"inet:127.0.0.1:{rspamd.milter_port}"}])
    trust = folder / "ca.pem"
    trust.write_bytes(authority().pem)
    files.set("policy", trust_files=[str(trust)], default_level="verify")
    return files


def test_mail_from_outside_is_filtered_and_in_dovecot(world: World) -> None:
    text = "X-Test: headers\nAuthentication-Results: mx.example.org; spf=pass\n"
    text += make("someone@elsewhere.example", ALICE, "from-outside")
    code, reply = world.send(STRANGER_IP, "someone@elsewhere.example", ALICE, text)
    assert code == 250, reply
    mail = world.wait_mail("Subject: from-outside")
    assert f"[{STRANGER_IP}]" in mail, "who came, and not HAProxy"
    assert "X-One: one" in mail, "rspamd's"
    assert "spf=pass" not in mail, "forged in our name"
    assert "Return-Path: <someone@elsewhere.example>" in mail


def test_spam_and_strangers_are_refused_to_their_face(world: World) -> None:
    spam = make("someone@elsewhere.example", ALICE, "spam", GTUBE["reject"])
    assert world.send(STRANGER_IP, "someone@elsewhere.example", ALICE, spam)[0] == 554
    for to, code in ((FRIEND, 554), ("unknown@example.org", 550)):
        text = make("someone@elsewhere.example", to, "never")
        assert world.send(STRANGER_IP, "someone@elsewhere.example", to, text)[0] == code


@pytest.mark.peer("msmtp")
def test_an_account_of_dovecots_submits_and_it_goes_out_verified(
    world: World, tmp_path: Path
) -> None:
    world.submit(tmp_path, FRIEND, "to-a-friend")
    mail = world.wait_world_mail("Subject: to-a-friend")
    assert "DKIM-Signature: " in mail
    assert "with ESMTPSA" in mail
    world.node.wait_log(rf"Verified TLS connection established to mx.example.net\[{WORLD_IP}\]")


@pytest.mark.peer("msmtp")
def test_what_cannot_be_delivered_comes_back_into_dovecot(world: World, tmp_path: Path) -> None:
    world.submit(tmp_path, NOBODY, "to-nobody")
    bounce = world.wait_mail(rf"Final-Recipient: rfc822; {NOBODY}")
    assert "Action: failed" in bounce
    assert "Auto-Submitted: auto-replied" in bounce


def test_the_office_relays_and_its_mail_is_filtered_too(world: World) -> None:
    """It comes to the node itself: nobody may relay whom a proxy vouches for with 127.0.0.0/8."""
    port, text = world.node.port, make(ALICE, FRIEND, "from-the-office")
    assert world.send(OFFICE_IP, ALICE, FRIEND, text)[0] == 554
    assert world.send(OFFICE_IP, ALICE, FRIEND, text, port=port)[0] == 250
    world.wait_world_mail("Subject: from-the-office")
    spam = make(ALICE, FRIEND, "spam", GTUBE["reject"])
    assert world.send(OFFICE_IP, ALICE, FRIEND, spam, port=port)[0] == 554


def test_programs_of_this_machine_send_to_both(world: World) -> None:
    subprocess.run(
        [*COMMAND, "-C", str(world.node.files.config), "-t", "-i"],
        env=command_environment(),
        input=make(ALICE, f"{ALICE}, {FRIEND}", "from-cron"),
        text=True,
        check=True,
        timeout=PATIENCE,
    )
    world.wait_mail("Subject: from-cron")
    world.wait_world_mail("Subject: from-cron")


def test_the_node_takes_the_settings_of_the_guide(tmp_path: Path) -> None:
    head = (
        'hostname = "mx.example.org"\ndomains = ["example.org"]\n'
        f'contact = "postmaster@example.org"\ndata_dir = "{tmp_path}"\n'
    )
    blocks = settings_of("whole-server.md", "toml")
    assert len(blocks) == 2
    pair = '[tls]\ncertificates = [{ certificate = "mx.pem", key = "mx.key" }]\n'
    for shown in blocks:
        config = parse_config(head + shown + pair, tmp_path / "letterlock.toml")
        assert config.filter.milters or config.receive.proxy_from


def test_dovecot_takes_the_settings_of_the_guide(tmp_path: Path) -> None:
    blocks = settings_of("whole-server.md", "text")
    (shown,) = (each for each in blocks if each.startswith("# /etc/dovecot"))
    path = tmp_path / "dovecot.conf"
    path.write_text(shown)
    words = command("dovecot", "doveconf", "-n", "-c", path)
    done = subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 0, done.stderr
    assert "unix_listener auth-letterlock" in done.stdout
